#!/usr/bin/python
# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: nvidia_busy_check
short_description: Wait until no work outside Kubernetes is left on the GPUs of a host
version_added: 0.2.0
description:
  - Looks for processes that have an NVIDIA GPU open and are no pod's, by C(/proc/*/fd) and their control groups. No drain ends
    these. They run under Slurm, in docker, or were started by hand.
  - The driver's own daemons, and what only watches GPUs (DCGM, nvidia-smi), are no work.
  - Fails with their names where they do not end in time. Changes nothing.
author:
  - t9k.gpu maintainers (@t9k)
options:
  timeout:
    description: Seconds to wait for them.
    type: int
    default: 0
attributes:
  check_mode:
    description: Looks once, in every mode.
    support: full
  diff_mode:
    description: Nothing changes, so there is no diff.
    support: none
"""

EXAMPLES = r"""
- name: Let batch jobs end, for an hour at most
  t9k.gpu.nvidia_busy_check:
    timeout: 3600
"""

RETURN = r"""
waited:
  description: Seconds that were waited.
  type: int
  returned: always
"""

import time

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.t9k.gpu.plugins.module_utils._driver import busy
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import holders

#: The system that is looked at; tests have another.
ROOT = "/"
#: Seconds between two looks.
EVERY_S = 5


def main() -> None:
    module = AnsibleModule(argument_spec={"timeout": {"type": "int", "default": 0}}, supports_check_mode=True)
    start, limit = time.monotonic(), 0 if module.check_mode else module.params["timeout"]
    at_work = holders.outside_pods(ROOT)
    while at_work and time.monotonic() - start + EVERY_S <= limit:
        time.sleep(EVERY_S)
        at_work = holders.outside_pods(ROOT)
    waited = round(time.monotonic() - start)
    if at_work:
        module.fail_json(msg=str(busy.fault(at_work, waited)), waited=waited)
    module.exit_json(changed=False, waited=waited)


if __name__ == "__main__":
    main()
