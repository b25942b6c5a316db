# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read everything that the operator's plan and its readiness look at, in a handful of lists."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Dict

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import SELECTOR
from ansible_collections.t9k.gpu.plugins.module_utils._operator.reading import (
    Reader,
    by_name,
    read_nodes,
    read_workloads,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator.revision import Release, latest_release

if TYPE_CHECKING:
    from ansible_collections.t9k.gpu.plugins.module_utils._kube.connect import Api

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

#: End of the key of what is kept packed, since it is large; the API server takes no ConfigMap beyond 1 MiB.
PACKED = ".gz"
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
    #: With the DRA driver there is one of these instead of a ClusterPolicy.
    gpu_clusters: tuple[Object, ...] = ()
    #: NVIDIADrivers; read only where the drivers are theirs.
    drivers: tuple[Object, ...] = ()
    #: Nodes whose GPUs the DRA driver has published; read only with a GPUCluster.
    slices: frozenset[str] = frozenset()
    daemonsets: dict[str, Object] = field(default_factory=dict)
    deployments: dict[str, Object] = field(default_factory=dict)
    configmaps: dict[str, Object] = field(default_factory=dict)
    endpoints: tuple[Object, ...] = ()
    pull_secrets: dict[str, Object] = field(default_factory=dict)
    #: Names of wanted pull secrets that another hand made.
    other_secrets: frozenset[str] = frozenset()
    #: API path of each further object that was asked for → the object, or None.
    objects: dict[str, Object | None] = field(default_factory=dict)
    #: Node whose partitions change → the pods that hold its GPUs; read only for these.
    holders: dict[str, tuple[str, ...]] = field(default_factory=dict)
    #: API paths of those that differ only in what the API server makes of them.
    settled: frozenset[str] = frozenset()
    #: Namespaces of those objects that do not exist.
    namespaces_missing: frozenset[str] = frozenset()
    #: One sentence for each read that was refused.
    denied: tuple[str, ...] = ()

    @property
    def policy(self) -> Object | None:
        return self.policies[0] if self.policies else None

    @property
    def config(self) -> Object | None:
        """Return what the operator works by."""
        return self.policy or (self.gpu_clusters[0] if self.gpu_clusters else None)

    def data(self, configmap: str, key: str) -> Any:
        """Return the JSON kept in one of our ConfigMaps; {} if there is none."""
        found = self.configmaps.get(configmap, {})
        text = (found.get("data") or {}).get(key)
        packed = (found.get("binaryData") or {}).get(key + PACKED)
        if packed:
            text = gzip.decompress(base64.b64decode(packed)).decode()
        return json.loads(text) if text else {}

    @property
    def record(self) -> Object:
        return dict(self.data(RECORD, "record"))

    @property
    def inventory(self) -> Object:
        return dict(self.data(INVENTORY, "inventory"))


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
    nodes, workloads = read_nodes(reader), read_workloads(reader, namespace)
    # Every namespace has a ConfigMap (kube-root-ca.crt): only what is ours says that the namespace has been looked at before.
    known = bool(secrets or {RECORD, INVENTORY} & set(configmaps))
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
        nodes=nodes,
        **workloads,
    )
