# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters for the plan of a rollout: C(fleet_gpus), C(fleet_turns), C(fleet_plan) and C(fleet_plan_lines)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ansible_collections.t9k.gpu.plugins.module_utils._fleet import plan as fleet_plan
from ansible_collections.t9k.gpu.plugins.module_utils._fleet import schedule
from ansible_collections.t9k.gpu.plugins.module_utils._kube.host import node_of


def gpus(hosts: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    plans = [(node_of(host, host["inventory_hostname"]), host.get("__driver_plan") or {}) for host in hosts]
    return {node: len((plan.get("node") or {}).get("gpus") or ()) for node, plan in plans if "has_gpu" in plan}


def turns(hosts: Iterable[Mapping[str, Any]], nodes: Iterable[Mapping[str, Any]] = (), label: str = "") -> list[str]:
    named = [(host["inventory_hostname"], node_of(host, host["inventory_hostname"])) for host in hosts]
    return schedule.turns(named, nodes, label) if label else [host for host, _node in named]


class FilterModule:
    """Ansible's way to find the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "fleet_gpus": gpus,
            "fleet_turns": turns,
            "fleet_plan": lambda hosts, canary=0, max_unavailable="": fleet_plan.document(
                hosts, int(canary), str(max_unavailable)
            ),
            "fleet_plan_lines": fleet_plan.lines,
        }
