"""The role against a real API server in the shapes that are not the usual one, and with a node that is out of order.

The operator is the lab's (its sources stand in its head); API server, controllers and helm are real. About four minutes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster import memory
from tests.lab.cluster.api import Api
from tests.lab.state import Lab

ROOT = Path(__file__).resolve().parents[2]
NODES = {"cpu-1": "none", "gpu-jammy": "a40-x7", "gpu-bookworm": "a100-gsp"}
SYSTEMS = {"cpu-1": "debian-12", "gpu-jammy": "ubuntu-like", "gpu-bookworm": "debian-12"}
CRD = {"driver": {"nvidiaDriverCRD": {"enabled": True}}}
DRA = {"gpuCluster": {"deployCR": True}, "clusterPolicy": {"deployCR": False}}
SANDBOX = {"sandboxWorkloads": {"enabled": True}}
DEPLOY = "nvidia.com/gpu.deploy."


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    spec = tmp_path_factory.mktemp("shapes") / "lab.yml"
    hosts = "".join(f"  - {{name: {name}, os: {SYSTEMS[name]}, gpus: {gpus}}}\n" for name, gpus in NODES.items())
    spec.write_text(f"cluster: true\nhosts:\n{hosts}")
    command, found = [sys.executable, "-m", "tests.lab.cluster"], Lab("shapes")
    subprocess.run([*command, "up", "--name", found.name, "--spec", str(spec)], check=True)
    subprocess.run([*command, "chart", "--version", "v26.7.0", "--out", str(spec.parent)], check=True)
    (spec.parent / "hosts").write_text(
        "\n".join(["[kube_node]", *NODES, "[all:vars]", "ansible_connection=local"]) + "\n"
    )
    found_path[found.name] = spec.parent
    yield found
    subprocess.run([*command, "down", "--name", found.name], check=True)


found_path: dict[str, Path] = {}


@pytest.fixture
def api(lab: Lab) -> Api:
    return Api(memory.read(lab)["ports"]["kube-apiserver"], lab.pki)


def play(lab: Lab, **variables: Any) -> tuple[int, str]:
    """Run the playbook; its exit status and what it says."""
    folder = found_path[lab.name]
    given = {
        "gpu_kubeconfig": str(lab.kubeconfig),
        "gpu_operator_chart": str(folder / "gpu-operator-v26.7.0.tgz"),
        "gpu_operator_service_monitor": {"by": "none"},
        "gpu_operator_wait_timeout": 60,
        **variables,
    }
    argv = ["ansible-playbook", "-i", str(folder / "hosts"), "playbooks/gpu_operator.yml", "-e", json.dumps(given)]
    path = f"{lab.bin}:{os.environ['PATH']}"
    done = subprocess.run(argv, cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def works(lab: Lab, **variables: Any) -> str:
    """It does what is to be done, and the second time nothing."""
    code, said = play(lab, **variables)
    assert code == 0, said
    again, more = play(lab, **variables)
    assert again == 0 and "changed=0" in more, more
    return said


def gone(lab: Lab, api: Api, **variables: Any) -> None:
    code, said = play(lab, gpu_operator_state="absent", **variables)
    assert code == 0, said
    for kind in ("clusterpolicies", "gpuclusters"):
        version = "v1" if kind == "clusterpolicies" else "v1alpha1"
        assert api.items(f"/apis/nvidia.com/{version}/{kind}") == []


def sets(api: Api) -> list[str]:
    return [each["metadata"]["name"] for each in api.items("/apis/apps/v1/namespaces/gpu-operator/daemonsets")]


def test_nvidia_drivers_of_two_pools_and_a_new_version(lab: Lab, api: Api) -> None:
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


def test_a_gpu_cluster_rendered_without_the_clusters_help(lab: Lab, api: Api) -> None:
    asked = {"gpu_operator_mode": "manifests", "gpu_operator_values": DRA}
    works(lab, **asked)
    slices = api.items("/apis/resource.k8s.io/v1/resourceslices")
    assert {each["spec"]["nodeName"] for each in slices} == {"gpu-jammy", "gpu-bookworm"}
    assert "nvidia-device-plugin-daemonset" not in sets(api)
    gone(lab, api, **asked)


def test_a_node_for_virtual_machines_and_an_operand_that_is_off(lab: Lab, api: Api) -> None:
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


def test_a_broken_node_is_a_note_within_the_tolerance(lab: Lab, api: Api) -> None:
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
    state = (labels.get("nvidia.com/mig.config"), labels.get("nvidia.com/mig.config.state"), offered.get("nvidia.com/gpu"))
    return bool(node["spec"].get("unschedulable")), *state


def test_pods_are_moved_before_their_gpus_are_partitioned(lab: Lab, api: Api) -> None:
    works(lab)
    first = trainer(api)
    mine = found_path[lab.name] / "host_vars" / "gpu-bookworm.yml"
    mine.parent.mkdir()
    mine.write_text("gpu_mig: all-1g.5gb\n")
    before = bookworm(api)
    refused, said = play(lab)
    assert refused and f"gpu-bookworm (default/{first['metadata']['name']})" in said and "gpu_operator_interrupt" in said, said
    budget = {"selector": {"matchLabels": {"app": "trainer"}}, "maxUnavailable": 0}
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    api.create(budgets, {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": budget})
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
