"""Installations that are not the usual one: each works, each thing spoiled in it is named, and nothing of another shape is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import operator_cluster as cluster
import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import Expect
from ansible_collections.t9k.gpu.plugins.module_utils._operator.readiness import remaining, waiting
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState

POOLS = ("nvidia-gpu-driver-ubuntu22.04-7c6d7bd86b", "nvidia-gpu-driver-ubuntu24.04-5f9c66c4b8")
IMAGE = {"repository": "nvcr.io/nvidia", "image": "driver", "version": "595.91.07"}
DRA = ("nvidia-dra-driver-kubelet-plugin", "nvidia-dra-validator", "nvidia-dcgm-exporter-dra")


def driver(name: str = "default", state: str = "ready") -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": dict(IMAGE), "status": {"state": state}}


def pool(name: str, version: str = "595.91.07", pods: int = 1) -> dict[str, Any]:
    item = cluster.daemonset(name, pods)
    owner = {"kind": "NVIDIADriver", "name": "default"}
    item["metadata"].update(labels={"app.kubernetes.io/component": "nvidia-driver"}, ownerReferences=[owner])
    item["spec"]["template"]["spec"] = {"containers": [{"image": f"nvcr.io/nvidia/driver:{version}-{name[18:29]}"}]}
    return item


def with_driver_crd(drivers: tuple[Any, ...] = (driver(),), version: str = "595.91.07") -> ClusterState:
    state = cluster.finished(policies=(cluster.policy(driver={"enabled": True, "useNvidiaDriverCRD": True}),))
    return replace(state, drivers=drivers, daemonsets={**state.daemonsets, **{n: pool(n, version) for n in POOLS}})


def with_gpu_cluster(**more: Any) -> ClusterState:
    state = cluster.finished(policies=())
    nodes = {name: cluster.node(name, 0, {}) for name in ("gpu-1", "gpu-2", "cpu-1")}
    for name in ("gpu-1", "gpu-2"):  # the device plugin's GPU feature discovery is not there, and its labels neither
        nodes[name]["metadata"]["labels"].update({cluster.PCI: "true", "nvidia.com/gpu.present": "true"})
    sets = {name: cluster.daemonset(name, 2) for name in DRA}
    worker = "gpu-operator-node-feature-discovery-worker"
    sets[worker] = cluster.daemonset(worker, 3)
    gpu_cluster = {"metadata": cluster.owned("gpu-cluster"), "spec": {"draDriver": {}}, "status": {"state": "ready"}}
    deployments = {
        **state.deployments,
        "nvidia-dra-driver-controller": cluster.deployment("nvidia-dra-driver-controller"),
    }
    found: dict[str, Any] = {
        "nodes": nodes, "daemonsets": sets, "gpu_clusters": (gpu_cluster,), "drivers": (driver(),), "deployments": deployments,
        "slices": frozenset({"gpu-1", "gpu-2"}), **more,
    }  # fmt: skip
    return replace(state, **found)


SANDBOX = {"enabled": True, "defaultWorkload": "container"}
FOR_MACHINES = {"nvidia.com/gpu.workload.config": "vm-passthrough"}


def with_machines(allocatable: dict[str, str], **sandbox: Any) -> ClusterState:
    """gpu-1 runs containers, gpu-2 gives its GPUs to virtual machines."""
    sections = {"sandboxDevicePlugin": {"enabled": True}, "vfioManager": {"enabled": True}}
    state = cluster.finished(policies=(cluster.policy(sandboxWorkloads={**SANDBOX, **sandbox}, **sections),))
    node = cluster.node("gpu-2", 0, allocatable, **FOR_MACHINES)
    node["metadata"]["labels"].update({cluster.PCI: "true", "nvidia.com/gpu.present": "true"})
    sets = {name: cluster.daemonset(name, 3 if name.endswith("worker") else 1) for name in state.daemonsets}
    for name in ("nvidia-sandbox-device-plugin-daemonset", "nvidia-sandbox-validator", "nvidia-vfio-manager"):
        sets[name] = cluster.daemonset(name, 1)
    return replace(state, nodes={**state.nodes, "gpu-2": node}, daemonsets=sets)


def off_on(node: str, operand: str) -> ClusterState:
    """An operand that somebody keeps off one node, and its DaemonSet as Kubernetes then has it."""
    state = cluster.finished()
    label = f"nvidia.com/gpu.deploy.{operand}"
    found = cluster.node(node, 2, **{label: "false"})
    name = {"dcgm-exporter": "nvidia-dcgm-exporter", "operator-validator": "nvidia-operator-validator"}[operand]
    endpoints = ({"metadata": {"name": "x"}, "endpoints": [{}] if operand == "dcgm-exporter" else [{}, {}]},)
    return replace(
        state,
        nodes={**state.nodes, node: found},
        daemonsets={**state.daemonsets, name: cluster.daemonset(name, 1)},
        endpoints=endpoints,
    )


def without_plugin() -> ClusterState:
    state = cluster.finished(policies=(cluster.policy(devicePlugin={"enabled": False}),))
    nodes = {name: cluster.node(name, 2, {}) for name in ("gpu-1", "gpu-2")}
    sets = {name: item for name, item in state.daemonsets.items() if name != "nvidia-device-plugin-daemonset"}
    return replace(state, nodes={**state.nodes, **nodes}, daemonsets=sets)


DRA_EXPECT = Expect(gpu_cluster=True)
NO_PLUGIN = without_plugin()
TABLE: list[tuple[str, ClusterState, Expect, list[str]]] = [
    ("NVIDIADriver, two pools", with_driver_crd(), Expect(), []),
    ("NVIDIADriver, none", with_driver_crd(()), Expect(),
     ["NVIDIADriver *: wants one to exist (driver.nvidiaDriverCRD is enabled), has none"]),
    ("NVIDIADriver, one not ready", with_driver_crd((driver(), driver("old", "notReady"))), Expect(),
     ["NVIDIADriver old: wants state ready, has notReady"]),
    ("NVIDIADriver, its pods of before", with_driver_crd(version="580.105.08"), Expect(),
     [f"DaemonSet {name}: wants image nvcr.io/nvidia/driver:595.91.07, has nvcr.io/nvidia/driver:580.105.08-{name[18:29]}"
      for name in POOLS]),
    ("GPUCluster", with_gpu_cluster(), DRA_EXPECT, []),
    ("GPUCluster, not there", cluster.finished(policies=()), DRA_EXPECT,
     ["Node gpu-1: wants GPUs in a ResourceSlice of gpu.nvidia.com, has none",
      "Node gpu-2: wants GPUs in a ResourceSlice of gpu.nvidia.com, has none",
      "GPUCluster gpu-cluster: wants to exist, has nothing"]),
    ("GPUCluster, a node without GPUs to claim", with_gpu_cluster(slices=frozenset({"gpu-1"})), DRA_EXPECT,
     ["Node gpu-2: wants GPUs in a ResourceSlice of gpu.nvidia.com, has none"]),
    ("GPUCluster, beside a ClusterPolicy", with_gpu_cluster(policies=(cluster.policy(),)), DRA_EXPECT,
     ["ClusterPolicy cluster-policy: wants to be gone (the GPUCluster takes its place), has still there"]),
    ("GPUCluster, no controller", with_gpu_cluster(deployments=cluster.finished().deployments), DRA_EXPECT,
     ["Deployment nvidia-dra-driver-controller: wants to exist, has nothing"]),
    ("a DRA driver of one's own", NO_PLUGIN, Expect(), []),
    ("a node for virtual machines", with_machines({"nvidia.com/GA102GL_A10": "2"}), Expect(), []),
    ("a node for virtual machines, no device", with_machines({}), Expect(),
     ["Node gpu-2: wants GPUs for virtual machines (nvidia.com/MODEL), has none"]),
    ("Kata has a plugin of its own", with_machines({"nvidia.com/pgpu": "2"}, mode="kata"), Expect(), []),
    ("an operand switched off on a node", off_on("gpu-1", "operator-validator"), Expect(), []),
    ("the exporter switched off on a node", off_on("gpu-1", "dcgm-exporter"), Expect(), []),
]  # fmt: skip


@pytest.mark.parametrize(("state", "expect", "said"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_a_shape(state: ClusterState, expect: Expect, said: list[str]) -> None:
    found = [str(each) for each in waiting(state, expect)]
    if "beside" in "".join(said) or any("takes its place" in each for each in said):
        found = [each for each in found if "takes its place" in each]
    assert found == said


def test_a_daemonset_that_a_workload_needs() -> None:
    state = with_machines({"nvidia.com/GA102GL_A10": "2"})
    sets = {name: item for name, item in state.daemonsets.items() if name != "nvidia-vfio-manager"}
    (found,) = waiting(replace(state, daemonsets=sets), Expect())
    assert str(found) == "DaemonSet nvidia-vfio-manager: wants to exist, has nothing"


def test_what_is_left_of_a_gpu_cluster() -> None:
    names = {each.name for each in remaining(with_gpu_cluster(), "gpu-operator")}
    assert {"gpu-cluster", *DRA} <= names
