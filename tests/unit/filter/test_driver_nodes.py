"""What a play knows of its hosts, as the report takes it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.filter.driver_nodes import FilterModule, driver_nodes
from ansible_collections.t9k.gpu.plugins.filter.gpu_summary import gpu_summary

STEP = {"name": "hold", "reason": "not held", "disturbs": "", "data": {"state": "held"}}
HOT = {"code": "hot", "evidence": "it is hot"}
NODE = {"os": "Ubuntu 22.04", "gpus": [{"index": 0}], "problems": ["it is hot"], "health": [HOT], "driver": {}}
SHOWN = {**NODE, "driver": {"rebooted": False}}
PLAN = {"has_gpu": True, "steps": [STEP], "faults": ["no room"], "node": NODE}


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        (None, {"reachable": False, "problems": []}),
        ({}, {"reachable": False, "problems": []}),
        ({"unreachable": True, "msg": "no route to host"}, {"reachable": False, "problems": []}),
        ({"failed": True, "msg": "no dpkg"}, {"reachable": True, "problems": ["no dpkg"]}),
        ({"has_gpu": False, "steps": []}, {"gpus": []}),
        (PLAN, {**SHOWN, "problems": ["no room"], "plan": {"steps": [{"name": "hold", "reason": "not held"}]}}),
        ({**PLAN, "steps": [], "faults": []}, {**SHOWN, "problems": [], "plan": {"steps": []}}),
        (
            {**PLAN, "steps": [], "faults": [], "history": [{"outcome": "ok"}]},
            {**SHOWN, "problems": [], "plan": {"steps": []}, "history": [{"outcome": "ok"}]},
        ),
    ],
)  # fmt: skip
def test_one_node(plan: dict[str, Any] | None, expected: dict[str, Any]) -> None:
    host = {"inventory_hostname": "gpu1", "other": "variable", **({"__driver_plan": plan} if plan is not None else {})}
    assert driver_nodes([host]) == [{"name": "gpu1", **expected}]


def test_a_reboot_of_this_run_is_told() -> None:
    host = {"inventory_hostname": "gpu1", "__driver_plan": PLAN, "__driver_applied": {"steps": [{"name": "reboot"}]}}
    assert driver_nodes([host])[0]["driver"]["rebooted"] is True


@pytest.mark.parametrize(("steps", "expected"), [(["drain", "uncordon"], 84), (["hold"], None), ([], None)])
def test_how_long_the_node_was_away_in_this_run(steps: list[str], expected: int | None) -> None:
    """What was registered outlives its run; a run that drains nothing must not show it again."""
    applied = {"steps": [{"name": name} for name in steps]}
    host = {"inventory_hostname": "gpu1", "__driver_plan": PLAN, "__driver_applied": applied}
    (node,) = driver_nodes([{**host, "__driver_readmitted": {"away_s": 84}}])
    assert node["driver"].get("away_seconds") == expected
    assert ("84 s" in gpu_summary([node])) is (expected is not None)


def test_the_order_stays_and_the_summary_takes_them() -> None:
    hosts = [{"inventory_hostname": "gpu2"}, {"inventory_hostname": "gpu1", "__driver_plan": PLAN}]
    nodes = driver_nodes(hosts)
    assert [node["name"] for node in nodes] == ["gpu2", "gpu1"]
    assert "unreachable" in gpu_summary(nodes)


def test_the_filters_name() -> None:
    assert FilterModule().filters() == {"driver_nodes": driver_nodes}
