"""A test double of the API server's part in a drain: Nodes under compare-and-set, evictions, budgets, finalizers.

Its sources are kubernetes/kubernetes, pkg/registry/core/pod/storage/eviction.go (order of the checks, the answers and their
causes) and its API conventions (a write with a stale resourceVersion is a conflict; metadata.managedFields tells who set
a field last). A DaemonSet's pods follow the labels of the node, as its controller makes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fake_api import Answer, FakeApi, merged, status

Object = dict[str, Any]
NODES = "/api/v1/nodes"


class FakeCluster(FakeApi):
    """The double. ``forbidden``: paths' ends that the account may not write to."""

    def __init__(self, serve: bool = True) -> None:
        super().__init__(serve)
        self.version = 0
        self.forbidden: tuple[str, ...] = ()
        self.away: dict[str, Object] = {}  # pods of DaemonSets that no node selects now

    def add_node(self, name: str, gpus: int = 0, boot: str = "boot", machine: str = "machine", **labels: str) -> Object:
        info = {"bootID": boot, "machineID": machine}
        ready = [{"type": "Ready", "status": "True"}]
        resources = {"cpu": "64", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
        found = {
            "metadata": {"name": name, "labels": dict(labels), "annotations": {}, "managedFields": []},
            "spec": {},
            "status": {"nodeInfo": info, "conditions": ready, "allocatable": resources, "capacity": dict(resources)},
        }
        return self.put(f"{NODES}/{name}", found)

    def put(self, path: str, found: Object) -> Object:
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)
        self.objects[path] = found
        return found

    def node(self, name: str) -> Object:
        found: Object = self.objects[f"{NODES}/{name}"]
        return found

    def pods(self) -> list[str]:
        return sorted(path.split("/")[-1] for path, found in self.objects.items() if found.get("kind") == "Pod")

    def write(self, name: str, body: Object, manager: str) -> Answer:
        """Patch a Node as ``manager``."""
        path = f"{NODES}/{name}"
        before = self.objects.get(path, {"spec": {}})
        code, headers, after = self._patch(path, body)
        if code == 200 and before["spec"].get("unschedulable") != after["spec"].get("unschedulable"):
            owned = {"manager": manager, "fieldsV1": {"f:spec": {"f:unschedulable": {}}}}
            after["metadata"]["managedFields"] = [owned] if after["spec"].get("unschedulable") else [{"manager": "x"}]
        if code == 200:
            self._daemonsets_follow(after)
        return code, headers, after

    def answer(self, method: str, target: str, body: Any) -> Answer:
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        if method != "GET" and path.endswith(self.forbidden or ("\0",)):
            return (
                403,
                {},
                status(403, "Forbidden", f'User "u" cannot create resource "{path.split("/")[-1]}" in API group ""'),
            )
        if method == "GET" and path == "/api/v1/pods":
            return 200, {}, {"metadata": {}, "items": list(self._pods(query))}
        if method == "POST" and path.endswith("/eviction"):
            return self._evict(path[: -len("/eviction")], body, "dryRun" in query)
        if method == "PATCH" and path.startswith(f"{NODES}/"):
            return self.write(path.split("/")[-1], body, query["fieldManager"][0])
        if method == "PATCH":
            return self._patch(path, body)
        if method == "POST":
            made = f"{path}/{body['metadata']['name']}"
            if made in self.objects:
                return 409, {}, status(409, "AlreadyExists", f"{made} already exists")
            return 201, {}, self.put(made, body)
        return super().answer(method, target, body)

    def _patch(self, path: str, body: Object) -> Answer:
        before = self.objects.get(path)
        if before is None:
            return 404, {}, status(404, "NotFound", f"{path} not found")
        asked = body.get("metadata", {}).get("resourceVersion")
        if asked and asked != before["metadata"]["resourceVersion"]:
            return 409, {}, status(409, "Conflict", "the object has been modified")
        return 200, {}, self.put(path, merged(before, body))

    def _pods(self, query: dict[str, list[str]]) -> Iterator[Object]:
        node = query.get("fieldSelector", [""])[0].rpartition("=")[2]
        key, _, value = query.get("labelSelector", [""])[0].partition("=")
        for found in list(self.objects.values()):
            if found.get("kind") != "Pod" or (node and found["spec"].get("nodeName") != node):
                continue
            if not key or found["metadata"]["labels"].get(key) == value:
                yield found

    def _evict(self, path: str, body: Object, dry_run: bool) -> Answer:
        pod = self.objects.get(path)
        if pod is None:
            return 404, {}, status(404, "NotFound", f"{path} not found")
        asked = body["deleteOptions"]["preconditions"]["uid"]
        if asked != pod["metadata"]["uid"]:
            return 409, {}, status(409, "Conflict", "Precondition failed: UID in precondition")
        budgets = [b for b in self.objects.values() if b.get("kind") == "PodDisruptionBudget" and _covers(b, pod)]
        if len(budgets) > 1:
            return 500, {}, status(500, "InternalError", "This pod has more than one PodDisruptionBudget")
        for budget in budgets:
            if budget["status"]["disruptionsAllowed"] < 1:
                needs = f"The disruption budget {budget['metadata']['name']} needs 1 healthy pods and has 1 currently"
                causes = {"causes": [{"reason": "DisruptionBudget", "message": needs}]}
                said = "Cannot evict pod as it would violate the pod's disruption budget."
                return 429, {}, status(429, "TooManyRequests", said, details=causes)
            budget["status"]["disruptionsAllowed"] -= 0 if dry_run else 1
        if not dry_run:
            self._delete(path, pod)
        return 201, {}, {"kind": "Status", "status": "Success"}

    def _delete(self, path: str, pod: Object) -> None:
        if pod["metadata"].get("finalizers"):
            pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        else:
            del self.objects[path]

    def _daemonsets_follow(self, node: Object) -> None:
        for path, pod in [*self.objects.items(), *self.away.items()]:
            selector = pod["spec"].get("nodeSelector") if pod.get("kind") == "Pod" else None
            if not selector or pod["spec"]["nodeName"] != node["metadata"]["name"]:
                continue
            wanted = selector.items() <= node["metadata"]["labels"].items()
            source, target = (self.away, self.objects) if wanted else (self.objects, self.away)
            if path in source:
                target[path] = source.pop(path)


def _covers(budget: Object, pod: Object) -> bool:
    wanted = budget["spec"]["selector"]["matchLabels"]
    same = budget["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return bool(same and wanted.items() <= pod["metadata"]["labels"].items())


def pod(name: str, owner: str | None = "ReplicaSet", node: str = "gpu-01", **more: Any) -> Object:
    """A running pod. ``owner``: the kind of its controller; further keywords are parts of metadata, spec or status."""
    metadata: Object = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": {"app": name}}
    if owner:
        api = "batch/v1" if owner == "Job" else "apps/v1"
        metadata["ownerReferences"] = [{"kind": owner, "apiVersion": api, "name": f"{name}-owner", "controller": True}]
    spec: Object = {"nodeName": node, "containers": [{"name": "main"}]}
    found = {"kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": "Running"}}
    for part in ("metadata", "spec", "status"):
        found[part] = {**found[part], **more.get(part, {})}  # type: ignore[dict-item]
    return found


def add_pod(cluster: FakeCluster, found: Object) -> Object:
    metadata = found["metadata"]
    owner = (metadata.get("ownerReferences") or [{}])[0]
    if owner.get("kind") == "DaemonSet":
        path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/daemonsets/{owner['name']}"
        cluster.put(
            path, {"kind": "DaemonSet", "metadata": {"name": owner["name"], "namespace": metadata["namespace"]}}
        )
    return cluster.put(f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}", found)


def add_budget(cluster: FakeCluster, name: str, app: str, allowed: int, **spec: Any) -> Object:
    found = {
        "kind": "PodDisruptionBudget",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": app}}, **spec},
        "status": {"disruptionsAllowed": allowed},
    }
    return cluster.put(f"/apis/policy/v1/namespaces/default/poddisruptionbudgets/{name}", found)
