"""Builds the objects of a cluster as the API server would give them: a starting point for each test to spoil."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import MANAGED_BY, PREFIX
from ansible_collections.t9k.gpu.plugins.module_utils._operator.revision import Release
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import (
    CRD_COUNT,
    CRD_VERSION,
    ClusterState,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wanted

ROLE = Path(__file__).resolve().parents[2] / "roles/gpu_operator"
VERSIONS = yaml.safe_load((ROLE / "vars/versions.yml").read_text())["__gpu_operator_versions"]
#: The last series in the table: what a later chart is taken for.
NEWEST = max(VERSIONS, key=lambda series: [int(number) for number in series.split(".")])
PCI = "feature.node.kubernetes.io/pci-10de.present"
COMMON = {"common": {"mode": "time_slicing", "replicas": 4}}
OPERANDS = (
    "gpu-feature-discovery",
    "nvidia-container-toolkit-daemonset",
    "nvidia-dcgm-exporter",
    "nvidia-device-plugin-daemonset",
    "nvidia-operator-validator",
    "gpu-operator-node-feature-discovery-worker",
)


def params(**more: Any) -> dict[str, Any]:
    """The plan module's options with the role's defaults."""
    return {
        "state": "present",
        "mode": "helm",
        "chart": "oci://registry.example/charts/gpu-operator",
        "version": "v26.7.0",
        "versions": VERSIONS,
        "version_unchecked": False,
        "namespace": "gpu-operator",
        "release": "gpu-operator",
        "driver": "host",
        "values": {},
        "image_registry": "",
        "images": {},
        "pull_secrets": [],
        "own_pull_secrets": [],
        "sharing": {},
        "service_monitor": {"by": "none", "namespace": "monitoring", "interval": "30s", "labels": {}},
        "queue": {},
        "manifests": [],
        "nodes": [],
        "gpu_nodes": [],
        "nodes_failed": [],
        "nodes_tolerated": "0",
        "node_sharing": {},
        "node_operands": {},
        "node_mig": {},
        "crds_remove": False,
        "adopt": False,
        "interrupt": False,
        "wait_timeout": 900,
        **more,
    }


def wanted(**more: Any) -> Wanted:
    return Wanted.of(params(**more))


def node(name: str, gpus: int = 0, allocatable: dict[str, str] | None = None, **labels: str) -> dict[str, Any]:
    found = {"feature.node.kubernetes.io/system-os_release.ID": "ubuntu", **labels}
    if gpus:
        found.update({PCI: "true", "nvidia.com/gpu.present": "true", "nvidia.com/gpu.count": str(gpus)})
    return {
        "metadata": {"name": name, "labels": found},
        "status": {
            "allocatable": allocatable if allocatable is not None else {"nvidia.com/gpu": str(gpus)} if gpus else {},
            "nodeInfo": {"osImage": "Ubuntu 22.04.5 LTS"},
        },
    }


def daemonset(name: str, pods: int, available: int | None = None) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"template": {"metadata": {}, "spec": {}}},
        "status": {
            "observedGeneration": 1,
            "desiredNumberScheduled": pods,
            "updatedNumberScheduled": pods,
            "numberAvailable": pods if available is None else available,
        },
    }


def owned(name: str, release: str = "gpu-operator", namespace: str = "gpu-operator") -> dict[str, Any]:
    """Metadata as helm writes it."""
    notes = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace}
    labels = {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": release}
    return {"name": name, "annotations": notes, "labels": labels}


def applied(name: str, instance: str = "gpu-operator", namespace: str = "") -> dict[str, Any]:
    """Metadata as ``helm template | kubectl apply`` leaves it: helm's label, none of its annotations."""
    labels = {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": instance}
    where = {"namespace": namespace} if namespace else {}
    return {
        "name": name,
        **where,
        "labels": labels,
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    }


def operator(metadata: dict[str, Any] | None = None, namespace: str = "gpu-operator") -> dict[str, Any]:
    """The operator's Deployment as far as its owner goes."""
    return {"metadata": {"namespace": namespace, **(metadata or owned("gpu-operator"))}}


def deployment(name: str) -> dict[str, Any]:
    status = {"observedGeneration": 1, "availableReplicas": 1, "updatedReplicas": 1}
    return {"metadata": {"name": name, "generation": 1}, "spec": {"replicas": 1}, "status": status}


def policy(metadata: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    rendered = {"driver": {"enabled": False}, "migManager": {"enabled": False}, **spec}
    return {"kind": "ClusterPolicy", "metadata": metadata or owned("cluster-policy"), "spec": rendered,
            "status": {"state": "ready"}}  # fmt: skip


def crd(version: str = "26.7.0", count: int = 1) -> dict[str, Any]:
    return {"metadata": {"name": "clusterpolicies.nvidia.com",
                         "annotations": {PREFIX + CRD_VERSION: version, PREFIX + CRD_COUNT: str(count)}}}  # fmt: skip


def configmap(name: str, **data: Any) -> dict[str, Any]:
    metadata = {"name": name, "labels": dict(MANAGED_BY)}
    return {"metadata": metadata, "data": {key: json.dumps(value) for key, value in data.items()}}


def release(values: dict[str, Any], **more: Any) -> Release:
    found: dict[str, Any] = {
        "secret": "sh.helm.release.v1.gpu-operator.v1",
        "revision": 1,
        "status": "deployed",
        "chart_version": "v26.7.0",
        "values": values,
        "description": "t9k.gpu",
        "updated": "2026-01-01T00:00:00Z",
        "policy": policy(),
    }
    return Release(**{**found, **more})


def finished(**more: Any) -> ClusterState:
    """A cluster where the operator works: gpu-1 with 2 GPUs, gpu-2 with 1, cpu-1 with none."""
    nodes = [node("cpu-1"), node("gpu-1", 2), node("gpu-2", 1)]
    sets = {name: daemonset(name, 3 if name.endswith("worker") else 2) for name in OPERANDS}
    deployments = ("gpu-operator", "gpu-operator-node-feature-discovery-master")
    state = ClusterState(
        server_version="v1.36.2",
        namespace={"metadata": {"name": "gpu-operator"}},
        release=release(dict(wanted().values)),
        crds={"clusterpolicies.nvidia.com": crd()},
        nodes={each["metadata"]["name"]: each for each in nodes},
        operators=(operator(),),
        policies=(policy(),),
        daemonsets=sets,
        deployments={name: deployment(name) for name in deployments},
        configmaps={"t9k-gpu-operator": configmap("t9k-gpu-operator", record={"labels": {}, "objects": []})},
        endpoints=(
            {
                "metadata": {"name": "x"},
                "endpoints": [{"conditions": {"ready": True}}, {"conditions": {"ready": True}}],
            },
        ),
    )
    return replace(state, **more)


def release_secret(revision: int = 1, **document: Any) -> dict[str, Any]:
    """As helm writes it."""
    body = {
        "version": revision,
        "info": {"status": "deployed", "description": "t9k.gpu", "last_deployed": "2026-01-01T00:00:00Z"},
        "chart": {"metadata": {"version": "v26.7.0"}},
        "config": {"driver": {"enabled": False}},
        "manifest": "---\n# Source: x\nkind: Service\n---\nkind: ClusterPolicy\nmetadata: {name: cluster-policy}\n"
        "spec: {driver: {enabled: false}}\n",
        **document,
    }
    packed = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(body).encode()))).decode()
    name = f"sh.helm.release.v1.gpu-operator.v{revision}"
    return {"metadata": {"name": name, "labels": {"version": str(revision)}}, "data": {"release": packed}}
