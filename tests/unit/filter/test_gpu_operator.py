"""What hosts and older playbooks say, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.filter.gpu_operator import FilterModule

FILTERS = FilterModule().filters()
NFD = "node-feature-discovery"


def test_hosts() -> None:
    hostvars = {
        "a": {"gpu_sharing": "common", "gpu_mig": "", "other": 1},
        "b": {"gpu_operator_operands": False, "gpu_sharing": None},
        "c": {"gpu_mig": "all-1g.10gb"},
        "d": {"__driver_plan": {"has_gpu": True}},
        "e": {"__driver_plan": {"has_gpu": False}},
        "f": {"__driver_plan": {"msg": "unreachable"}},
    }
    found = FILTERS["operator_hosts"](hostvars, ["a", "b", "d", "e", "f", "not in the inventory"])
    assert found == {
        "nodes": ["a", "b", "d", "e", "f", "not in the inventory"],
        "gpus": ["d"],
        "failed": [],
        "sharing": {"a": "common"},
        "operands": {"b": False},
        "mig": {},
    }


def test_hosts_have_the_names_that_they_have_in_the_cluster() -> None:
    """One variable for all roles; that of the role driver is taken too."""
    hostvars = {"a": {"gpu_node_name": "node-a", "gpu_sharing": "common"}, "b": {"driver_node_name": "node-b"}, "c": {}}
    found = FILTERS["operator_hosts"](hostvars, ["a", "b", "c"], ["b"], ["a"])
    assert (found["nodes"], found["gpus"], found["failed"]) == (["node-a", "node-b", "c"], ["node-b"], ["node-a"])
    assert found["sharing"] == {"node-a": "common"}


IMAGES = [
    ({}, (), {}),
    ({"toolkit": {"version": "v1"}}, (), {"toolkit": {"version": "v1"}}),
    ({}, ("r/nfd", "v1", ""), {NFD: {"repository": "r/nfd", "tag": "v1"}}),
    ({NFD: {"tag": "v2"}}, ("r/nfd", "v1", "v0.14"), {NFD: {"repository": "r/nfd", "tag": "v2"},
                                                     "devicePlugin": {"version": "v0.14"}}),
]  # fmt: skip


@pytest.mark.parametrize(("images", "old", "expected"), IMAGES)
def test_images(images: dict[str, Any], old: tuple[str, ...], expected: dict[str, Any]) -> None:
    assert FILTERS["operator_images"](images, *old) == expected
