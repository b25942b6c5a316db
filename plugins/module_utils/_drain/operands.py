# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Move the GPU Operator's operands off a node and back, the way the operator itself does it. Pure.

Their pods belong to DaemonSets, which would make them again at once, so an eviction is no use. Each DaemonSet selects its nodes
by a label nvidia.com/gpu.deploy.NAME=true; NVIDIA's driver manager gives these labels another value before it
unloads the driver and the old one afterwards (NVIDIA/k8s-driver-manager, cmd/driver-manager/main.go: maybeSetPaused,
maybeSetTrue). The words are its own, so that either can take up what the other left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEPLOY = "nvidia.com/gpu.deploy."
PAUSED = "paused-for-driver-upgrade"
#: The driver's own pods hold the module itself; ``operands`` is the switch that keeps all of them away.
_NOT_OURS = (f"{DEPLOY}driver", f"{DEPLOY}operands")
#: It serves the claims of those before it, so it goes after them.
_LAST = (f"{DEPLOY}dra-driver",)


def is_operand(pod: Mapping[str, Any]) -> bool:
    """Tell a DaemonSet's pod that goes when its label is paused."""
    owners = pod["metadata"].get("ownerReferences") or []
    return any(owner.get("kind") == "DaemonSet" for owner in owners) and bool(_keys(pod))


def daemonset_of(pod: Mapping[str, Any]) -> str:
    """Name the DaemonSet of an operand's pod as namespace/name."""
    owner = next(owner for owner in pod["metadata"]["ownerReferences"] if owner["kind"] == "DaemonSet")
    return f"{pod['metadata']['namespace']}/{owner['name']}"


def _keys(pod: Mapping[str, Any]) -> list[str]:
    selector = pod["spec"].get("nodeSelector") or {}
    return [key for key in selector if key.startswith(DEPLOY) and key not in _NOT_OURS]


def selects(pod: Mapping[str, Any], change: Mapping[str, str]) -> bool:
    """Tell whether the pod's DaemonSet selects its nodes by one of the labels that ``change`` pauses."""
    return bool(set(_keys(pod)) & set(change))


def to_pause(labels: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the label changes that send the operands away, one after the other."""
    changes = {
        key: _paused(value)
        for key, value in labels.items()
        if key.startswith(DEPLOY) and key not in _NOT_OURS and value not in ("", "false") and PAUSED not in value
    }
    first = {key: value for key, value in changes.items() if key not in _LAST}
    last = {key: value for key, value in changes.items() if key in _LAST}
    return [change for change in (first, last) if change]


def _paused(value: str) -> str:
    return PAUSED if value == "true" else f"{value}_{PAUSED}"


def to_resume(labels: Mapping[str, str], paused: Mapping[str, str]) -> dict[str, str]:
    """Return the label changes that bring the operands back.

    ``paused``: the labels that were paused and their former values. One that somebody else changed meanwhile stays as it is.
    """
    return {key: value for key, value in paused.items() if PAUSED in labels.get(key, "")}
