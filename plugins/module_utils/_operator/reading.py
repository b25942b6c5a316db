# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Send the read requests, and keep of the answers what is looked at. A refusal is noted, and the reading goes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable, Dict, TypeVar

from ansible_collections.t9k.gpu.plugins.module_utils._drain.mark import ANNOTATION as MARK
from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault
from ansible_collections.t9k.gpu.plugins.module_utils._operator.policy import uses_driver_crd

if TYPE_CHECKING:
    from ansible_collections.t9k.gpu.plugins.module_utils._kube.connect import Api

Found = TypeVar("Found")
Object = Dict[str, Any]
#: Name of NVIDIA's DRA driver for GPUs (NVIDIA/gpu-operator, controllers/nodelabeling_controller.go).
DRA_DRIVER = "gpu.nvidia.com"
NODES = "/api/v1/nodes"
#: Nodes a request.
PAGE = 500


def by_name(items: list[Object]) -> dict[str, Object]:
    return {item["metadata"]["name"]: item for item in items}


def _essence(item: Object) -> Object:
    """Leave out what every write changes."""
    metadata = {
        k: v for k, v in item["metadata"].items() if k not in ("managedFields", "resourceVersion", "generation")
    }
    return {**item, "metadata": metadata}


def settled(api: Api, asked: Iterable[tuple[str, Object, Object]]) -> frozenset[str]:
    """Ask the API server which objects an apply would leave as they are; it applies nothing (``dryRun``). One that it refuses to try is
    taken for different: the apply will say why."""
    found = set()
    for path, wish, present in asked:
        try:
            answer = api.apply(path, wish, dry_run=True)
        except ApiFault:
            continue
        if _essence(answer) == _essence({"apiVersion": wish["apiVersion"], "kind": wish["kind"], **present}):
            found.add(path)
    return frozenset(found)


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

    def listed(
        self, path: str, selector: str | None = None, metadata_only: bool = False, fields: str | None = None
    ) -> list[Object]:
        query = {**({"labelSelector": selector} if selector else {}), **({"fieldSelector": fields} if fields else {})}
        return self.attempt(lambda: self.api.list(path, query or None, metadata_only=metadata_only), [])

    def one(self, path: str) -> Object | None:
        return self.attempt(lambda: self.api.get_or_none(path), None)


def needed(node: Object) -> Object:
    """Return what is looked at of a node. A real one has 20 KiB, of which its images and its managers are most."""
    metadata, status = node["metadata"], node.get("status") or {}
    allocatable, noted = status.get("allocatable") or {}, metadata.get("annotations") or {}
    return {
        "metadata": {
            "name": metadata["name"],
            "labels": metadata.get("labels") or {},
            "annotations": {MARK: noted[MARK]} if MARK in noted else {},
        },
        "spec": {"unschedulable": (node.get("spec") or {}).get("unschedulable", False)},
        "status": {
            "allocatable": {name: count for name, count in allocatable.items() if name.startswith("nvidia.com/")},
            "conditions": [each for each in status.get("conditions") or [] if each.get("type") == "Ready"],
            "nodeInfo": {"osImage": (status.get("nodeInfo") or {}).get("osImage", "")},
        },
    }


def read_nodes(reader: Reader) -> dict[str, Object]:
    """Read all nodes, page by page, so that never all of them are in memory as they are."""
    return by_name(reader.attempt(lambda: reader.api.list(NODES, limit=PAGE, each=needed), []))


def read_workloads(reader: Reader, namespace: str) -> dict[str, Any]:
    """Read what readiness looks at beside the nodes: four lists, and more where drivers or GPUs are not the ClusterPolicy's matter."""
    apps = f"/apis/apps/v1/namespaces/{namespace}"
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    policies = tuple(sorted(reader.listed("/apis/nvidia.com/v1/clusterpolicies"), key=_age))
    return {
        "policies": policies,
        **_other_configs(reader, policies),
        "daemonsets": by_name(reader.listed(f"{apps}/daemonsets")),
        "deployments": by_name(reader.listed(f"{apps}/deployments")),
        "endpoints": tuple(
            reader.listed(slices, "kubernetes.io/service-name in (nvidia-dcgm-exporter,nvidia-dcgm-exporter-dra)")
        ),
    }


def _other_configs(reader: Reader, policies: tuple[Object, ...]) -> dict[str, Any]:
    """Read what takes the place of a ClusterPolicy, or of a part of it; nothing where one does it all."""
    clusters = () if policies else tuple(reader.listed("/apis/nvidia.com/v1alpha1/gpuclusters"))
    if not clusters and not any(uses_driver_crd(policy) for policy in policies):
        return {"gpu_clusters": clusters}
    drivers = tuple(reader.listed("/apis/nvidia.com/v1alpha1/nvidiadrivers"))
    published = _slices(reader) if clusters else []
    named = (each["spec"].get("nodeName") for each in published if each["spec"].get("devices"))
    return {"gpu_clusters": clusters, "drivers": drivers, "slices": frozenset(filter(None, named))}


def _slices(reader: Reader) -> list[Object]:
    """Read the DRA driver's slices, in the newest version that is served (kubernetes.io, v1 since 1.34)."""
    for version in ("v1", "v1beta2", "v1beta1"):
        path = f"/apis/resource.k8s.io/{version}/resourceslices"
        found = reader.listed(path, fields=f"spec.driver={DRA_DRIVER}")
        if found:
            return found
    return []


def _age(policy: Object) -> tuple[str, str]:
    """Order ClusterPolicies as the operator does: the oldest works (clusterpolicy_controller.go, getSingletonClusterPolicy)."""
    return policy["metadata"].get("creationTimestamp") or "", policy["metadata"]["name"]
