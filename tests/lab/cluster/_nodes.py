"""The cluster's nodes: one for every host of the spec, and more for benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.lab.cluster._api import Api
from tests.lab.cluster._log import LabError, say
from tests.lab.cluster._spec import NodeSpec

#: Marks the nodes that ``up`` made, so that it removes none that somebody else made.
LABEL = "t9k.gpu/lab-node"
#: The hardware profile a node pretends to have; read by the operator's stand-in.
GPUS = "t9k.gpu/lab-gpus"
_IMAGES = {"ubuntu-like": "Ubuntu 22.04 LTS", "debian-12": "Debian GNU/Linux 12 (bookworm)"}


def manifest(spec: NodeSpec, kubelet_version: str, kubelet_port: int) -> dict[str, Any]:
    """The Node as its kubelet would register it."""
    resources = {"cpu": "64", "memory": "512Gi", "pods": "110", "ephemeral-storage": "1000Gi"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": spec.name,
            "labels": {
                "kubernetes.io/hostname": spec.name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                LABEL: "extra" if spec.extra else "host",
            },
            "annotations": {GPUS: spec.gpus},
        },
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": spec.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}},
            "nodeInfo": {
                "architecture": "amd64",
                "operatingSystem": "linux",
                "osImage": _IMAGES.get(spec.os, spec.os),
                "kubeletVersion": kubelet_version,
                "kernelVersion": "6.1.0-lab",
                "containerRuntimeVersion": "containerd://1.7.0-kwok",
                **dict.fromkeys(("bootID", "machineID", "systemUUID", "kubeProxyVersion"), ""),
            },
        },
    }


def reconcile(api: Api, wanted: tuple[NodeSpec, ...], kubelet_version: str, kubelet_port: int) -> None:
    """Create what is missing, remove what the spec no longer names; the others stay as they are."""
    names = {spec.name for spec in wanted}
    present = {node["metadata"]["name"]: node for node in api.items("/api/v1/nodes")}
    missing = [spec for spec in wanted if spec.name not in present]
    leftover = [name for name, node in present.items() if LABEL in node["metadata"]["labels"] and name not in names]
    if missing or leftover:
        say(f"nodes: {len(missing)} to create, {len(leftover)} to remove, {len(present)} present")
    for spec in missing:
        api.create("/api/v1/nodes", manifest(spec, kubelet_version, kubelet_port))
    for name in leftover:
        api.delete(f"/api/v1/nodes/{name}")


def ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    tainted = any(taint["key"].startswith("node.kubernetes.io/not-ready") for taint in node["spec"].get("taints", []))
    return not tainted and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def wait_ready(api: Api, wanted: tuple[NodeSpec, ...], check: Callable[[], None], patience_s: float = 120) -> None:
    """Wait for every wanted node; ``check`` raises where waiting on is pointless."""
    names = {spec.name for spec in wanted}
    end = time.monotonic() + patience_s
    while True:
        began = time.monotonic()
        waiting = names - {node["metadata"]["name"] for node in api.items("/api/v1/nodes") if ready(node)}
        if not waiting:
            return
        check()
        if time.monotonic() > end:
            shown = ", ".join(sorted(waiting)[:5])
            raise LabError(f"{len(waiting)} nodes are not Ready after {patience_s:.0f} s, e.g. {shown}; see kwok.log")
        time.sleep(max(0.3, 2 * (time.monotonic() - began)))  # listing many nodes is work for the API server too
