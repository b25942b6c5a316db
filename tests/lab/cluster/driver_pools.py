"""What the operator makes of NVIDIADrivers: one DaemonSet a pool of nodes with the same system, pods exchanged node by node.

Sources, NVIDIA/gpu-operator v26.7.0: internal/state/nodepool.go (a pool is the nodes of one system, by NFD's labels), internal/state/
driver.go (name of the DaemonSet: type, system and a hash of the NVIDIADriver's UID; those of pools that are gone are deleted; the image
gets the system's name), manifests/state-driver/0500_daemonset.yaml (labels, selector, ``OnDelete``),
controllers/nvidiadriver_controller.go (``disabled`` while the ClusterPolicy does not leave the drivers to it),
controllers/upgrade_controller.go (with ``autoUpgrade``, on by default, outdated pods are exchanged, one node at a time).
"""

from __future__ import annotations

import hashlib
from typing import Any

from tests.lab.cluster.api import Api
from tests.lab.cluster.gpu_node import DEPLOY

Object = dict[str, Any]
DRIVERS = "/apis/nvidia.com/v1alpha1/nvidiadrivers"
OWNER = "nvidia.com/gpu-operator.driver.owner"
_SYSTEM = ("feature.node.kubernetes.io/system-os_release.ID", "feature.node.kubernetes.io/system-os_release.VERSION_ID")


def owner_of(node: Object, drivers: list[Object]) -> str:
    """Return the NVIDIADriver of a node: the one whose selector fits, else the default one."""
    labels = node["metadata"]["labels"]
    for driver in drivers:
        selector = driver["spec"].get("nodeSelector") or {}
        if selector and selector.items() <= labels.items():
            return str(driver["metadata"]["name"])
    defaults = [d["metadata"]["name"] for d in drivers if not d["spec"].get("nodeSelector")]
    return defaults[0] if defaults else ""


def pools(driver: Object, nodes: list[Object], drivers: list[Object]) -> dict[str, dict[str, str]]:
    """Return system → the node selector of its pool."""
    found: dict[str, dict[str, str]] = {}
    for node in nodes:
        labels = node["metadata"]["labels"]
        mine = labels.get("nvidia.com/gpu.present") == "true" and owner_of(node, drivers) == driver["metadata"]["name"]
        if mine and all(key in labels for key in _SYSTEM):
            system = {key: labels[key] for key in _SYSTEM}
            found["".join(system.values())] = {**system, OWNER: driver["metadata"]["name"]}
    return found


def daemonset(driver: Object, system: str, selector: dict[str, str], namespace: str) -> Object:
    """Return the DaemonSet of one pool."""
    spec, metadata = driver["spec"], driver["metadata"]
    name = f"nvidia-gpu-driver-{system}-{hashlib.sha256(metadata['uid'].encode()).hexdigest()[:10]}"
    labels = {"app": name, "app.kubernetes.io/component": "nvidia-driver", **(spec.get("labels") or {})}
    image = f"{spec['repository']}/{spec['image']}:{spec['version']}-{system}"
    pod = {
        "nodeSelector": {f"{DEPLOY}driver": "true", **selector},
        "containers": [{"name": "nvidia-driver-ctr", "image": image}],
    }
    owner = {
        "apiVersion": "nvidia.com/v1alpha1",
        "kind": "NVIDIADriver",
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": labels,
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "updateStrategy": {"type": "OnDelete"},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }


def outdated(body: Object, pods: list[Object]) -> list[Object]:
    """Return the pods that have another image than the DaemonSet's template."""
    image = body["spec"]["template"]["spec"]["containers"][0]["image"]
    mine = [pod for pod in pods if pod["metadata"].get("labels", {}).get("app") == body["metadata"]["name"]]
    return [pod for pod in mine if pod["spec"]["containers"][0]["image"] != image]


def reconcile(api: Api, drivers: list[Object], nodes: list[Object], namespace: str, used: bool) -> None:
    """Bring each NVIDIADriver's DaemonSets there and say how they are."""
    path = f"/apis/apps/v1/namespaces/{namespace}/daemonsets"
    pods = api.items(f"/api/v1/namespaces/{namespace}/pods") if drivers else []
    for driver in drivers:
        if not used:
            _say(api, driver, "disabled")
            continue
        _own(api, driver, nodes, drivers)
        wanted = [daemonset(driver, *pool, namespace) for pool in pools(driver, nodes, drivers).items()]
        present = [each for each in api.items(path) if _is_of(each, driver)]
        for each in present:
            if each["metadata"]["name"] not in {body["metadata"]["name"] for body in wanted}:
                api.delete(f"{path}/{each['metadata']['name']}")
        applied = [api.apply(f"{path}/{body['metadata']['name']}", body) for body in wanted]
        old = [pod for body in applied for pod in outdated(body, pods)]
        if old and (driver["spec"].get("upgradePolicy") or {}).get("autoUpgrade", True):
            api.delete(f"/api/v1/namespaces/{namespace}/pods/{old[0]['metadata']['name']}")
        _say(api, driver, "ready" if not old and all(map(_well, applied)) else "notReady")


def _own(api: Api, driver: Object, nodes: list[Object], drivers: list[Object]) -> None:
    name = driver["metadata"]["name"]
    for node in nodes:
        labels = node["metadata"]["labels"]
        mine = labels.get("nvidia.com/gpu.present") == "true" and owner_of(node, drivers) == name
        if mine and labels.get(OWNER) != name:
            api.patch(f"/api/v1/nodes/{node['metadata']['name']}", {"metadata": {"labels": {OWNER: name}}})


def _is_of(item: Object, driver: Object) -> bool:
    return any(o["uid"] == driver["metadata"]["uid"] for o in item["metadata"].get("ownerReferences") or [])


def _well(item: Object) -> bool:
    status = item.get("status") or {}
    count = status.get("desiredNumberScheduled", -1)
    observed = status.get("observedGeneration") == item["metadata"]["generation"]
    return bool(observed and count == status.get("numberReady", 0) == status.get("updatedNumberScheduled", 0))


def _say(api: Api, driver: Object, state: str) -> None:
    if (driver.get("status") or {}).get("state") != state:
        api.patch(f"{DRIVERS}/{driver['metadata']['name']}/status", {"status": {"state": state}})
