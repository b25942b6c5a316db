# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read everything that the operator's plan and its readiness look at, in a handful of lists."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict, TypeVar

from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault
from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import SELECTOR
from ansible_collections.t9k.gpu.plugins.module_utils._operator.revision import Release, latest_release

if TYPE_CHECKING:
    from ansible_collections.t9k.gpu.plugins.module_utils._kube.connect import Api

Found = TypeVar("Found")
Object = Dict[str, Any]

#: The level of Pod Security that a namespace is held to.
ENFORCE = "pod-security.kubernetes.io/enforce"
#: The ConfigMap that remembers which labels and objects are ours.
RECORD = "t9k-gpu-operator"
#: The ConfigMap that plays the part of helm's release secret in manifests mode.
INVENTORY = "t9k-gpu-operator-manifests"
#: Noted on each CRD that the role applied: the chart's version, and how many CRDs that chart has.
CRD_VERSION = "chart-version"
CRD_COUNT = "chart-crds"

# Both the chart's labels and those of OLM's bundle have it (NVIDIA/gpu-operator, templates/operator.yaml, bundle/manifests).
_OPERATORS = "app.kubernetes.io/component=gpu-operator"
_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass(frozen=True)
class ClusterState:
    """The cluster as far as the GPU operator is concerned. Objects are as the API server gave them."""

    server_version: str = ""
    namespace: Object | None = None
    release: Release | None = None
    crds: dict[str, Object] = field(default_factory=dict)
    nodes: dict[str, Object] = field(default_factory=dict)
    #: Metadata of every Deployment of a GPU operator, whatever its namespace.
    operators: tuple[Object, ...] = ()
    #: The one that the operator works with is the first.
    policies: tuple[Object, ...] = ()
    daemonsets: dict[str, Object] = field(default_factory=dict)
    deployments: dict[str, Object] = field(default_factory=dict)
    configmaps: dict[str, Object] = field(default_factory=dict)
    endpoints: tuple[Object, ...] = ()
    pull_secrets: dict[str, Object] = field(default_factory=dict)
    #: Names of wanted pull secrets that another hand made.
    other_secrets: frozenset[str] = frozenset()
    #: API path of each further object that was asked for → the object, or None.
    objects: dict[str, Object | None] = field(default_factory=dict)
    #: Namespaces of those objects that do not exist.
    namespaces_missing: frozenset[str] = frozenset()
    #: One sentence for each read that was refused.
    denied: tuple[str, ...] = ()

    @property
    def policy(self) -> Object | None:
        return self.policies[0] if self.policies else None

    def data(self, configmap: str, key: str) -> Any:
        """Return the JSON kept in one of our ConfigMaps; {} if there is none."""
        text = (self.configmaps.get(configmap, {}).get("data") or {}).get(key)
        return json.loads(text) if text else {}

    @property
    def record(self) -> Object:
        return dict(self.data(RECORD, "record"))

    @property
    def inventory(self) -> Object:
        return dict(self.data(INVENTORY, "inventory"))


def by_name(items: list[Object]) -> dict[str, Object]:
    return {item["metadata"]["name"]: item for item in items}


class Reader:
    """Runs reads one after the other and collects what was refused instead of stopping at the first refusal."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.denied: list[str] = []

    def attempt(self, read: Callable[[], Found], otherwise: Found) -> Found:
        try:
            return read()
        except ApiFault as fault:
            if fault.not_found:
                return otherwise
            if not fault.forbidden:
                raise
            self.denied.append(str(fault))
            return otherwise

    def listed(self, path: str, selector: str | None = None, metadata_only: bool = False) -> list[Object]:
        query = {"labelSelector": selector} if selector else None
        return self.attempt(lambda: self.api.list(path, query, metadata_only=metadata_only), [])

    def one(self, path: str) -> Object | None:
        return self.attempt(lambda: self.api.get_or_none(path), None)


def read_workloads(reader: Reader, namespace: str) -> dict[str, Any]:
    """Read what readiness looks at: five lists."""
    apps = f"/apis/apps/v1/namespaces/{namespace}"
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    return {
        "nodes": by_name(reader.listed("/api/v1/nodes")),
        "policies": tuple(sorted(reader.listed("/apis/nvidia.com/v1/clusterpolicies"), key=_age)),
        "daemonsets": by_name(reader.listed(f"{apps}/daemonsets")),
        "deployments": by_name(reader.listed(f"{apps}/deployments")),
        "endpoints": tuple(reader.listed(slices, "kubernetes.io/service-name=nvidia-dcgm-exporter")),
    }


def _age(policy: Object) -> tuple[str, str]:
    """Order ClusterPolicies as the operator does: the oldest works (clusterpolicy_controller.go, getSingletonClusterPolicy)."""
    return policy["metadata"].get("creationTimestamp") or "", policy["metadata"]["name"]


def cluster_kinds(api: Api, versions: Iterable[str]) -> frozenset[tuple[str, str]]:
    """Ask which kinds of these API versions are in no namespace; a version that is not served has none."""
    found = set()
    for version in versions:
        resources = (api.get_or_none(f"/apis/{version}") or {}).get("resources") or []
        found |= {(version, each["kind"]) for each in resources if not each["namespaced"]}
    return frozenset(found)


def _missing_namespaces(reader: Reader, objects: dict[str, Object | None], own: str) -> set[str]:
    """Name the namespaces that are missing; asked only for objects that are not there, so that a finished cluster costs nothing."""
    absent = {
        path.split("/namespaces/")[1].split("/")[0]
        for path in objects
        if objects[path] is None and "/namespaces/" in path
    }
    return {name for name in absent - {own} if reader.one(f"/api/v1/namespaces/{name}") is None}


@dataclass(frozen=True)
class Query:
    """What to read. ``pull_secrets``: names of those that we make, or None if none of ours can be there."""

    namespace: str
    release: str
    object_paths: tuple[str, ...] = ()
    pull_secrets: tuple[str, ...] | None = None


def _other_secrets(reader: Reader, core: str, query: Query, ours: list[Object]) -> frozenset[str]:
    missing = set(query.pull_secrets or ()) - set(by_name(ours))
    return frozenset(name for name in sorted(missing) if reader.one(f"{core}/secrets/{name}") is not None)


def read(api: Api, query: Query) -> ClusterState:
    """Read the whole state: ten lists, the server's version, and one request for each further object."""
    reader = Reader(api)
    namespace = query.namespace
    core = f"/api/v1/namespaces/{namespace}"
    version = reader.attempt(lambda: api.get("/version")["gitVersion"], "")
    crds = by_name(reader.listed(_CRDS, metadata_only=True))
    configmaps = by_name(reader.listed(f"{core}/configmaps"))
    secrets = reader.listed(f"{core}/secrets", f"owner=helm,name={query.release},status!=superseded")
    ours = reader.listed(f"{core}/secrets", SELECTOR) if query.pull_secrets is not None else []
    operators = reader.listed("/apis/apps/v1/deployments", _OPERATORS, metadata_only=True)
    workloads = read_workloads(reader, namespace)
    known = bool(configmaps or secrets)
    objects = {path: reader.one(path) for path in query.object_paths}
    return ClusterState(
        server_version=version,
        namespace={"metadata": {"name": namespace}} if known else reader.one(core),
        release=latest_release(secrets),
        crds=crds,
        configmaps=configmaps,
        operators=tuple(operators),
        pull_secrets=by_name(ours),
        other_secrets=_other_secrets(reader, core, query, ours),
        objects=objects,
        namespaces_missing=frozenset(_missing_namespaces(reader, objects, namespace)),
        denied=tuple(reader.denied),
        **workloads,
    )
