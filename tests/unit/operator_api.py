"""A finished cluster as objects of the API's test double, for the tests of the operator's modules."""

from __future__ import annotations

from typing import Any

import operator_cluster as cluster
from fake_api import Answer, FakeApi

SPACE = "/api/v1/namespaces/gpu-operator"
APPS = "/apis/apps/v1/namespaces/gpu-operator"


class Cluster(FakeApi):
    """Knows access reviews too; ``refused`` are the verbs it does not allow."""

    refused: tuple[str, ...] = ()

    def answer(self, method: str, target: str, body: Any) -> Answer:
        if target.startswith("/apis/authorization.k8s.io"):
            verb = body["spec"]["resourceAttributes"]["verb"]
            return 201, {}, {"status": {"allowed": verb not in self.refused}}
        return super().answer(method, target, body)

    def put(self, path: str, item: dict[str, Any]) -> None:
        self.objects[f"{path}/{item['metadata']['name']}"] = item


def fill(fake: Cluster) -> None:
    """A finished cluster."""
    state = cluster.finished()
    for node in state.nodes.values():
        fake.put("/api/v1/nodes", node)
    for name in state.daemonsets:
        fake.put(f"{APPS}/daemonsets", state.daemonsets[name])
    for name in state.deployments:
        fake.put(f"{APPS}/deployments", state.deployments[name])
    fake.put("/apis/apps/v1/deployments", state.operators[0])
    fake.put(f"{SPACE}/configmaps", state.configmaps["t9k-gpu-operator"])
    fake.put(f"{SPACE}/secrets", cluster.release_secret(config=dict(cluster.wanted().values)))
    fake.put("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", cluster.crd())
    fake.put("/apis/nvidia.com/v1/clusterpolicies", cluster.policy())
    endpoints = {"metadata": {"name": "x"}, **state.endpoints[0]}
    fake.put("/apis/discovery.k8s.io/v1/namespaces/gpu-operator/endpointslices", endpoints)
