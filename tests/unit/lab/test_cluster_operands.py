"""Which operands the lab's operator deploys, and when they count as rolled out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.cluster import operands

ALWAYS = {
    "gpu-feature-discovery",
    "nvidia-container-toolkit-daemonset",
    "nvidia-dcgm-exporter",
    "nvidia-device-plugin-daemonset",
    "nvidia-mig-manager",
    "nvidia-operator-validator",
}
OFF: dict[str, Any] = {"driver": {"enabled": False}}


def policy(spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "cluster-policy", "uid": "u"}
    return {"apiVersion": "nvidia.com/v1", "kind": "ClusterPolicy", "metadata": metadata, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (OFF, ALWAYS),
        ({}, ALWAYS | {"nvidia-driver-daemonset"}),
        ({**OFF, "migManager": {"enabled": False}}, ALWAYS - {"nvidia-mig-manager"}),
        ({**OFF, "dcgm": {"enabled": True}}, ALWAYS | {"nvidia-dcgm"}),
    ],
)
def test_wanted(spec: dict[str, Any], wanted: set[str]) -> None:
    assert {operand.name for operand in operands.wanted(spec)} == wanted


@pytest.mark.parametrize(
    ("section", "wanted"),
    [
        ({}, ("", "")),
        ({"config": None}, ("", "")),
        ({"config": {"name": "time-slicing-config"}}, ("time-slicing-config", "")),
        ({"config": {"name": "c", "default": "common"}}, ("c", "common")),
    ],
)
def test_plugin_config(section: dict[str, Any], wanted: tuple[str, str]) -> None:
    assert operands.plugin_config({"devicePlugin": section}) == wanted


def stamp(operand: operands.Operand, spec: dict[str, Any], pending: bool = False) -> str:
    body = operands.daemonset(operand, policy(spec), "gpu-operator", pending)
    hashed: str = body["metadata"]["annotations"][operands.HASH]
    return hashed


def test_only_the_plugin_and_discovery_roll_for_another_config() -> None:
    changed = {
        operand.name
        for operand in operands.OPERANDS
        if stamp(operand, OFF) != stamp(operand, {**OFF, "devicePlugin": {"config": {"name": "c"}}})
    }
    assert changed == {"nvidia-device-plugin-daemonset", "gpu-feature-discovery"}


def test_daemonset_is_selected_by_its_deploy_label_and_owned_by_the_policy() -> None:
    plugin = next(operand for operand in operands.OPERANDS if operand.deploy == "device-plugin")
    section = {"repository": "mirror/nvidia", "image": "k8s-device-plugin", "version": "v1"}
    body = operands.daemonset(plugin, policy({"devicePlugin": section}), "ns")
    pod = body["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.deploy.device-plugin": "true"}
    assert pod["containers"][0]["image"] == "mirror/nvidia/k8s-device-plugin:v1"
    assert body["metadata"]["ownerReferences"][0]["kind"] == "ClusterPolicy"


@pytest.mark.parametrize(
    ("status", "done"),
    [
        ({}, False),
        ({"observedGeneration": 2, "desiredNumberScheduled": 0}, True),
        ({"observedGeneration": 2, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberReady": 1}, True),
        ({"observedGeneration": 1, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberReady": 1}, False),
        ({"observedGeneration": 2, "desiredNumberScheduled": 1, "updatedNumberScheduled": 0, "numberReady": 1}, False),
        ({"observedGeneration": 2, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberReady": 0}, False),
    ],
)
def test_rolled_out(status: dict[str, int], done: bool) -> None:
    assert operands.rolled_out({"metadata": {"generation": 2}, "status": status}) is done


@pytest.mark.parametrize(("wish", "made"), [({}, False), ({"enabled": False}, False), ({"enabled": True}, True)])
def test_service_monitor(wish: dict[str, bool], made: bool) -> None:
    monitor = operands.service_monitor(policy({"dcgmExporter": {"serviceMonitor": wish}}), "gpu-operator")
    assert (monitor is not None) is made
