# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Count the GPU nodes that are away and say whether one more may go. Pure.

Away is what pods cannot use, whoever took it: unschedulable, not Ready, or promised to a run that has not cordoned it yet. The
promises are entries of one ConfigMap, the ledger (rollout.py).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Callable

from ansible_collections.t9k.gpu.plugins.module_utils._drain import mark as drain_mark
from ansible_collections.t9k.gpu.plugins.module_utils._drain import node as drain_node
from ansible_collections.t9k.gpu.plugins.module_utils._drain.holder import Holder
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import PREFIX

#: What the operator, node feature discovery and GPU feature discovery put on a node with NVIDIA GPUs.
_GPU_LABELS = ("nvidia.com/gpu.present", "feature.node.kubernetes.io/pci-10de.present", "nvidia.com/gpu.count")
#: Who failed, when and why; an annotation of the Node.
FAILED = PREFIX + "failed"
#: On the ledger: no further node is taken while it is there. Its value is the reason.
PAUSE = PREFIX + "pause"


@dataclass(frozen=True)
class Entry:
    """A node that is promised to a run, until when it may be in its hands."""

    holder: Holder
    until: float

    def text(self) -> str:
        return json.dumps({"holder": self.holder.__dict__, "until": self.until}, sort_keys=True)


def entries(ledger: Mapping[str, Any] | None) -> dict[str, Entry]:
    """Read the ledger; an entry that this version could not have written counts, and is nobody's."""
    return {node: _entry(text) for node, text in ((ledger or {}).get("data") or {}).items()}


def _entry(text: str) -> Entry:
    try:
        found = json.loads(text)
        return Entry(Holder(**found["holder"]), float(found["until"]))
    except (TypeError, ValueError, KeyError):
        return Entry(Holder("somebody", "", 0, 0), 0)


def limit(share: str, total: int) -> int:
    """Return how many nodes may be away: a number, or a share of all, rounded down to no less than one."""
    found = re.fullmatch(r"(\d+)(%?)", share.strip())
    if not found or not int(found.group(1)) or (found.group(2) and int(found.group(1)) > 100):
        raise GpuError("a number of nodes, or a share in percent", repr(share), "max_unavailable", "correct it")
    return max(1, total * int(found.group(1)) // 100) if found.group(2) else int(found.group(1))


def gpu_nodes(nodes: Iterable[drain_node.Node], known: Collection[str]) -> list[drain_node.Node]:
    """Return the nodes with GPUs: by their labels, their resources, our mark, or because the inventory says so (``known``),
    since before the operator nothing in the cluster tells."""
    return [node for node in nodes if node["metadata"]["name"] in known or _has_gpu(node)]


def _has_gpu(node: drain_node.Node) -> bool:
    capacity = (node.get("status") or {}).get("capacity") or {}
    labels = drain_node.labels_of(node)
    by_label = any(labels.get(label) not in (None, "", "false", "0") for label in _GPU_LABELS)
    return by_label or any(name.startswith("nvidia.com/") for name in capacity) or drain_mark.of(node) is not None


def away(node: drain_node.Node) -> str | None:
    """Say why pods cannot use the node."""
    if drain_node.cordoned(node):
        return "cordoned"
    return None if drain_node.ready(node) else "not Ready"


@dataclass(frozen=True)
class Count:
    """Who else is away, why, and which entries of the ledger are left over from dead runs."""

    others: dict[str, str]
    stale: tuple[str, ...]
    limit: int

    @property
    def room(self) -> bool:
        return len(self.others) < self.limit

    def __str__(self) -> str:
        names = ", ".join(f"{name} ({why})" for name, why in sorted(self.others.items()))
        return f"{len(self.others)} GPU nodes are away, {self.limit} may be: {names or 'none'}"


def count(
    nodes: Collection[drain_node.Node], ledger: Mapping[str, Entry], me: str, share: str, lives: Callable[[Entry], bool]
) -> Count:
    """Count the GPU nodes ``nodes`` that are away, ``me`` left out.

    A promise of a dead run is void where its node is not away: that run ended before its cordon, or after its uncordon.
    """
    others = {node["metadata"]["name"]: why for node in nodes for why in [away(node)] if why}
    stale = tuple(sorted(name for name, entry in ledger.items() if name not in others and not lives(entry)))
    for name, entry in ledger.items():
        if name not in others and name not in stale:
            others[name] = f"promised to {entry.holder}"
    others.pop(me, None)
    return Count(others, tuple(name for name in stale if name != me), limit(share, len(nodes)))


def failure(reason: str) -> str:
    """Return the note that a change failed now."""
    return json.dumps({"at": time.time(), "reason": reason[:500]}, sort_keys=True)


def failed_since(nodes: Iterable[drain_node.Node], when: float) -> dict[str, str]:
    """Return the nodes on which a change failed since then, and why."""
    notes = {node["metadata"]["name"]: _note(drain_node.annotations_of(node).get(FAILED, "")) for node in nodes}
    return {name: reason for name, (at, reason) in notes.items() if at >= when and reason}


def _note(text: str) -> tuple[float, str]:
    try:
        found = json.loads(text)
        return float(found["at"]), str(found["reason"])
    except (TypeError, ValueError, KeyError):
        return 0.0, ""
