"""Whose host a Node is and what it lacks, as tables."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._drain import node as drain_node


def node(boot: str = "b1", machine: str = "m1", ready: str = "True", **allocatable: str) -> dict[str, Any]:
    status = {
        "nodeInfo": {"bootID": boot, "machineID": machine},
        "conditions": [{"type": "Ready", "status": ready}],
        "allocatable": {"cpu": "64", **allocatable},
    }
    return {"metadata": {"name": "gpu-01"}, "spec": {}, "status": status}


@pytest.mark.parametrize(
    ("found", "rebooted", "same"),
    [
        pytest.param(node(), False, True, id="boot"),
        pytest.param(node(machine=""), False, True, id="boot-alone"),
        pytest.param(node(boot="b0", machine="m0"), False, False, id="another"),
        pytest.param(node(boot="b0"), False, False, id="clone"),
        pytest.param(node(boot="b0", ready="Unknown"), False, True, id="kubelet-silent-since-the-boot"),
        pytest.param(node(boot="b0"), True, True, id="just-rebooted"),
        pytest.param(node(boot="b0", machine="m0", ready="Unknown"), True, False, id="another-that-is-down"),
        pytest.param(node(boot="", machine=""), False, False, id="no-ids"),
    ],
)
def test_another_host(found: dict[str, Any], rebooted: bool, same: bool) -> None:
    assert (drain_node.another_host(found, "b1", "m1", rebooted) is None) is same


@pytest.mark.parametrize(
    ("found", "said"),
    [
        pytest.param(node(**{"nvidia.com/gpu": "8"}), [], id="back"),
        pytest.param(node(**{"nvidia.com/gpu": "9"}), [], id="more"),
        pytest.param(node(**{"nvidia.com/gpu": "7"}), ["7 of 8 nvidia.com/gpu are allocatable"], id="one-lost"),
        pytest.param(node(), ["0 of 8 nvidia.com/gpu are allocatable"], id="none"),
        pytest.param(node(ready="Unknown", **{"nvidia.com/gpu": "8"}), ["the node is not Ready"], id="not-ready"),
    ],
)
def test_not_back(found: dict[str, Any], said: list[str]) -> None:
    assert list(drain_node.not_back(found, {"nvidia.com/gpu": 8}, "b1")) == said


def test_ready_from_before_the_reboot_does_not_count() -> None:
    (said,) = drain_node.not_back(node(boot="b0", **{"nvidia.com/gpu": "8"}), {"nvidia.com/gpu": 8}, "b1")
    assert "has not reported since the host booted" in said


def test_gpus_are_counted_by_resource_and_zeros_left_out() -> None:
    found = node(**{"nvidia.com/gpu": "0", "nvidia.com/mig-1g.10gb": "7", "nvidia.com/gpu.shared": "12"})
    assert drain_node.gpus(found) == {"nvidia.com/mig-1g.10gb": 7, "nvidia.com/gpu.shared": 12}
