"""Reading: helm's secret, our ConfigMaps, and refusals that are collected."""

from __future__ import annotations

from typing import Any

import operator_cluster as cluster

from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault
from ansible_collections.t9k.gpu.plugins.module_utils._operator import revision as operator_revision
from ansible_collections.t9k.gpu.plugins.module_utils._operator import state as operator_state
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ENFORCE


class Api:
    """Answers lists and objects from a table; a path in ``refused`` is forbidden."""

    server = "https://api"

    def __init__(self, lists: dict[str, Any] | None = None, objects: dict[str, Any] | None = None,
                 refused: tuple[str, ...] = ()) -> None:  # fmt: skip
        self.lists, self.objects, self.refused = lists or {}, objects or {}, refused
        self.asked: list[str] = []

    def _check(self, path: str) -> None:
        self.asked.append(path)
        if any(path.endswith(each) for each in self.refused):
            raise ApiFault(f"GET {path}", "HTTP 403", self.server, f"grant {path}", status=403)

    def get(self, path: str) -> Any:
        self._check(path)
        return {"gitVersion": "v1.36.2"}

    def list(
        self, path: str, query: Any = None, metadata_only: bool = False, limit: int | None = None, each: Any = None
    ) -> Any:
        self._check(path)
        if path not in self.lists and "nvidia.com" in path:
            raise ApiFault("GET", "HTTP 404", self.server, "x", status=404)
        return self.lists.get(path, [])

    def get_or_none(self, path: str) -> Any:
        self._check(path)
        return self.objects.get(path)


def read(api: Any, *paths: str) -> operator_state.ClusterState:
    return operator_state.read(api, operator_state.Query("gpu-operator", "gpu-operator", paths))


def test_decode_release() -> None:
    found = operator_revision.decode_release(cluster.release_secret())
    assert (found.revision, found.status, found.chart_version) == (1, "deployed", "v26.7.0")
    assert found.values == {"driver": {"enabled": False}}
    assert found.policy == {
        "kind": "ClusterPolicy",
        "metadata": {"name": "cluster-policy"},
        "spec": {"driver": {"enabled": False}},
    }
    assert not found.busy


def test_what_a_release_rendered_is_known() -> None:
    manifest = "---\nkind: Deployment\nmetadata: {name: a}\n---\nkind: ClusterPolicy\nmetadata: {name: p}\n---\n"
    manifest += "kind: ConfigMap\nmetadata: {name: c}\ndata:\n  x: |\n    kind: Deployment\n"
    found = operator_revision.decode_release(cluster.release_secret(manifest=manifest))
    assert found.rendered == {("Deployment", "a"), ("ClusterPolicy", "p")}


def test_the_highest_revision_counts() -> None:
    secrets = [cluster.release_secret(revision) for revision in (9, 10, 2)]
    found = operator_revision.latest_release(secrets)
    assert found is not None and found.revision == 10
    assert operator_revision.latest_release([]) is None


def test_a_namespace_of_another_hand_is_looked_at() -> None:
    """Each has a ConfigMap with the cluster's certificate authority, which says nothing about its Pod Security."""
    path = "/api/v1/namespaces/gpu-operator"
    strict = {"metadata": {"name": "gpu-operator", "labels": {ENFORCE: "baseline"}}}
    api = Api({f"{path}/configmaps": [{"metadata": {"name": "kube-root-ca.crt"}}]}, objects={path: strict})
    assert read(api).namespace == strict


def test_an_empty_cluster_costs_twelve_requests_and_the_namespace() -> None:
    api = Api()
    state = read(api)
    assert (state.release, state.policy, state.namespace, state.record) == (None, None, None, {})
    assert len(api.asked) == 12 and api.asked[-1] == "/api/v1/namespaces/gpu-operator"


def test_a_finished_cluster_does_not_ask_for_its_namespace() -> None:
    lists = {
        "/api/v1/namespaces/gpu-operator/configmaps": [cluster.configmap("t9k-gpu-operator", record={"labels": {}})],
        "/apis/nvidia.com/v1/clusterpolicies": [cluster.policy()],
    }
    api = Api(lists)
    state = read(api)
    assert state.namespace is not None and state.record == {"labels": {}}
    assert len(api.asked) == 10


MONITOR = "/apis/monitoring.coreos.com/v1/namespaces/m/servicemonitors/x"


def test_namespaces_are_asked_for_only_where_an_object_is_missing() -> None:
    assert read(Api(), MONITOR).namespaces_missing == {"m"}
    assert read(Api(objects={"/api/v1/namespaces/m": {}}), MONITOR).namespaces_missing == frozenset()
    api = Api(objects={MONITOR: {"spec": {}}})
    assert read(api, MONITOR).namespaces_missing == frozenset()
    assert "/api/v1/namespaces/m" not in api.asked


def test_kinds_without_namespaces() -> None:
    served = {"resources": [{"kind": "A", "namespaced": True}, {"kind": "B", "namespaced": False}]}
    api: Any = Api(objects={"/apis/x.y/v1": served})
    assert operator_state.cluster_kinds(api, ["x.y/v1", "not.served/v1"]) == {("x.y/v1", "B")}


def test_refusals_are_collected() -> None:
    state = read(Api(refused=("/nodes", "/daemonsets")))
    assert len(state.denied) == 2
    assert "/api/v1/nodes" in state.denied[0]
