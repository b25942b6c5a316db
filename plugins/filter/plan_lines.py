# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(t9k.gpu.plan_lines)."""

from __future__ import annotations

DOCUMENTATION = r"""
name: plan_lines
author: t9k.gpu maintainers (@t9k)
version_added: 0.1.0
short_description: A plan as lines a person reads
description: One line for each step with its reason, or one line that says why there is none.
positional: _input
options:
  _input:
    description: What P(t9k.gpu.nvidia_driver_plan#module) returned.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Say what will be done
  ansible.builtin.debug:
    msg: "{{ plan | t9k.gpu.plan_lines }}"
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

from collections.abc import Mapping
from typing import Any, Callable


def _line(step: Mapping[str, Any]) -> str:
    disturbs = step.get("disturbs")
    return f"{step['name']}: {step['reason']}" + (f" (disturbs: {disturbs})" if disturbs else "")


def plan_lines(plan: Mapping[str, Any]) -> list[str]:
    if not plan.get("has_gpu", True):
        return ["skipped: no NVIDIA GPU on the PCI bus"]
    lines = [_line(step) for step in plan["steps"]]
    lines = lines or [f"cannot be done: {fault}" for fault in plan.get("faults", [])] or ["nothing to be done"]
    lines += [f"reboot pending: {plan['reboot_pending']}"] if plan.get("reboot_pending") else []
    return lines + [f"note: {warning}" for warning in plan.get("warnings_found", [])]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"plan_lines": plan_lines}
