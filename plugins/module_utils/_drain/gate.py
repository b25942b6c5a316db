# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep pods off a new node until its GPUs are proven: a taint that the kubelet registers with, and that only a proof takes away. Pure.

The kubelet sets it when it makes the Node (``--register-with-taints``; kubernetes/kubernetes, pkg/kubelet/kubelet_node_status.go: a Node
that is there already keeps its taints), so it is there before the scheduler can see the node; we could only come too late.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._drain.node import Node

TAINT = "gpu.t9k.io/unproven"


def tainted(node: Node) -> bool:
    return any(taint.get("key") == TAINT for taint in _taints(node))


def without(node: Node) -> list[dict[str, Any]]:
    """Return the node's other taints, which are nothing of ours."""
    return [taint for taint in _taints(node) if taint.get("key") != TAINT]


def _taints(node: Node) -> list[dict[str, Any]]:
    return node["spec"].get("taints") or []
