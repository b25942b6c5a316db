"""The role against a real API server in the shapes that are not the usual one, and with a node that is out of order.

The operator is the lab's (its sources stand in its head); API server, controllers and helm are real. About four minutes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.cluster.api import Api
from tests.slow.operator_lab import OperatorLab, operator_lab, packaged

HOSTS = {
    "cpu-1": ("debian-12", "none"),
    "gpu-jammy": ("ubuntu-like", "a40-x7"),
    "gpu-bookworm": ("debian-12", "a100-gsp"),
}
CRD = {"driver": {"nvidiaDriverCRD": {"enabled": True}}}
DRA = {"gpuCluster": {"deployCR": True}, "clusterPolicy": {"deployCR": False}}
SANDBOX = {"sandboxWorkloads": {"enabled": True}}
DEPLOY = "nvidia.com/gpu.deploy."


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OperatorLab]:
    with operator_lab("shapes", HOSTS, tmp_path_factory.mktemp("shapes")) as found:
        packaged("v26.7.0", found.folder)
        yield found


@pytest.fixture
def api(lab: OperatorLab) -> Api:
    return lab.api


def play(lab: OperatorLab, **variables: Any) -> tuple[int, str]:
    """Run the playbook; its exit status and what it says."""
    ran = lab.play(gpu_operator_chart=str(lab.folder / "gpu-operator-v26.7.0.tgz"), **variables)
    return ran.code, ran.said


def works(lab: OperatorLab, **variables: Any) -> None:
    lab.works(gpu_operator_chart=str(lab.folder / "gpu-operator-v26.7.0.tgz"), **variables)


def gone(lab: OperatorLab, api: Api, **variables: Any) -> None:
    code, said = play(lab, gpu_operator_state="absent", **variables)
    assert code == 0, said
    for kind in ("clusterpolicies", "gpuclusters"):
        version = "v1" if kind == "clusterpolicies" else "v1alpha1"
        assert api.items(f"/apis/nvidia.com/{version}/{kind}") == []


def sets(api: Api) -> list[str]:
    return [each["metadata"]["name"] for each in api.items("/apis/apps/v1/namespaces/gpu-operator/daemonsets")]


def test_nvidia_drivers_of_two_pools_and_a_new_version(lab: OperatorLab, api: Api) -> None:
    asked = {"gpu_operator_driver": "operator", "gpu_operator_values": CRD}
    works(lab, **asked)
    pools = [name for name in sets(api) if name.startswith("nvidia-gpu-driver-")]
    assert sorted(name.rpartition("-")[0] for name in pools) == [
        "nvidia-gpu-driver-debian12",
        "nvidia-gpu-driver-ubuntu22.04",
    ]
    newer = {"driver": {**CRD["driver"], "version": "595.99.99"}}
    refused, said = play(lab, **{**asked, "gpu_operator_values": newer})
    assert refused and "gpu_operator_interrupt" in said, said
    works(lab, **{**asked, "gpu_operator_values": newer}, gpu_operator_interrupt=True)
    pods = api.items("/api/v1/namespaces/gpu-operator/pods")
    images = [pod["spec"]["containers"][0]["image"] for pod in pods if "gpu-driver" in pod["metadata"]["name"]]
    assert len(images) == 2 and all(":595.99.99-" in image for image in images)
    gone(lab, api, **asked)


def test_a_gpu_cluster_rendered_without_the_clusters_help(lab: OperatorLab, api: Api) -> None:
    asked = {"gpu_operator_mode": "manifests", "gpu_operator_values": DRA}
    works(lab, **asked)
    slices = api.items("/apis/resource.k8s.io/v1/resourceslices")
    assert {each["spec"]["nodeName"] for each in slices} == {"gpu-jammy", "gpu-bookworm"}
    assert "nvidia-device-plugin-daemonset" not in sets(api)
    gone(lab, api, **asked)


def test_a_node_for_virtual_machines_and_an_operand_that_is_off(lab: OperatorLab, api: Api) -> None:
    labels = {"nvidia.com/gpu.workload.config": "vm-passthrough"}
    api.patch("/api/v1/nodes/gpu-bookworm", {"metadata": {"labels": labels}})
    api.patch("/api/v1/nodes/gpu-jammy", {"metadata": {"labels": {f"{DEPLOY}dcgm-exporter": "false"}}})
    works(lab, gpu_operator_values=SANDBOX)
    node = api.get("/api/v1/nodes/gpu-bookworm") or {}
    assert node["status"]["allocatable"].get("nvidia.com/gpu", "0") == "0"
    back = {"nvidia.com/gpu.workload.config": None}
    api.patch("/api/v1/nodes/gpu-bookworm", {"metadata": {"labels": back}})
    api.patch("/api/v1/nodes/gpu-jammy", {"metadata": {"labels": {f"{DEPLOY}dcgm-exporter": None}}})
    works(lab)


def test_a_broken_node_is_a_note_within_the_tolerance(lab: OperatorLab, api: Api) -> None:
    """After the test above the operator works. The node comes back, and nothing is left to do."""
    api.patch("/api/v1/nodes/gpu-jammy", {"metadata": {"annotations": {"t9k.gpu/lab-host": "not-ready"}}})
    new = {"gpu_operator_values": {"toolkit": {"version": "v99.9.9"}}}
    refused, said = play(lab, **new, gpu_operator_nodes_tolerated="0", gpu_operator_wait_timeout=20)
    assert refused and "gpu_operator_nodes_tolerated" in said and "gpu-jammy NotReady" in said, said
    code, said = play(lab, **new, gpu_operator_nodes_tolerated="1")
    assert code == 0 and "not waited for: gpu-jammy (NotReady" in said, said
    api.patch("/api/v1/nodes/gpu-jammy", {"metadata": {"annotations": {"t9k.gpu/lab-host": None}}})
    works(lab, **new, gpu_operator_nodes_tolerated="0")


def trainer(api: Api) -> dict[str, Any]:
    """A Deployment whose pod holds both GPUs of gpu-bookworm, running."""
    limits = {"name": "main", "image": "lab/trainer", "resources": {"limits": {"nvidia.com/gpu": "2"}}}
    pod = {"nodeSelector": {"kubernetes.io/hostname": "gpu-bookworm"}, "containers": [limits]}
    labels = {"app": "trainer"}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
    made = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "trainer"}, "spec": spec}
    api.create("/apis/apps/v1/namespaces/default/deployments", made)
    return running(api)


def running(api: Api) -> dict[str, Any]:
    for _second in range(60):
        for pod in api.items("/api/v1/namespaces/default/pods?labelSelector=app%3Dtrainer"):
            if pod["status"].get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]:
                return pod
        time.sleep(1)
    raise AssertionError("the trainer's pod does not run")


def bookworm(api: Api) -> tuple[bool, str | None, str | None, str | None]:
    """Cordoned; the MIG configuration; what the manager says; the GPUs on offer."""
    node = api.get("/api/v1/nodes/gpu-bookworm") or {}
    labels, offered = node["metadata"]["labels"], node["status"]["allocatable"]
    state = (
        labels.get("nvidia.com/mig.config"),
        labels.get("nvidia.com/mig.config.state"),
        offered.get("nvidia.com/gpu"),
    )
    return bool(node["spec"].get("unschedulable")), *state


def test_pods_are_moved_before_their_gpus_are_partitioned(lab: OperatorLab, api: Api) -> None:
    works(lab)
    first = trainer(api)
    mine = lab.folder / "host_vars" / "gpu-bookworm.yml"
    mine.parent.mkdir()
    mine.write_text("gpu_mig: all-1g.5gb\n")
    before = bookworm(api)
    refused, said = play(lab)
    assert (
        refused and f"gpu-bookworm (default/{first['metadata']['name']})" in said and "gpu_operator_interrupt" in said
    ), said
    budget = {"selector": {"matchLabels": {"app": "trainer"}}, "maxUnavailable": 0}
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    api.create(
        budgets, {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": budget}
    )
    refused, said = play(lab, gpu_operator_interrupt=True)
    assert refused and "its PodDisruptionBudget b allows no eviction, ever" in said, said
    assert (bookworm(api), running(api)["metadata"]["uid"]) == (before, first["metadata"]["uid"])
    api.delete(f"{budgets}/b")
    works(lab, gpu_operator_interrupt=True)
    assert bookworm(api) == (False, "all-1g.5gb", "success", "14")
    second = running(api)
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    ledger = api.get("/api/v1/namespaces/t9k-gpu/configmaps/t9k-gpu-rollout") or {}
    assert not ledger.get("data")
    mine.unlink()
    works(lab, gpu_operator_interrupt=True)
    assert bookworm(api) == (False, "all-disabled", "success", "2")
    assert running(api)["metadata"]["uid"] != second["metadata"]["uid"]
    api.delete("/apis/apps/v1/namespaces/default/deployments/trainer")
