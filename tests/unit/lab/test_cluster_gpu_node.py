"""What a GPU node of the lab's cluster shows: labels, and capacity by sharing config and MIG."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.cluster import gpu_node
from tests.lab.cluster.gpu_node import DEPLOY, OPT_OUT, PCI_LABEL, Hardware, Sharing

A40 = Hardware(7, "NVIDIA A40", 46068, "Ampere")
H200 = Hardware(1, "NVIDIA H200", 143771, "Hopper")


def config(text: str) -> str:
    return "version: v1\n" + text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (None, Sharing()),
        ("", Sharing()),
        (config("flags: {migStrategy: none}"), Sharing()),
        (
            config("sharing: {timeSlicing: {renameByDefault: true, resources: [{name: nvidia.com/gpu, replicas: 4}]}}"),
            Sharing(4, True, "time-slicing"),
        ),
        (
            config("sharing: {timeSlicing: {resources: [{name: nvidia.com/gpu, replicas: 2}]}}"),
            Sharing(2, False, "time-slicing"),
        ),
        (config("sharing: {mps: {resources: [{name: nvidia.com/gpu, replicas: 3}]}}"), Sharing(3, False, "mps")),
        # In the wrong place: passed over in silence, as on a real node.
        (
            config(
                "flags: {renameByDefault: true}\n"
                "sharing: {timeSlicing: {resources: [{name: nvidia.com/gpu, replicas: 4}]}}"
            ),
            Sharing(4, False, "time-slicing"),
        ),
        (config("timeSlicing: {resources: [{name: nvidia.com/gpu, replicas: 4}]}"), Sharing()),
    ],
)
def test_sharing(text: str | None, wanted: Sharing) -> None:
    assert gpu_node.sharing(text) == wanted


@pytest.mark.parametrize(
    ("hardware", "shared", "mig", "strategy", "wanted"),
    [
        (A40, Sharing(), "", "single", {"nvidia.com/gpu": 7}),
        (A40, Sharing(4, True), "", "single", {"nvidia.com/gpu.shared": 28}),
        (A40, Sharing(2, False), "", "single", {"nvidia.com/gpu": 14}),
        (H200, Sharing(), "all-disabled", "single", {"nvidia.com/gpu": 1}),
        (H200, Sharing(), "all-1g.18gb", "single", {"nvidia.com/gpu": 7}),
        (H200, Sharing(), "all-2g.35gb", "mixed", {"nvidia.com/mig-2g.35gb": 3}),
    ],
)
def test_resources(hardware: Hardware, shared: Sharing, mig: str, strategy: str, wanted: dict[str, int]) -> None:
    assert gpu_node.resources(hardware, shared, mig, strategy) == wanted


@pytest.mark.parametrize(
    ("present", "wanted", "after"),
    [
        ({"cpu": "4"}, {"nvidia.com/gpu": 7}, {"nvidia.com/gpu": "7"}),
        ({"nvidia.com/gpu": "7"}, {"nvidia.com/gpu": 7}, None),
        (
            {"nvidia.com/gpu": "7"},
            {"nvidia.com/gpu.shared": 28},
            {"nvidia.com/gpu": "0", "nvidia.com/gpu.shared": "28"},
        ),
        ({"nvidia.com/gpu": "7"}, {}, {"nvidia.com/gpu": "0"}),
        ({"cpu": "4"}, {}, None),
    ],
)
def test_a_resource_that_is_gone_stays_as_zero(present: Any, wanted: dict[str, int], after: Any) -> None:
    patch = gpu_node.status_patch({"capacity": present, "allocatable": present}, wanted)
    assert patch == ({"capacity": after, "allocatable": after} if after else {})


def deployed(labels: dict[str, str | None]) -> set[str]:
    return {key[len(DEPLOY) :] for key, value in labels.items() if key.startswith(DEPLOY) and value == "true"}


def test_operator_labels_follow_the_hardware() -> None:
    assert deployed(gpu_node.operator_labels(A40, {PCI_LABEL: "true"})) == set(gpu_node.DEPLOYED)
    assert "mig-manager" in deployed(gpu_node.operator_labels(H200, {PCI_LABEL: "true"}))
    assert gpu_node.operator_labels(A40, {}) == {}, "without NFD's label the operator sees no GPU"


def test_a_value_that_somebody_set_stays() -> None:
    labels = {PCI_LABEL: "true", f"{DEPLOY}driver": "pre-installed"}
    assert gpu_node.operator_labels(A40, labels)[f"{DEPLOY}driver"] == "pre-installed"


def test_opting_out_takes_the_deploy_labels_away() -> None:
    labels = {PCI_LABEL: "true", OPT_OUT: "false", f"{DEPLOY}device-plugin": "true"}
    assert gpu_node.operator_labels(A40, labels) == {"nvidia.com/gpu.present": "true", f"{DEPLOY}device-plugin": None}


@pytest.mark.parametrize(
    ("shared", "mig", "product"),
    [
        (Sharing(), "", "NVIDIA-H200"),
        (Sharing(4, True, "time-slicing"), "", "NVIDIA-H200"),
        (Sharing(4, False, "time-slicing"), "", "NVIDIA-H200-SHARED"),
        (Sharing(), "all-1g.18gb", "NVIDIA-H200-MIG-1g.18gb"),
    ],
)
def test_product_label(shared: Sharing, mig: str, product: str) -> None:
    assert gpu_node.discovery_labels(H200, shared, mig, "single")["nvidia.com/gpu.product"] == product


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("all-disabled", ("", 1)), ("all-1g.5gb", ("1g.5gb", 7)), ("all-3g.20gb", ("3g.20gb", 2)), ("al-1g.5gb", None)],
)
def test_mig_instances(name: str, wanted: Any) -> None:
    assert gpu_node.mig_instances(name) == wanted
