"""What the operator and the DRA driver make of a GPUCluster.

Sources, NVIDIA/gpu-operator v26.7.0: controllers/gpucluster_controller.go (a ClusterPolicy beside it is an unmet prerequisite),
controllers/state_manager.go (gpuClusterStateLabels: the nodes' labels), manifests/state-dra-*, state-dcgm* (names, selectors; the
exporter's Service is called as its DaemonSet). The kubelet plugin publishes a node's GPUs as one ResourceSlice of gpu.nvidia.com
(kubernetes.io, "Dynamic Resource Allocation"); no resource of the node, no label of GPU feature discovery comes with it.
"""

from __future__ import annotations

from typing import Any

from tests.lab.cluster import operands
from tests.lab.cluster.api import Api
from tests.lab.cluster.gpu_node import DEPLOY, Hardware
from tests.lab.cluster.operands import Operand

Object = dict[str, Any]
CLUSTERS = "/apis/nvidia.com/v1alpha1/gpuclusters"
SLICES = "/apis/resource.k8s.io/v1/resourceslices"
PLUGIN = "nvidia-dra-driver-kubelet-plugin"
CONTROLLER = "nvidia-dra-driver-controller"
OPERANDS = (
    Operand(PLUGIN, "draDriver", "dra-driver"),
    Operand("nvidia-dra-validator", "", "dra-validator"),
    Operand("nvidia-dcgm-exporter-dra", "dcgmExporter", "dcgm-exporter-dra"),
    Operand("nvidia-dcgm-dra", "dcgm", "dcgm-dra", default=False),
)
_LABELS = ("driver", *(operand.deploy for operand in OPERANDS))


def wanted(spec: Object) -> tuple[Operand, ...]:
    """Return the operands of a GPUCluster's spec."""
    return tuple(each for each in OPERANDS if (spec.get(each.section) or {}).get("enabled", each.default))


def labels(node: Object) -> dict[str, str | None]:
    """Return the labels that a GPU node gets; one that is set stays."""
    present = node["metadata"]["labels"]
    found: dict[str, str | None] = {"nvidia.com/gpu.present": "true"}
    return {**found, **{DEPLOY + name: present.get(DEPLOY + name) or "true" for name in _LABELS}}


def controller(cluster: Object, namespace: str) -> Object | None:
    """Return the Deployment of the compute domains' controller; none where they are switched off."""
    section = cluster["spec"].get("draDriver") or {}
    if not (section.get("computeDomains") or {}).get("enabled", True):
        return None
    body = operands.daemonset(Operand(CONTROLLER, "draDriver", "x"), cluster, namespace)
    template = body["spec"]["template"]
    del template["spec"]["nodeSelector"]
    spec = {"replicas": 1, "selector": body["spec"]["selector"], "template": template}
    return {**body, "kind": "Deployment", "spec": spec}


def slice_of(node: str, hardware: Hardware) -> Object:
    """Return what the kubelet plugin publishes."""
    devices = [
        {"name": f"gpu-{i}", "attributes": {"productName": {"string": hardware.product[:64]}}}
        for i in range(hardware.count)
    ]
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": "gpu.nvidia.com", "nodeName": node, "pool": pool, "devices": devices}
    metadata = {"name": f"{node}-gpu.nvidia.com"}
    return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceSlice", "metadata": metadata, "spec": spec}


def reconcile(api: Api, cluster: Object, view: Any, hardware: dict[str, Hardware]) -> None:
    """Bring a GPUCluster's objects there and say how they are. ``hardware``: node → what it has."""
    if view.policy:
        message = "A ClusterPolicy CR exists; a ClusterPolicy CR and GPUCluster CR may not exist at the same time"
        _say(api, cluster, view.namespace, "notReady", "PrerequisiteNotMet", message)
        return
    asked = wanted(cluster["spec"])
    base = f"/apis/apps/v1/namespaces/{view.namespace}"
    applied = []
    for operand in asked:
        body = operands.daemonset(operand, cluster, view.namespace)
        applied.append(api.apply(f"{base}/daemonsets/{operand.name}", body))
    for operand in OPERANDS:
        if operand not in asked:
            api.delete(f"{base}/daemonsets/{operand.name}")
    deployment = controller(cluster, view.namespace)
    if deployment:
        api.apply(f"{base}/deployments/{CONTROLLER}", deployment)
    service = operands.exporter_service(cluster, view.namespace, "nvidia-dcgm-exporter-dra")
    if api.get(f"/api/v1/namespaces/{view.namespace}/services/{service['metadata']['name']}") is None:
        api.create(f"/api/v1/namespaces/{view.namespace}/services", service)
    publish(api, view, hardware)
    ready = all(map(operands.rolled_out, applied))
    message = "" if ready else "Waiting for operand pods to be ready"
    _say(
        api,
        cluster,
        view.namespace,
        "ready" if ready else "notReady",
        "Reconciled" if ready else "OperandNotReady",
        message,
    )


def publish(api: Api, view: Any, hardware: dict[str, Hardware]) -> None:
    """Publish the GPUs of nodes whose plugin runs, and take back the others."""
    present = {each["spec"].get("nodeName") for each in api.items(SLICES)}
    runs = {name for name, found in hardware.items() if found.count and view.runs(PLUGIN, name)}
    for name in runs - present:
        api.create(SLICES, slice_of(name, hardware[name]))
    for name in (present & set(hardware)) - runs:
        api.delete(f"{SLICES}/{name}-gpu.nvidia.com")


def _say(api: Api, cluster: Object, namespace: str, state: str, reason: str, message: str) -> None:
    known = cluster.get("status") or {}
    if (known.get("state"), [c["reason"] for c in known.get("conditions") or []]) == (state, [reason]):
        return
    condition = {
        "type": "Ready" if state == "ready" else "Error",
        "status": "True",
        "reason": reason,
        "message": message,
    }
    status = {"state": state, "namespace": namespace, "conditions": [condition]}
    api.patch(f"{CLUSTERS}/{cluster['metadata']['name']}/status", {"status": status})
