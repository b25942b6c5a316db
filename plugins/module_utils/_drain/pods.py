# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decide for each pod of a node whether it goes, stays or stands in the way, and say why. Pure.

The rules and their order are those of ``kubectl drain`` (kubernetes/kubectl, pkg/drain/filters.go), with three differences:
a finished pod stays, since it holds nothing and its log may be wanted; a pod of an operand of the GPU Operator is moved
away by the operator's own label (see operands.py); and mode ``gpu_pods`` takes only those that may hold a GPU.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._drain import operands
from ansible_collections.t9k.gpu.plugins.module_utils._drain.wanted import Wanted

GOES, STAYS, BLOCKED, FINISHES = "goes", "stays", "blocked", "finishes"
#: Goes by the label of its DaemonSet, not by an eviction.
OPERAND = "operand"
_MIRROR = "kubernetes.io/config.mirror"
#: What the runtime gives a container that asks with this variable alone, past the device plugin.
_VISIBLE, _NONE_VISIBLE = "NVIDIA_VISIBLE_DEVICES", ("", "void", "none")


@dataclass(frozen=True)
class Verdict:
    """What becomes of one pod, and why."""

    namespace: str
    name: str
    uid: str
    owner: str
    fate: str
    reason: str
    leaving: bool = False  # it has a deletionTimestamp already
    finalizers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def to_dict(self) -> dict[str, str]:
        return {key: getattr(self, key) for key in ("namespace", "name", "owner", "fate", "reason")}


def decide(
    pod: dict[str, Any],
    wanted: Wanted,
    missing_daemonsets: Collection[str] = (),
    finishing: Collection[str] = (),
) -> Verdict:
    """Judge one pod.

    ``missing_daemonsets``: namespace/name of DaemonSets that pods name and that are gone.
    ``finishing``: UIDs of pods whose end is waited for.
    """
    metadata = pod["metadata"]
    fate, reason = _fate(pod, wanted, missing_daemonsets, finishing)
    return Verdict(
        metadata.get("namespace", ""),
        metadata["name"],
        metadata.get("uid", ""),
        owner_of(pod),
        fate,
        reason,
        bool(metadata.get("deletionTimestamp")),
        tuple(metadata.get("finalizers") or ()),
    )


def _fate(
    pod: dict[str, Any], wanted: Wanted, missing_daemonsets: Collection[str], finishing: Collection[str]
) -> tuple[str, str]:
    metadata = pod["metadata"]
    if _MIRROR in (metadata.get("annotations") or {}):
        return STAYS, "a static pod, which its kubelet makes"
    if finished(pod):
        return STAYS, "finished"
    if operands.is_operand(pod):
        return OPERAND, "an operand of the GPU Operator"
    if wanted.mode == "gpu_pods" and not uses_gpu(pod):
        return STAYS, "uses no GPU"
    controller = controller_of(pod)
    if controller and (controller["kind"], controller["apiVersion"]) == ("DaemonSet", "apps/v1"):
        return _of_daemonset(f"{metadata['namespace']}/{controller['name']}" in missing_daemonsets, wanted)
    if metadata.get("uid") in finishing:
        return FINISHES, "its job may finish"
    if metadata.get("deletionTimestamp"):
        return GOES, "is being deleted"
    if has_emptydir(pod) and not wanted.delete_emptydir_data:
        return BLOCKED, "has data in an emptyDir (delete_emptydir_data allows to lose it)"
    if controller is None and not wanted.force:
        return BLOCKED, "nothing would make it again (force allows to delete it)"
    return GOES, "its owner makes it again elsewhere" if controller else "deleted for good, by force"


def _of_daemonset(missing: bool, wanted: Wanted) -> tuple[str, str]:
    """A DaemonSet's pod would be back at once, cordon or not, so it is left alone."""
    if missing:
        return (
            (GOES, "its DaemonSet is gone") if wanted.force else (BLOCKED, "its DaemonSet is gone (force deletes it)")
        )
    if wanted.ignore_daemonsets:
        return STAYS, "belongs to a DaemonSet"
    return BLOCKED, "belongs to a DaemonSet (ignore_daemonsets leaves it there)"


def finished(pod: dict[str, Any]) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def controller_of(pod: dict[str, Any]) -> dict[str, Any] | None:
    """Return the owner that makes the pod again."""
    owners = pod["metadata"].get("ownerReferences") or []
    return next((owner for owner in owners if owner.get("controller")), None)


def owner_of(pod: dict[str, Any]) -> str:
    """Name the owner for a person."""
    controller = controller_of(pod)
    return f"{controller['kind']} {controller['name']}" if controller else "nobody"


def has_emptydir(pod: dict[str, Any]) -> bool:
    return any("emptyDir" in volume for volume in pod["spec"].get("volumes") or [])


def uses_gpu(pod: dict[str, Any]) -> bool:
    """Tell whether the pod may hold a GPU.

    By a resource nvidia.com/… (also MIG's and shared ones), by a resource claim, or past the device plugin: by the NVIDIA
    runtime class or its variable. Doubt counts as yes: a pod that holds a GPU keeps the kernel module from going.
    """
    spec = pod["spec"]
    if spec.get("resourceClaims") or spec.get("runtimeClassName") == "nvidia":
        return True
    return any(_wants_gpu(container) for container in _containers(spec))


def _containers(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for kind in ("initContainers", "containers"):
        yield from spec.get(kind) or []


def _wants_gpu(container: dict[str, Any]) -> bool:
    resources = container.get("resources") or {}
    names = [name for kind in ("limits", "requests") for name in resources.get(kind) or {}]
    asked = [item.get("value", "all") for item in container.get("env") or [] if item.get("name") == _VISIBLE]
    return any(name.startswith("nvidia.com/") for name in names) or any(value not in _NONE_VISIBLE for value in asked)
