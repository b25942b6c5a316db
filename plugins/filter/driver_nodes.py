# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filter C(t9k.gpu.driver_nodes)."""

from __future__ import annotations

DOCUMENTATION = r"""
name: driver_nodes
author: t9k.gpu maintainers (@t9k)
version_added: 0.1.0
short_description: What a play learned of its GPU nodes, in the form of the report
description:
  - Takes the variables of hosts (C(hostvars)) and returns the nodes as P(t9k.gpu.gpu_summary#filter) and the report take them.
  - A host without an NVIDIA GPU is a node with no GPUs; one that never answered is shown as unreachable.
positional: _input
options:
  _input:
    description: The variables of each host.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the fleet
  ansible.builtin.debug:
    msg: "{{ (ansible_play_hosts_all | map('extract', hostvars) | t9k.gpu.driver_nodes | t9k.gpu.gpu_summary).splitlines() }}"
"""

RETURN = r"""
_value:
  description: One dictionary a node.
  type: list
  elements: dict
"""

from collections.abc import Iterable, Mapping
from typing import Any, Callable


def _node(hostvars: Mapping[str, Any]) -> dict[str, Any]:
    name = {"name": hostvars["inventory_hostname"]}
    plan = hostvars.get("__driver_plan") or {}
    if "has_gpu" not in plan:
        said = [plan["msg"]] if plan.get("msg") and not plan.get("unreachable") else []
        return {**name, "reachable": bool(said), "problems": said}
    if not plan["has_gpu"]:
        return {**name, "gpus": []}
    steps = [{"name": step["name"], "reason": step["reason"]} for step in plan["steps"]]
    applied = {step["name"] for step in (hostvars.get("__driver_applied") or {}).get("steps", [])}
    driver = {**plan["node"]["driver"], "rebooted": "reboot" in applied}
    away = (hostvars.get("__driver_readmitted") or {}).get("away_s")
    if away is not None and "uncordon" in applied:  # both outlive a run that has nothing to do with them
        driver["away_seconds"] = away
    history = {"history": plan["history"]} if plan.get("history") else {}
    return {**name, **plan["node"], "driver": driver, "problems": plan["faults"], "plan": {"steps": steps}, **history}


def driver_nodes(hosts: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [_node(hostvars) for hostvars in hosts]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"driver_nodes": driver_nodes}
