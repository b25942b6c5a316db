# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell which nodes are out of order for a reason of their own, and how many of them are put up with. Pure.

A node that is NotReady keeps the ClusterPolicy from "ready" for ever: its DaemonSets' pods are still wanted there and never
available (NVIDIA/gpu-operator, controllers/object_controls.go, func isDaemonSetReady). Among hundreds of nodes one always is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

_SHARE = re.compile(r"(\d+)(%?)")
_SHOWN = 5


def few(names: Iterable[str]) -> str:
    """Name some of many."""
    found = sorted(names)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def out_of_order(node: Mapping[str, Any]) -> str:
    """Say why no pod could start on the node; "" if one could. A cordoned node still runs the operator's pods."""
    for condition in (node.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "Ready" and condition.get("status") != "True":
            word = "NotReady" if condition.get("status") == "False" else "unreachable"
            since = condition.get("lastTransitionTime")
            return word + (f" since {since}" if since else "")
    return ""


def why_out(node: Mapping[str, Any]) -> str:
    """Say what excuses a node that is not as it should be; "" if nothing does."""
    return out_of_order(node) or ("cordoned" if (node.get("spec") or {}).get("unschedulable") else "")


def limit(tolerated: str, total: int) -> int:
    """Return how many nodes may be left out: a number, or a share of all, rounded down."""
    found = _SHARE.fullmatch(str(tolerated).strip())
    if not found or (found[2] and int(found[1]) > 100):
        raise GpuError(
            "a number of nodes, or a share in percent",
            repr(tolerated),
            "gpu_operator_nodes_tolerated",
            "correct it, e.g. 3 or 5%",
        )
    return total * int(found[1]) // 100 if found[2] else int(found[1])


@dataclass(frozen=True)
class LeftOut:
    """Nodes that are not waited for, each with why; and how many pods the DaemonSets therefore may lack."""

    nodes: Mapping[str, str] = field(default_factory=dict)
    #: Nodes without GPUs that are out of order: they lack pods of node feature discovery, and nobody waits for them.
    others: tuple[str, ...] = ()
    #: More nodes than are tolerated.
    too_many: Mapping[str, str] = field(default_factory=dict)
    allowed: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """Say it, the nodes of one reason together."""
        reasons: dict[str, list[str]] = {}
        for name, why in self.nodes.items():
            reasons.setdefault(why, []).append(name)
        told = [f"not waited for: {few(names)} ({why})" for why, names in sorted(reasons.items())]
        return (*told, *([f"out of order, without known GPUs: {few(self.others)}"] if self.others else []))


def judge(
    suspects: Mapping[str, str], failed: Mapping[str, str], others: Iterable[str], tolerated: str, total: int
) -> LeftOut:
    """Decide who is left out. ``suspects``: GPU nodes that are excused by their own state; ``failed``: those that an earlier
    part of this run has failed on, which it has said already and which count no more."""
    counted = {name: why for name, why in suspects.items() if name not in failed}
    allowed = limit(tolerated, total)
    if len(counted) > allowed:
        return LeftOut(failed, tuple(others), counted, allowed)
    return LeftOut({**counted, **failed}, tuple(others), {}, allowed)
