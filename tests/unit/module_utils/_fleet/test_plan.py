"""The plan of a rollout out of the nodes' plans."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._fleet import plan as fleet_plan

STEPS = [
    {"name": "drain", "reason": "the step install comes", "disturbs": "", "data": {}},
    {"name": "install", "reason": "535 installed, 580 wanted", "disturbs": "GPU work", "data": {"big": "x"}},
    {"name": "reboot", "reason": "the new driver", "disturbs": "everything", "data": {}},
]
PLAN: dict[str, Any] = {
    "has_gpu": True,
    "steps": STEPS,
    "faults": [],
    "node": {"driver": {"installed_version": "535.1"}},
    "target_version": "580.1",
    "history": [{"outcome": "ok", "steps": ["reboot"], "away_s": 100}],
}
PODS = [
    {"namespace": "ml", "name": "train", "owner": "Job ml/train", "fate": "goes", "reason": "evicted"},
    {"namespace": "kube-system", "name": "cni", "owner": "DaemonSet", "fate": "stays", "reason": "DaemonSet"},
]


def host(name: str, plan: Any = PLAN, **more: Any) -> dict[str, Any]:
    return {"inventory_hostname": name, "__driver_plan": plan, **more}


FLEET = [
    host("a", __driver_would_go={"pods": PODS}),
    host(
        "b", {**PLAN, "history": []}, driver_node_name="node-b", __driver_would_go={"failed": True, "msg": "a budget"}
    ),
    host("c", {**PLAN, "steps": []}),
    host("d", {**PLAN, "faults": ["Wanted: room."]}),
    host("e", {"unreachable": True, "msg": "no route"}),
    host("f", {"has_gpu": False, "steps": [], "faults": []}),
    host("g", None),
]


def test_a_fleet() -> None:
    plan = fleet_plan.document(FLEET, canary=1, max_unavailable="50%")
    assert json.loads(json.dumps(plan)) == plan
    first, second = plan["nodes"]
    assert (first["turn"], first["canary"], first["host"], first["node"]) == (1, True, "a", "a")
    assert (second["turn"], second["canary"], second["host"], second["node"]) == (2, False, "b", "node-b")
    assert first["driver"] == {"now": "535.1", "then": "580.1"}
    assert first["steps"][1] == {"name": "install", "reason": "535 installed, 580 wanted", "disturbs": "GPU work"}
    assert [pod["name"] for pod in first["pods"]] == ["train"]
    assert (second["pods"], second["cannot_drain"]) == (None, "a budget")
    assert (first["reboots"], first["drains"]) == ("the new driver", True)
    assert [(node["seconds"], node["seconds_by"]) for node in plan["nodes"]] == [
        (100, "its own changes"),
        (100, "other nodes' changes"),
    ]
    assert (plan["at_a_time"], plan["seconds"]) == (2, 200)  # half of the four with GPUs; the canary goes before
    assert plan["refused"] == {"d": ["Wanted: room."]}
    assert plan["not_read"] == {"e": "no route", "g": "no answer"}
    assert (plan["nothing_to_do"], plan["without_gpu"]) == (["c"], ["f"])


def test_as_lines() -> None:
    lines = fleet_plan.lines(fleet_plan.document(FLEET, 1, "2"))
    assert lines[0] == "1. a (canary): driver 535.1 → 580.1, 2 min (its own changes)"
    assert "     reboot: the new driver" in lines
    assert "     pods that go: ml/train" in lines
    assert "     ! it cannot be emptied now: a budget" in lines
    assert "! d cannot be changed: Wanted: room." in lines
    assert lines[-1] == "2 nodes change, at most 2 at a time, 1 have nothing to do. Time: 3 min."


@pytest.mark.parametrize(
    ("hosts", "seconds", "at_a_time"),
    [
        ([], 0, None),
        ([host("a", {**PLAN, "history": []})], None, None),  # nobody remembers
        ([host("a"), host("b"), host("c")], 100, None),  # no budget: all at once
    ],
)
def test_how_long(hosts: list[dict[str, Any]], seconds: int | None, at_a_time: int | None) -> None:
    plan = fleet_plan.document(hosts)
    assert (plan["seconds"], plan["at_a_time"]) == (seconds, at_a_time)


def test_a_hosts_words_cannot_move_the_cursor() -> None:
    evil = host("a", {**PLAN, "steps": [{"name": "hold", "reason": "\x1b[2J", "disturbs": ""}]})
    assert not any("\x1b" in line for line in fleet_plan.lines(fleet_plan.document([evil])))
