"""The filters' names, and the order that they see to."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.filter.fleet_plan import FilterModule, gpus, turns

HOSTS = [{"inventory_hostname": "a"}, {"inventory_hostname": "b", "gpu_node_name": "node-b"}]
NODES = [{"metadata": {"name": "node-b", "labels": {"rack": "1"}}}]


@pytest.mark.parametrize(("label", "expected"), [("", ["a", "b"]), ("rack", ["b", "a"]), ("zone", ["a", "b"])])
def test_turns(label: str, expected: list[str]) -> None:
    assert turns(HOSTS, NODES, label) == expected


def test_gpus_by_node() -> None:
    two = {"has_gpu": True, "node": {"gpus": [{}, {}]}}
    read = [{**HOSTS[0], "__driver_plan": {"has_gpu": False}}, {**HOSTS[1], "__driver_plan": two}]
    assert gpus([*read, {"inventory_hostname": "c", "__driver_plan": {"msg": "no answer"}}]) == {"a": 0, "node-b": 2}


def test_the_filters() -> None:
    filters: dict[str, Any] = FilterModule().filters()
    plan = filters["fleet_plan"](HOSTS, "1", 2)
    assert plan["not_read"] == {"a": "no answer", "b": "no answer"}
    assert filters["fleet_plan_lines"](plan)[-1].startswith("0 nodes change, at most 2 at a time")
    assert filters["fleet_turns"](HOSTS) == ["a", "b"]
