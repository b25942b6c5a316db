#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module C(t9k.gpu.nvidia_driver_history)."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_driver_history
author: t9k.gpu maintainers (@t9k)
version_added: 0.2.0
short_description: Write down on a node what a change of its driver came to
description:
  - Adds one line of JSON to C(/var/lib/t9k-gpu/history.jsonl), and drops the oldest ones over O(keep).
  - The newest ten are also the local fact C(ansible_local.t9k_gpu.history), in C(/etc/ansible/facts.d/t9k_gpu.fact).
  - Both files are replaced atomically, so nobody reads half a line.
options:
  outcome:
    description: What the change came to.
    type: str
    choices: [ok, rolled back, failed]
    required: true
  steps:
    description: The steps that were taken.
    type: list
    elements: str
    required: true
  before:
    description: The driver's version before; empty without a driver.
    type: str
    default: ""
  after:
    description: The driver's version now.
    type: str
    default: ""
  failed_at:
    description: The task that failed.
    type: str
    default: ""
  why:
    description: Its message, of which 500 characters are kept.
    type: str
    default: ""
  seconds:
    description: How long the change took, the drain not counted.
    type: int
  away_s:
    description: Seconds from the node's cordon to its uncordon; leave it out where pods were not kept away.
    type: int
  keep:
    description: So many lines are kept.
    type: int
    default: 200
attributes:
  check_mode:
    description: Can run in check_mode and return changed status prediction without modifying target.
    support: full
  diff_mode:
    description: Will return details on what has changed.
    support: none
"""

EXAMPLES = r"""
- name: Write it down
  t9k.gpu.nvidia_driver_history:
    outcome: ok
    steps: [install, hold, reboot]
    before: 535.183.06
    after: 535.247.01
    seconds: 212
    away_s: 260
"""

RETURN = r"""
entry:
  description: What was written, with the time in C(at).
  type: dict
  returned: always
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._files import apply_file, read_text, under
from ansible_collections.t9k.gpu.plugins.module_utils._fleet import history

#: The system that is written to; tests have another.
ROOT = "/"
ARGUMENTS: dict[str, Any] = {
    "outcome": {"type": "str", "choices": [history.OK, history.BACK, history.FAILED], "required": True},
    "steps": {"type": "list", "elements": "str", "required": True},
    "before": {"type": "str", "default": ""},
    "after": {"type": "str", "default": ""},
    "failed_at": {"type": "str", "default": ""},
    "why": {"type": "str", "default": ""},
    "seconds": {"type": "int"},
    "away_s": {"type": "int"},
    "keep": {"type": "int", "default": history.KEEP},
}


def entry_of(params: dict[str, Any]) -> dict[str, Any]:
    """Return the entry: what is not known or did not happen is left out."""
    told = {key: value for key, value in params.items() if key != "keep" and value not in (None, "")}
    if "why" in told:
        told["why"] = told["why"][:500]
    return {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **told}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    path, entry = under(ROOT, history.PATH), entry_of(module.params)
    text = history.lengthened(read_text(path), entry, module.params["keep"])
    apply_file(module, str(path), text)
    apply_file(module, str(under(ROOT, history.FACT)), history.fact(text))
    module.exit_json(changed=True, entry=entry)


if __name__ == "__main__":
    main()
