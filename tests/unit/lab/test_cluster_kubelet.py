"""What the lab's kubelet stand-in tells of a host: before, during and after a reboot."""

from __future__ import annotations

from typing import Any

from tests.lab.cluster import kubelet_stand_in


def node(boot_id: str = "", **resources: str) -> dict[str, Any]:
    conditions = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}]
    return {"status": {"nodeInfo": {"bootID": boot_id}, "conditions": conditions, "allocatable": resources}}


def ready(status: dict[str, Any]) -> list[str]:
    return [condition["status"] for condition in status["conditions"] if condition["type"] == "Ready"]


def test_a_host_that_is_down_is_unknown_and_keeps_its_other_conditions() -> None:
    status = kubelet_stand_in.silent(node("one"))
    assert ready(status) == ["Unknown"]
    assert len(status["conditions"]) == 2


def test_after_a_boot_the_gpus_count_nothing_until_the_plugin_is_back() -> None:
    status = kubelet_stand_in.reported(node("one", **{"cpu": "64", "nvidia.com/gpu": "8"}), "two", "machine")
    assert ready(status) == ["True"]
    assert status["nodeInfo"] == {"bootID": "two", "machineID": "machine"}
    assert status["allocatable"] == {"nvidia.com/gpu": "0"}


def test_the_first_report_and_one_of_the_same_boot_leave_the_gpus_alone() -> None:
    for known in ("", "one"):
        assert "allocatable" not in kubelet_stand_in.reported(node(known, **{"nvidia.com/gpu": "8"}), "one", "machine")
