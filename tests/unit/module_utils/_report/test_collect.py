"""A node's facts from what a play knows of its host."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._report.collect import by_name, cluster, collect

HOT = {"code": "hot", "severity": "error", "evidence": "it is hot", "remedy": "cool it", "gpu": {"index": 0}}
SMI = {
    "pci_gpus": [{}],
    "gpus": [{"index": 0}],
    "driver_version": "580.1",
    "kernel_module": {"kernel_modules": "open"},
    "health": [HOT],
    "topology": None,
}


def test_nothing_is_unreachable() -> None:
    assert collect("a", {}) == {"reachable": False, "name": "a"}


def test_a_node_that_only_the_cluster_knows_is_unreachable() -> None:
    node = collect("a", {}, {"status": {"allocatable": {"nvidia.com/gpu": "1"}}})
    assert node["reachable"] is False and node["cluster"]["allocatable"] == {"nvidia.com/gpu": "1"}


def test_sources_in_their_order() -> None:
    variables = {
        "ansible_facts": {
            "ansible_local": {
                "t9k_gpu": {"kernel": "old", "driver": {"held_packages": ["x"]}, "problems": ["from file"]}
            },
            "distribution": "Ubuntu",
            "distribution_version": "24.04",
            "kernel": "6.8",
            "nvidia_smi": SMI,
        },
        "gpu_validate_p2p": {"verdict": "ok"},
        "gpu_report_node": {"driver": {"gsp_enabled": True}, "problems": ["from variable", "from file"], "os": None},
    }
    assert collect("a", variables, {"metadata": {}}) == {
        "name": "a",
        "reachable": True,
        "os": "Ubuntu 24.04",
        "kernel": "6.8",
        "driver": {
            "held_packages": ["x"],
            "loaded_version": "580.1",
            "kernel_modules": "open",
            "gsp_enabled": True,
        },
        "gpus": [{"index": 0}],
        "p2p": {"verdict": "ok"},
        "cluster": {"allocatable": {}, "labels": {}},
        "health": [HOT],
        "problems": ["from file", "from variable"],
    }


CHECK = {"uuid": "GPU-1", "status": "ok"}
PROVED = {"gpus": [CHECK], "health": [HOT], "proved": True}


@pytest.mark.parametrize(
    ("variables", "compute", "health"),
    [
        ({"gpu_validate_compute": PROVED}, [CHECK], [HOT]),
        ({"__driver_compute": PROVED}, [CHECK], [HOT]),
        ({"gpu_validate_compute": PROVED, "__driver_compute": {"gpus": [], "health": []}}, [CHECK], [HOT]),
        ({"__driver_compute": {"skipped": True}}, None, None),
        ({"__driver_compute": "odd"}, None, None),
    ],
)
def test_what_was_computed(variables: dict[str, Any], compute: Any, health: Any) -> None:
    node = collect("a", variables)
    assert (node.get("compute"), node.get("health")) == (compute, health)


def test_a_host_without_gpus_has_no_fault() -> None:
    smi = {"pci_gpus": [], "gpus": [], "health": [HOT], "status": "not_installed"}
    node = collect("a", {"ansible_facts": {"nvidia_smi": smi}})
    assert node["gpus"] == [] and "health" not in node


@pytest.mark.parametrize(
    ("labels", "allocatable", "sharing"),
    [
        ({}, {"cpu": "8"}, None),
        ({}, {"nvidia.com/gpu": "7"}, "exclusive"),
        ({"nvidia.com/gpu.replicas": "1"}, {"nvidia.com/gpu": "7"}, "exclusive"),
        ({"nvidia.com/gpu.replicas": "4"}, {"nvidia.com/gpu.shared": "4"}, "time-slicing x4"),
        (
            {"nvidia.com/gpu.replicas": "2", "nvidia.com/gpu.sharing-strategy": "mps"},
            {"nvidia.com/gpu": "2"},
            "mps x2",
        ),
        ({"nvidia.com/gpu.product": "A40-SHARED"}, {"nvidia.com/gpu": "4"}, "shared"),
        ({}, {"nvidia.com/gpu": "0", "nvidia.com/mig-1g.10gb": "7", "nvidia.com/mig-2g.20gb": "0"}, "MIG 1g.10gb"),
    ],
)
def test_sharing(labels: dict[str, str], allocatable: dict[str, str], sharing: str | None) -> None:
    found = cluster({"metadata": {"labels": labels}, "status": {"allocatable": allocatable}})
    assert found["sharing"] == sharing and "cpu" not in found["allocatable"]


@pytest.mark.parametrize(
    "odd", [{}, {"ansible_facts": None}, {"ansible_facts": {"nvidia_smi": "x"}, "gpu_report_node": 3}]
)
def test_odd_variables(odd: dict[str, Any]) -> None:
    assert collect("a", odd)["name"] == "a"


def test_the_plan_of_the_role_driver() -> None:
    planned = {"name": "a", "reachable": True, "problems": ["x"], "gpus": [{}], "plan": {"steps": []}}
    assert collect("a", {}, None, planned)["plan"] == {"steps": []}
    assert collect("a", {}, None, {"name": "a", "reachable": False, "problems": []})["reachable"] is False
    smi = {"ansible_facts": {"nvidia_smi": SMI}}
    node = collect("a", smi, None, planned)
    assert (node["problems"], node["health"], node["gpus"]) == (["x"], [HOT], [{"index": 0}])
    assert collect("a", {}, None, {"name": "a", "gpus": []}) == {"reachable": True, "gpus": [], "name": "a"}


def test_by_name() -> None:
    assert set(by_name([{"metadata": {"name": "a"}}, {}])) == {"a", "None"}
