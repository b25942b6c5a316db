"""What is kept of a node is what is looked at, however large it comes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import operator_cluster as cluster

from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault
from ansible_collections.t9k.gpu.plugins.module_utils._operator import plan as operator_plan
from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import Expect, is_gpu_node, offered
from ansible_collections.t9k.gpu.plugins.module_utils._operator.owned import to_ask
from ansible_collections.t9k.gpu.plugins.module_utils._operator.reading import PAGE, Reader, needed, read_nodes, settled


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


PATH = "/api/v1/namespaces/gpu-operator/secrets/token"
WISH = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "token"}, "stringData": {"a": "b"}}
LIVE = {"metadata": {"name": "token", "namespace": "gpu-operator", "resourceVersion": "7", "managedFields": [{}]},
        "data": {"a": "Yg=="}}  # fmt: skip


class DryRun:
    """Answers as the API server does to a dry run: what the object would be."""

    def __init__(self, data: dict[str, str] | None) -> None:
        self.data, self.asked = data, []  # type: ignore[var-annotated]

    def apply(self, path: str, wish: dict[str, Any], dry_run: bool) -> dict[str, Any]:
        assert dry_run
        self.asked.append(path)
        if self.data is None:
            raise ApiFault("PATCH", "HTTP 403", "x", "y", status=403)
        return {"apiVersion": "v1", "kind": "Secret", **LIVE, "metadata": {**LIVE["metadata"], "resourceVersion": "8"},
                "data": self.data}  # fmt: skip


def test_what_the_api_server_packs_only_it_can_compare() -> None:
    """A Secret's stringData is never there when it is read: by our own comparison it was applied in every run, and the run failed."""
    wanted = cluster.wanted(manifests=[WISH])
    state = cluster.finished(objects={PATH: LIVE})
    same, other, refused = DryRun({"a": "Yg=="}), DryRun({"a": "Yw=="}), DryRun(None)
    found = [settled(api, to_ask(state, wanted)) for api in (same, other, refused)]  # type: ignore[arg-type]
    assert found == [{PATH}, set(), set()]
    names = [[step.name for step in operator_plan.plan(replace(state, settled=each), wanted)] for each in found]
    assert ["objects" in each for each in names] == [False, True, True]


def test_what_is_as_wished_is_not_asked_for() -> None:
    wish = {key: value for key, value in WISH.items() if key != "stringData"}
    wanted = cluster.wanted(manifests=[{**wish, "data": {"a": "Yg=="}}])
    assert to_ask(cluster.finished(objects={PATH: LIVE}), wanted) == []
    assert to_ask(cluster.finished(objects={PATH: None}), wanted) == []
