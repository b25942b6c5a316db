# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Name who else has a hand on a node: tools that cordon, reboot or quarantine it. Pure.

Sources: kubereboot/kured, cmd/kured/main.go (the annotation is set with --annotate-nodes; its lock is on its own
DaemonSet and not looked at here). NVIDIA/k8s-operator-libs, pkg/upgrade/consts.go: the states of the operator's upgrade
controller; from cordon-required to uncordon-required it is at work on the node. NVIDIA/NVSentinel, fault-quarantine,
pkg/common: its annotations, and the label cordon-by below a prefix that is a setting.
"""

from __future__ import annotations

from ansible_collections.t9k.gpu.plugins.module_utils._drain.node import Node, annotations_of, labels_of

KURED = "weave.works/kured-reboot-in-progress"
UPGRADE_STATE = "nvidia.com/gpu-driver-upgrade-state"
QUARANTINE = ("quarantineHealthEvent", "quarantineHealthEventIsCordoned")
_AT_REST = ("", "upgrade-required", "upgrade-done", "upgrade-failed")


def at_work(node: Node) -> str | None:
    """Name the tool that is at work on the node, with the evidence; None if there is none."""
    state = labels_of(node).get(UPGRADE_STATE, "")
    if state not in _AT_REST:
        return f"the GPU Operator's upgrade controller (label {UPGRADE_STATE}={state})"
    if KURED in annotations_of(node):
        return f"kured (annotation {KURED})"
    quarantined = [key for key in QUARANTINE if annotations_of(node).get(key) not in (None, "", "False")]
    if quarantined:
        return f"NVSentinel (annotation {quarantined[0]})"
    return None


def cordoned_by(node: Node) -> str:
    """Name who cordoned the node, as far as it tells."""
    by = [
        f"{value} (label {key})"
        for key, value in labels_of(node).items()
        if key.split("/")[-1] == "cordon-by" and value
    ]
    managers = [
        str(entry.get("manager"))
        for entry in node["metadata"].get("managedFields") or []
        if "f:unschedulable" in ((entry.get("fieldsV1") or {}).get("f:spec") or {})
    ]
    return next(iter(by), f"{managers[0]} (its field manager)" if managers else "somebody who left no name")
