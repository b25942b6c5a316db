"""The node that the tests of ``k8s_node_drain`` empty, and what they ask about it."""

from __future__ import annotations

from fake_cluster import FakeCluster

PLUGIN = "nvidia.com/gpu.deploy.device-plugin"
SELF = {"name": "gpu-01", "boot_id": "boot", "machine_id": "machine"}


def cordoned(cluster: FakeCluster) -> bool:
    return bool(cluster.node("gpu-01")["spec"].get("unschedulable"))
