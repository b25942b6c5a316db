# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put the nodes' plans together into the plan of a rollout: who, why, what it takes from whom, in which order, how long. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._drain import budget
from ansible_collections.t9k.gpu.plugins.module_utils._fleet import schedule
from ansible_collections.t9k.gpu.plugins.module_utils._kube.host import node_of
from ansible_collections.t9k.gpu.plugins.module_utils._report.table import printable

FORMAT = 1


def document(hosts: Sequence[Mapping[str, Any]], canary: int = 0, max_unavailable: str = "") -> dict[str, Any]:
    """Return the plan of a rollout. ``hosts``: each one's variables after it was read, in the order of their turns."""
    plans = {str(host["inventory_hostname"]): host.get("__driver_plan") or {} for host in hosts}
    changing = [host for host in hosts if _changes(plans[str(host["inventory_hostname"])])]
    fleet = {reboots: _fleet_lasted(plans, reboots) for reboots in (True, False)}
    nodes = [_node(host, turn, canary, fleet) for turn, host in enumerate(changing, 1)]
    with_gpu = [name for name, plan in plans.items() if plan.get("has_gpu")]
    at_a_time = budget.limit(max_unavailable, max(1, len(with_gpu))) if max_unavailable else None
    return {
        "format": FORMAT,
        "nodes": nodes,
        "at_a_time": at_a_time,
        "seconds": _seconds(nodes, canary, at_a_time),
        "refused": {name: [*map(str, plan["faults"])] for name, plan in plans.items() if plan.get("faults")},
        "not_read": {name: str(plan.get("msg", "no answer")) for name, plan in plans.items() if "has_gpu" not in plan},
        "nothing_to_do": [name for name in with_gpu if not plans[name]["steps"] and not plans[name].get("faults")],
        "without_gpu": [name for name, plan in plans.items() if plan.get("has_gpu") is False],
    }


def _changes(plan: Mapping[str, Any]) -> bool:
    return bool(plan.get("steps")) and not plan.get("faults")


def _fleet_lasted(plans: Mapping[str, Mapping[str, Any]], reboots: bool) -> list[int]:
    return [each for plan in plans.values() for each in schedule.lasted(plan.get("history") or (), reboots)]


def _node(host: Mapping[str, Any], turn: int, canary: int, fleet: Mapping[bool, Sequence[int]]) -> dict[str, Any]:
    plan = host["__driver_plan"]
    steps = [{key: step.get(key, "") for key in ("name", "reason", "disturbs")} for step in plan["steps"]]
    reasons = {step["name"]: step["reason"] for step in steps}
    reboots = reasons.get("reboot")
    own = schedule.lasted(plan.get("history") or (), reboots is not None)
    seconds, by = schedule.forecast(own, fleet[reboots is not None])
    return {
        "turn": turn,
        "canary": turn <= canary,
        "host": str(host["inventory_hostname"]),
        "node": node_of(host, host["inventory_hostname"]),
        "driver": {
            "now": (plan["node"].get("driver") or {}).get("installed_version"),
            "then": plan.get("target_version"),
        },
        "steps": steps,
        "drains": "drain" in reasons,
        **_drain(host),
        "reboots": reboots,
        "seconds": seconds,
        "seconds_by": by,
    }


def _drain(host: Mapping[str, Any]) -> dict[str, Any]:
    """Return which pods go, and what keeps them from it; of both nothing where the cluster was not asked."""
    told = host.get("__driver_would_go") or {}
    if told.get("failed"):
        return {"pods": None, "cannot_drain": str(told.get("msg", "see the failed task"))}
    pods = [pod for pod in told.get("pods") or () if pod.get("fate") != "stays"]
    return {"pods": pods if "pods" in told else None, "cannot_drain": None}


def _seconds(nodes: Sequence[Mapping[str, Any]], canary: int, at_a_time: int | None) -> int | None:
    """Return how long it takes: canaries first, then the others. None where a node's share is not known."""
    known = [node["seconds"] for node in nodes]
    if None in known:
        return None
    width = at_a_time or len(known) or 1
    return schedule.whole(known[:canary], width) + schedule.whole(known[canary:], width)


def lines(plan: Mapping[str, Any]) -> list[str]:
    """Return the plan as lines for the terminal."""
    return [printable(line) for line in (*_nodes(plan), *_rest(plan))]


def _nodes(plan: Mapping[str, Any]) -> Iterator[str]:
    for node in plan["nodes"]:
        driver = " → ".join(str(node["driver"][key] or "none") for key in ("now", "then"))
        first = " (canary)" if node["canary"] else ""
        length = schedule.words(node["seconds"])
        yield f"{node['turn']}. {node['host']}{first}: driver {driver}, {length} ({node['seconds_by']})"
        yield from (f"     {step['name']}: {step['reason']}" for step in node["steps"])
        if node["cannot_drain"]:
            yield f"     ! it cannot be emptied now: {node['cannot_drain']}"
        if node["pods"] is not None:
            names = ", ".join(f"{pod['namespace']}/{pod['name']}" for pod in node["pods"])
            yield f"     pods that go: {names or 'none'}"


def _rest(plan: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"! {name} cannot be changed: {' '.join(why)}" for name, why in plan["refused"].items())
    yield from (f"! {name} could not be read: {why}" for name, why in plan["not_read"].items())
    width = f", at most {plan['at_a_time']} at a time" if plan["at_a_time"] else ""
    done = f"{len(plan['nothing_to_do'])} have nothing to do"
    yield f"{len(plan['nodes'])} nodes change{width}, {done}. Time: {schedule.words(plan['seconds'])}."
