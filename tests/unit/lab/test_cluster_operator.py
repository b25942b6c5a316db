"""When the stand-in's operator acts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.lab.cluster import dra, driver_pools, operator_stand_in
from tests.lab.cluster.gpu_node import MIG_LABEL, MIG_STATE, Hardware
from tests.lab.cluster.operator_stand_in import LEASE_S, MIG_LOOKS_S, MIG_TAKES_S, StandIn


def deployment(uid: str, generation: int) -> dict[str, Any]:
    return {"metadata": {"uid": uid, "generation": generation}}


def test_a_new_pod_leads_when_the_lease_of_the_former_has_run_out() -> None:
    operator: Any = StandIn(None)  # type: ignore[arg-type]
    assert operator._leads(deployment("a", 1), 100.0)  # the first: nobody held a lease
    assert not operator._leads(deployment("a", 2), 101.0)
    assert not operator._leads(deployment("a", 2), 100.0 + LEASE_S)
    assert operator._leads(deployment("a", 2), 101.0 + LEASE_S)
    assert operator._leads(deployment("b", 1), 102.0 + LEASE_S)  # another installation


def mig_states(monkeypatch: pytest.MonkeyPatch, steps: list[tuple[float, str, str, dict[str, str]]]) -> list[str]:
    """What the MIG manager has made of the state's label after each (time, configuration, state that somebody left, faults);
    ``holds-a-gpu`` among these: a pod has one of the node's GPUs."""
    operator: Any = StandIn(SimpleNamespace(items=lambda _path: pods))  # type: ignore[arg-type]
    found = []
    for now, config, left, faults in steps:
        limits = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
        pods = [{"spec": {"containers": [limits if "holds-a-gpu" in faults else {}]}}]
        monkeypatch.setattr(operator_stand_in, "time", SimpleNamespace(monotonic=lambda now=now: now))
        view = SimpleNamespace(runs=lambda *_a: True, faults=faults)
        answer = operator._mig(view, "gpu-1", {MIG_LABEL: config, MIG_STATE: left})
        found.append(answer.get(MIG_STATE, left))
    return found


def test_the_mig_manager_speaks_late_and_a_failure_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, done = MIG_LOOKS_S, MIG_LOOKS_S + MIG_TAKES_S
    fails = {"mig-fails": "true"}
    told = mig_states(monkeypatch, [
        (0.0, "all-1g.10gb", "success", {}),  # of before this process: it has been done
        (1.0, "all-2g.20gb", "success", {}),  # the state of before stands
        (1.0 + looks, "all-2g.20gb", "success", {}),
        (1.0 + done, "all-2g.20gb", "pending", fails),
        (99.0, "all-2g.20gb", "failed", {}),  # the fault is gone; nobody tries again
        (100.0, "all-disabled", "failed", {}),
        (100.0 + done, "all-disabled", "pending", {}),
        (200.0, "all-1g.10gb", "success", {}),
        (200.0 + done, "all-1g.10gb", "pending", {"holds-a-gpu": "true"}),
    ])  # fmt: skip
    assert told == ["success", "success", "pending", "failed", "failed", "failed", "success", "success", "failed"]


def gpu_node(name: str, version: str, **labels: str) -> dict[str, Any]:
    system = "feature.node.kubernetes.io/system-os_release."
    found = {"nvidia.com/gpu.present": "true", f"{system}ID": "ubuntu", f"{system}VERSION_ID": version, **labels}
    return {"metadata": {"name": name, "labels": found}}


def nvidia_driver(name: str, **spec: Any) -> dict[str, Any]:
    image = {"repository": "nvcr.io/nvidia", "image": "driver", "version": "595.91.07"}
    return {"metadata": {"name": name, "uid": f"uid-{name}"}, "spec": {**image, **spec}}


def test_a_pool_is_the_nodes_of_one_system_and_one_driver() -> None:
    default, old = nvidia_driver("default"), nvidia_driver("old", nodeSelector={"pool": "old"})
    nodes = [gpu_node("a", "22.04"), gpu_node("b", "24.04"), gpu_node("c", "22.04", pool="old"),
             {"metadata": {"name": "cpu", "labels": {}}}]  # fmt: skip
    assert set(driver_pools.pools(default, nodes, [default, old])) == {"ubuntu22.04", "ubuntu24.04"}
    assert set(driver_pools.pools(old, nodes, [default, old])) == {"ubuntu22.04"}
    body = driver_pools.daemonset(default, "ubuntu24.04", {"x": "y"}, "gpu-operator")
    assert body["metadata"]["name"].startswith("nvidia-gpu-driver-ubuntu24.04-")
    assert body["spec"]["template"]["spec"]["containers"][0]["image"] == "nvcr.io/nvidia/driver:595.91.07-ubuntu24.04"
    assert body["spec"]["updateStrategy"] == {"type": "OnDelete"}
    pod = {"metadata": {"labels": {"app": body["metadata"]["name"]}}, "spec": {"containers": [{"image": "of before"}]}}
    assert driver_pools.outdated(body, [pod]) == [pod]


def test_a_gpu_cluster_has_other_operands_and_publishes_slices() -> None:
    assert {each.name for each in dra.wanted({})} == {
        "nvidia-dra-driver-kubelet-plugin", "nvidia-dra-validator", "nvidia-dcgm-exporter-dra",
    }  # fmt: skip
    assert len(dra.slice_of("gpu-1", Hardware(8, "NVIDIA H200"))["spec"]["devices"]) == 8
    paused = dra.labels({"metadata": {"labels": {"nvidia.com/gpu.deploy.dra-driver": "false"}}})
    assert paused["nvidia.com/gpu.deploy.dra-driver"] == "false"
