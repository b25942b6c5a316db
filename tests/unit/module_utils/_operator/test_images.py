"""Images of a rendered chart, and their places in a mirror."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._operator.images import Nodes, Pair, address, collect, pairs

JAMMY = Nodes(("ubuntu22.04",))
ADDRESSES = [
    ({"repository": "r/n", "image": "toolkit", "version": "v1"}, "r/n/toolkit:v1"),
    ({"repository": "r/n", "image": "toolkit", "version": "sha256:ab"}, "r/n/toolkit@sha256:ab"),
    ({"image": "r/n/toolkit", "version": 1}, "r/n/toolkit:1"),
    ({"repository": "r", "image": "toolkit"}, "r/toolkit"),
]


@pytest.mark.parametrize(("component", "expected"), ADDRESSES)
def test_address(component: dict[str, Any], expected: str) -> None:
    assert address(component) == expected


def component(image: str, **more: Any) -> dict[str, Any]:
    return {"repository": "nvcr.io/nvidia", "image": image, "version": "1", **more}


POLICY = {
    "kind": "ClusterPolicy",
    "metadata": {"name": "p"},
    "spec": {
        "operator": {"initContainer": component("cuda")},
        "driver": component("driver", enabled=True, manager=component("manager")),
        "toolkit": component("toolkit", enabled=True),
        "dcgm": component("dcgm", enabled=False),
        "vfioManager": component("vfio", enabled=True),
        "sandboxWorkloads": {"enabled": False},
    },
}
DEPLOYMENT = {
    "kind": "Deployment",
    "metadata": {"name": "gpu-operator"},
    "spec": {"template": {"spec": {"initContainers": [{"name": "i", "image": "a:1"}],
                                   "containers": [{"name": "c", "image": "b:1"}]}}},
}  # fmt: skip


def test_collect() -> None:
    assert collect([POLICY, DEPLOYMENT, {"kind": "ConfigMap", "metadata": {"name": "x"}}], JAMMY) == {
        "ClusterPolicy operator.initContainer": "nvcr.io/nvidia/cuda:1",
        "ClusterPolicy driver (ubuntu22.04)": "nvcr.io/nvidia/driver:1-ubuntu22.04",
        "ClusterPolicy driver.manager": "nvcr.io/nvidia/manager:1",
        "ClusterPolicy toolkit": "nvcr.io/nvidia/toolkit:1",
        "Deployment gpu-operator, i": "a:1",
        "Deployment gpu-operator, c": "b:1",
    }


def test_collect_everything() -> None:
    found = collect([POLICY], JAMMY, everything=True)
    assert {"ClusterPolicy dcgm", "ClusterPolicy vfioManager"} <= set(found)


def test_host_drivers_need_no_driver_image() -> None:
    spec = {**POLICY["spec"], "driver": component("driver", enabled=False, manager=component("manager"))}  # type: ignore[dict-item]
    assert not any("driver" in where for where in collect([{**POLICY, "spec": spec}], JAMMY))


def test_pairs_name_each_image_once_and_leave_unmapped_ones_without_a_target() -> None:
    sources = {"a": "x:1", "b": "x:1", "c": "y:1"}
    assert pairs(sources, {"a": "m/x:1", "b": "m/x:1", "c": "y:1"}) == (Pair("a", "x:1", "m/x:1"), Pair("c", "y:1", ""))


DIGEST = "sha256:" + "a" * 64
TAGS: list[tuple[str, dict[str, Any], list[str]]] = [
    ("gds and gdrcopy", {"gds": component("nvidia-fs", enabled=True), "gdrcopy": component("gdrdrv", enabled=True)},
     ["nvcr.io/nvidia/gdrdrv:1-ubuntu22.04", "nvcr.io/nvidia/nvidia-fs:1-ubuntu22.04"]),
    ("a digest goes on with nothing", {"driver": component("driver", version=DIGEST)}, [f"nvcr.io/nvidia/driver@{DIGEST}"]),
    ("precompiled", {"driver": component("driver", version="580", usePrecompiled=True)},
     ["nvcr.io/nvidia/driver:580-5.15.0-130-generic-ubuntu22.04", "nvcr.io/nvidia/driver:580-6.8.0-60-generic-ubuntu22.04"]),
    ("the ClusterPolicy leaves the driver to NVIDIADrivers", {"driver": component("driver", useNvidiaDriverCRD=True)}, []),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "expected"), [row[1:] for row in TAGS], ids=[row[0] for row in TAGS])
def test_tags_go_on_as_the_operator_makes_them(spec: dict[str, Any], expected: list[str]) -> None:
    nodes = Nodes(("ubuntu22.04",), ("5.15.0-130-generic", "6.8.0-60-generic"))
    policy = {"kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": spec}
    assert sorted(collect([policy], nodes).values()) == expected


def test_an_nvidia_driver_and_a_gpu_cluster_name_images() -> None:
    spec = {**component("driver", version="595"), "manager": component("manager"), "gds": component("fs", enabled=True)}
    driver = {"kind": "NVIDIADriver", "metadata": {"name": "old"}, "spec": spec}
    dra = {"kind": "GPUCluster", "metadata": {"name": "gpu-cluster"}, "spec": {"draDriver": component("dra")}}
    assert collect([driver, dra], JAMMY) == {
        "NVIDIADriver (ubuntu22.04) old": "nvcr.io/nvidia/driver:595-ubuntu22.04",
        "NVIDIADriver manager old": "nvcr.io/nvidia/manager:1",
        "NVIDIADriver gds (ubuntu22.04) old": "nvcr.io/nvidia/fs:1-ubuntu22.04",
        "GPUCluster draDriver": "nvcr.io/nvidia/dra:1",
    }


def test_images_that_the_operator_is_told_of_by_its_environment() -> None:
    told = [{"name": "VALIDATOR_IMAGE", "value": "v:1"}, {"name": "OPERATOR_NAMESPACE", "value": "x"}]
    container = {"name": "c", "image": "b:1", "env": told}
    item = {
        "kind": "Deployment",
        "metadata": {"name": "o"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    assert set(collect([item], JAMMY).values()) == {"b:1", "v:1"}
