# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Restart the pods that have read a config which changed: on the nodes that use it, some nodes at a time, and no others.

A node uses the config that its label names, else the ClusterPolicy's default (NVIDIA/gpu-operator, assets/state-device-plugin,
config-manager with NODE_LABEL and DEFAULT_CONFIG). While a plugin restarts its node offers no GPUs to new pods, and clients of an MPS
control daemon end, so not all nodes at once. A pod that is deleted is made anew by its DaemonSet, which stays as it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Dict

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import labels
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.documents import ALL, CONFIG_LABEL

if TYPE_CHECKING:
    from ansible_collections.t9k.gpu.plugins.module_utils._kube.api import Api
    from ansible_collections.t9k.gpu.plugins.module_utils._sharing.configmap import Place

Object = Dict[str, Any]
_PAUSE_S = 1.0


def users_of(nodes: Iterable[Object], due: Iterable[str], default: str) -> set[str]:
    """Return the nodes that use one of the configs."""
    names = set(due)
    found = {node["metadata"]["name"]: labels(node).get(CONFIG_LABEL) or default for node in nodes}
    return {name for name, config in found.items() if ALL in names or config in names}


def pods_of(pods: Iterable[Object], daemonsets: Iterable[str], nodes: set[str]) -> dict[str, list[str]]:
    """Return node → the pods of these DaemonSets there."""
    wanted = set(daemonsets)
    found: dict[str, list[str]] = {}
    for pod in pods:
        owners = {
            owner["name"] for owner in pod["metadata"].get("ownerReferences") or [] if owner["kind"] == "DaemonSet"
        }
        node = (pod.get("spec") or {}).get("nodeName")
        if node in nodes and owners & wanted:
            found.setdefault(node, []).append(pod["metadata"]["name"])
    return found


def batches(nodes: Iterable[str], share: str) -> list[list[str]]:
    """Cut the nodes into batches of at most so many, or such a share of them; of at least one."""
    names = sorted(nodes)
    number = int(share.rstrip("%"))
    size = max(1, len(names) * number // 100 if share.endswith("%") else number)
    return [names[start : start + size] for start in range(0, len(names), size)]


@dataclass(frozen=True)
class Due:
    """What is to be restarted: DaemonSets, and node → their pods there; and for how many of them a successor is waited for.

    None is where the pod was not Ready before: on a node that is out of order it cannot come back.
    """

    daemonsets: tuple[str, ...] = ()
    pods: Mapping[str, list[str]] = field(default_factory=dict)
    awaited: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, daemonsets: Iterable[str], pods: Iterable[Object], nodes: set[str]) -> Due:
        """Find the pods of DaemonSets on some nodes."""
        names, every = tuple(daemonsets), list(pods)
        ready = pods_of(filter(_ready, every), names, nodes)
        return cls(names, pods_of(every, names, nodes), {node: len(found) for node, found in ready.items()})


def restart(
    api: Api, place: Place, due: Due, share: str, timeout_s: float, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Delete the pods batch by batch, and wait after each until those that take their place are Ready."""
    path = f"/api/v1/namespaces/{place.namespace}/pods"
    for batch in batches(due.pods, share):
        old = {name for node in batch for name in due.pods[node]}
        for name in sorted(old):
            api.delete(f"{path}/{name}")
        end = time.monotonic() + timeout_s
        left = "nothing was looked at"
        while left:
            left = missing(due, batch, api.list(path))
            if left and time.monotonic() > end:
                step = "look at those pods; the next run goes on with what was left"
                wanted = f"restarted pods on {', '.join(batch[:5])} within {timeout_s:.0f} s"
                raise GpuError(wanted, left, f"namespace {place.namespace}", step)
            if left:
                sleep(_PAUSE_S)


def missing(due: Due, batch: Iterable[str], pods: Iterable[Object]) -> str:
    """Say what of a batch is not back; "" if each node has as many new pods that are Ready as it had."""
    nodes = set(batch)
    ready = pods_of(filter(_ready, pods), due.daemonsets, nodes)
    for node in sorted(nodes):
        new = set(ready.get(node, [])) - set(due.pods[node])
        if len(new) < due.awaited.get(node, 0):
            return f"{len(new)} of {due.awaited[node]} pods on {node} are new and Ready"
    return ""


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)
