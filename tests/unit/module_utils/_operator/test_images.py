"""Images of a rendered chart, and their places in a mirror."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._operator.images import Pair, address, collect, pairs

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
    assert collect([POLICY, DEPLOYMENT, {"kind": "ConfigMap", "metadata": {"name": "x"}}], ["ubuntu22.04"]) == {
        "ClusterPolicy operator.initContainer": "nvcr.io/nvidia/cuda:1",
        "ClusterPolicy driver (ubuntu22.04)": "nvcr.io/nvidia/driver:1-ubuntu22.04",
        "ClusterPolicy driver.manager": "nvcr.io/nvidia/manager:1",
        "ClusterPolicy toolkit": "nvcr.io/nvidia/toolkit:1",
        "Deployment gpu-operator, i": "a:1",
        "Deployment gpu-operator, c": "b:1",
    }


def test_collect_everything() -> None:
    found = collect([POLICY], ["ubuntu22.04"], everything=True)
    assert {"ClusterPolicy dcgm", "ClusterPolicy vfioManager"} <= set(found)


def test_host_drivers_need_no_driver_image() -> None:
    spec = {**POLICY["spec"], "driver": component("driver", enabled=False, manager=component("manager"))}  # type: ignore[dict-item]
    assert not any("driver" in where for where in collect([{**POLICY, "spec": spec}], ["ubuntu22.04"]))


def test_pairs_name_each_image_once_and_leave_unmapped_ones_without_a_target() -> None:
    sources = {"a": "x:1", "b": "x:1", "c": "y:1"}
    assert pairs(sources, {"a": "m/x:1", "b": "m/x:1", "c": "y:1"}) == (Pair("a", "x:1", "m/x:1"), Pair("c", "y:1", ""))
