"""The cluster's nodes: one for every host of the spec, and more for benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.lab.cluster.api import Api
from tests.lab.cluster.gpu_node import Hardware
from tests.lab.log import LabError, say
from tests.lab.spec import Host, profiles

#: Marks the nodes that ``up`` made, so that it removes none that somebody else made.
LABEL = "t9k.gpu/lab-node"
NO_GPUS = Hardware()
#: The GPUs a node pretends to have, those of its host; read by the operator's stand-in.
GPUS = "t9k.gpu/lab-gpus"
_IMAGES = {
    "ubuntu-like": "Ubuntu 22.04 LTS",
    "debian-12": "Debian GNU/Linux 12 (bookworm)",
    "debian-13": "Debian GNU/Linux 13 (trixie)",
}
#: An extra node comes Ready into the world, which saves kwok a request a node; a host's node is made so by kwok.
_READY = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "made by the lab"}


@dataclass(frozen=True)
class Node:
    """Name one node, the GPUs it pretends to have and the system it pretends to run."""

    name: str
    gpus: Hardware = NO_GPUS
    os: str = "debian-12"
    extra: bool = False


def of_hosts(hosts: tuple[Host, ...]) -> tuple[Node, ...]:
    """Return a node for every host of the spec, with the GPUs that the host has."""
    return tuple(Node(host.name, Hardware.of(host.profile()), host.os) for host in hosts)


def extra(plain: int, with_gpus: int, profile: str) -> tuple[Node, ...]:
    """Return nodes that no host stands behind, for benchmarks."""
    return (
        *(Node(f"extra-{i:04}", extra=True) for i in range(1, plain + 1)),
        *(Node(f"extra-gpu-{i:04}", Hardware.of(profiles()[profile]), extra=True) for i in range(1, with_gpus + 1)),
    )


def manifest(node: Node, kubelet_version: str, kubelet_port: int) -> dict[str, Any]:
    """The Node as its kubelet would register it."""
    resources = {"cpu": "64", "memory": "512Gi", "pods": "110", "ephemeral-storage": "1000Gi"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": node.name,
            "labels": {
                "kubernetes.io/hostname": node.name,
                "kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                LABEL: "extra" if node.extra else "host",
            },
            "annotations": {GPUS: node.gpus.told()},
        },
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1"},
                {"type": "Hostname", "address": node.name},
            ],
            "conditions": [_READY] if node.extra else [],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}},
            "nodeInfo": {
                "architecture": "amd64",
                "operatingSystem": "linux",
                "osImage": _IMAGES.get(node.os, node.os),
                "kubeletVersion": kubelet_version,
                "kernelVersion": "6.1.0-lab",
                "containerRuntimeVersion": "containerd://1.7.0-kwok",
                **dict.fromkeys(("bootID", "machineID", "systemUUID", "kubeProxyVersion"), ""),
            },
        },
    }


def hardware(node: dict[str, Any]) -> Hardware:
    """Return the GPUs that a Node pretends to have."""
    return Hardware.heard(node["metadata"].get("annotations", {}).get(GPUS))


def reconcile(api: Api, wanted: tuple[Node, ...], kubelet_version: str, kubelet_port: int) -> None:
    """Create what is missing, remove what the spec no longer names; of the others only a host's new GPUs are told."""
    names = {node.name for node in wanted}
    present = {node["metadata"]["name"]: node for node in api.items("/api/v1/nodes")}
    missing = [node for node in wanted if node.name not in present]
    leftover = [name for name, node in present.items() if LABEL in node["metadata"]["labels"] and name not in names]
    if missing or leftover:
        say(f"nodes: {len(missing)} to create, {len(leftover)} to remove, {len(present)} present")
    for node in missing:
        api.create("/api/v1/nodes", manifest(node, kubelet_version, kubelet_port))
    for node in wanted:
        if node.name in present and hardware(present[node.name]) != node.gpus:
            api.patch(f"/api/v1/nodes/{node.name}", {"metadata": {"annotations": {GPUS: node.gpus.told()}}})
    for name in leftover:
        api.delete(f"/api/v1/nodes/{name}")


def ready(node: dict[str, Any]) -> bool:
    conditions = node.get("status", {}).get("conditions", [])
    tainted = any(taint["key"].startswith("node.kubernetes.io/not-ready") for taint in node["spec"].get("taints", []))
    return not tainted and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def wait_ready(api: Api, wanted: tuple[Node, ...], check: Callable[[], None], patience_s: float = 120) -> None:
    """Wait for every wanted node; ``check`` raises where waiting on is pointless."""
    names = {node.name for node in wanted}
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
