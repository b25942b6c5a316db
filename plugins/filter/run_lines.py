# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(t9k.gpu.run_lines)."""

from __future__ import annotations

DOCUMENTATION = r"""
name: run_lines
author: t9k.gpu maintainers (@t9k)
version_added: 0.2.0
short_description: What a run did, in words
description:
  - Takes the variables of hosts (C(hostvars)) after the roles C(driver), C(gpu_operator) and C(gpu_report) and says what was done on
    which node, why, what was not, and where the report is.
  - Nodes of which the same is to be said share their lines, so that a thousand nodes are a screen and not a thousand.
positional: _input
options:
  _input:
    description: The variables of each host.
    type: list
    elements: dict
    required: true
  check:
    description: Whether the run only looked, so that what it planned was not done.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Say what was done
  ansible.builtin.debug:
    msg: "{{ ansible_play_hosts_all | map('extract', hostvars) | t9k.gpu.run_lines(check=ansible_check_mode) }}"
  run_once: true

# gpu01, gpu02: done
#   install: driver 535.247.01 is wanted, none is installed
#   reboot: the running kernel has no driver loaded
# gpu03: nothing to be done
# cluster: done
#   chart: release gpu-operator is missing
# Report: /srv/gpu/index.html
"""

RETURN = r"""
_value:
  description: The lines.
  type: list
  elements: str
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable

from ansible_collections.t9k.gpu.plugins.module_utils._report.table import printable

#: So many names stand before their lines; the others are counted.
SHOWN = 8


def _said(told: Any) -> str:
    """Put a message on one line; a task may fail with a list."""
    return " ".join(str(each) for each in told) if isinstance(told, (list, tuple)) else str(told)


def _steps(steps: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    return tuple(f"{step['name']}: {step['reason']}" for step in steps)


def _node(known: Mapping[str, Any], check: bool) -> tuple[str, ...]:
    """Return the headline and the lines below it; the worst that is known of a node is its headline."""
    plan = known.get("__driver_plan") or {}
    applied = _steps((known.get("__driver_applied") or {}).get("steps", ()))
    if "__driver_failed" in known:
        return ("failed", *applied, _said(known["__driver_failed"]))
    if "__driver_left" in known:
        return ("left for the next run",)
    if "has_gpu" not in plan:
        return (f"not read: {_said(plan.get('msg') or 'no answer')}",)
    if not plan["has_gpu"]:
        return ("no NVIDIA GPU",)
    planned = _steps(plan["steps"])
    if applied:
        return ("done", *applied)
    if plan.get("faults"):
        return ("cannot be done", *(str(fault) for fault in plan["faults"]))
    if planned:
        return ("would be done" if check else "not wanted here", *planned)
    return ("nothing to be done",)


def _cluster(known: Iterable[Mapping[str, Any]], check: bool) -> list[str]:
    """Say what the role gpu_operator did; it keeps its first plan where it runs."""
    plan = next((each["__gpu_operator_first"] for each in known if each.get("__gpu_operator_first")), None)
    if plan is None:
        return []
    steps = _steps(plan["steps"])
    return _lines("cluster", ("would be done" if check else "done", *steps) if steps else ("nothing to be done",))


def _report(known: Iterable[Mapping[str, Any]]) -> list[str]:
    """Say where the page is; a task that was skipped left something else."""
    pages = (str((each.get("__gpu_report") or {}).get("html") or "") for each in known)
    return [f"Report: {printable(page)}" for page in dict.fromkeys(pages) if page]


def _lines(names: str, told: Sequence[str]) -> list[str]:
    return [printable(line) for line in (f"{names}: {told[0]}", *(f"  {line}" for line in told[1:]))]


def _named(names: Sequence[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def run_lines(hosts: Iterable[Mapping[str, Any]], check: bool = False) -> list[str]:
    """Return the lines, nodes of which the same is said together, in the inventory's order; then cluster and page."""
    known = list(hosts)
    alike: dict[tuple[str, ...], list[str]] = {}
    for each in known:
        alike.setdefault(_node(each, check), []).append(each["inventory_hostname"])
    lines = [line for told, names in alike.items() for line in _lines(_named(names), told)]
    return [*lines, *_cluster(known, check), *([] if check else _report(known))]


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"run_lines": run_lines}
