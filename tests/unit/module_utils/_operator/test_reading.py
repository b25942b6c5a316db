"""What is kept of a node is what is looked at, however large it comes."""

from __future__ import annotations

import json
from typing import Any

import operator_cluster as cluster

from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import Expect, is_gpu_node, offered
from ansible_collections.t9k.gpu.plugins.module_utils._operator.reading import PAGE, Reader, needed, read_nodes


def large(name: str) -> dict[str, Any]:
    """A node as kubelets report it: images, managers, conditions, annotations."""
    node = cluster.node(name, 8)
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    node["metadata"].update(annotations={"a": "x" * 2000}, managedFields=[{"fieldsV1": {"f": "x" * 4000}}])
    node["spec"] = {"unschedulable": True, "podCIDR": "10.0.0.0/24"}
    node["status"]["conditions"] = [{"type": "MemoryPressure", "status": "False"}, ready]
    node["status"]["images"] = [{"names": ["r/i@sha256:" + "0" * 64]} for _ in range(50)]
    return node


def test_nothing_that_is_looked_at_is_lost() -> None:
    kept = needed(large("gpu-1"))
    assert is_gpu_node(kept) and offered(kept, "nvidia.com/gpu") == 8
    assert (kept["spec"]["unschedulable"], kept["status"]["conditions"][0]["type"]) == (True, "Ready")
    assert len(json.dumps(kept)) < 1000
    assert Expect().tolerated == "0"


def test_nodes_come_in_pages() -> None:
    class Api:
        def list(self, path: str, limit: int, each: Any) -> list[dict[str, Any]]:
            assert (path, limit) == ("/api/v1/nodes", PAGE)
            return [each(large("gpu-1"))]

    assert set(read_nodes(Reader(Api()))) == {"gpu-1"}  # type: ignore[arg-type]
