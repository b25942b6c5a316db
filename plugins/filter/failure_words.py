# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(t9k.gpu.failure_words)."""

from __future__ import annotations

DOCUMENTATION = r"""
name: failure_words
author: t9k.gpu maintainers (@t9k)
version_added: 0.2.0
short_description: Why a task failed, in the words of what failed
description:
  - A command that fails says only C(non-zero return code) in its C(msg); what a person needs is which command, and its last words.
  - Of a loop, the items that failed are told.
positional: _input
options:
  _input:
    description: The result of the failed task (C(ansible_failed_result)).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Install, and say why it cannot be done
  block:
    - name: Install
      ansible.builtin.command:
        argv: [apt-get, --yes, install, nvidia-driver-580]
      changed_when: true
  rescue:
    - name: Say why
      ansible.builtin.fail:
        msg: "{{ ansible_failed_result | t9k.gpu.failure_words }}"

# apt-get --yes install nvidia-driver-580 exited 100: E: Unable to correct problems, you have held broken packages.
"""

RETURN = r"""
_value:
  description: The words.
  type: str
"""

import shlex
from collections.abc import Mapping
from typing import Any, Callable

#: Lines of a command's last words.
LINES = 6
#: Characters of each, and of the command itself.
CHARACTERS = 300
UNKNOWN = "see the failed task above"


def _command_words(result: Mapping[str, Any]) -> str:
    command = result["cmd"]
    typed = command if isinstance(command, str) else shlex.join(map(str, command))
    printed = str(result.get("stderr") or result.get("stdout") or "").splitlines()
    last = [line.strip()[:CHARACTERS] for line in printed if line.strip()][-LINES:]
    return f"{typed[:CHARACTERS]} exited {result['rc']}: {' / '.join(last) or 'it printed nothing'}"


def failure_words(result: Any) -> str:
    if not isinstance(result, Mapping):
        return UNKNOWN
    failed = [item for item in result.get("results") or [] if isinstance(item, Mapping) and item.get("failed")]
    if failed:
        return "; ".join(failure_words(item) for item in failed)
    if result.get("rc") and result.get("cmd"):
        return _command_words(result)
    return str(result.get("msg") or UNKNOWN)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"failure_words": failure_words}
