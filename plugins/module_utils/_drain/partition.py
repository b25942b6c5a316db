# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Partition the GPUs of a node that pods use: empty it, change its MIG configuration, wait for the MIG manager, let pods in again.

The MIG manager wants no user's work on the GPUs and the node cordoned, and sees to neither (NVIDIA's documentation, "GPU Operator with
MIG", Architecture); the operator's own pods it stops and starts itself (NVIDIA/mig-parted, pkg/mig/reconfigure), so these stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._drain import budget, evict, session
from ansible_collections.t9k.gpu.plugins.module_utils._drain import claim as drain_claim
from ansible_collections.t9k.gpu.plugins.module_utils._drain import mark as drain_mark
from ansible_collections.t9k.gpu.plugins.module_utils._drain import node as drain_node
from ansible_collections.t9k.gpu.plugins.module_utils._drain.claim import Request
from ansible_collections.t9k.gpu.plugins.module_utils._drain.deadline import Deadline
from ansible_collections.t9k.gpu.plugins.module_utils._drain.node import Node
from ansible_collections.t9k.gpu.plugins.module_utils._drain.pods import BLOCKED, GOES, Verdict
from ansible_collections.t9k.gpu.plugins.module_utils._drain.rollout import Rules
from ansible_collections.t9k.gpu.plugins.module_utils._drain.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube.api import Api

#: By this the next run knows a node that one of these changes left cordoned.
REASON = "t9k.gpu: other partitions of its GPUs"
_CONFIG, _STATE = "nvidia.com/mig.config", "nvidia.com/mig.config.state"


@dataclass(frozen=True)
class Patience:
    """How many seconds to wait for what."""

    budget_s: float = 21600
    pods_s: float = 900
    manager_s: float = 900


def left_by_us(node: Node) -> bool:
    """Tell a node that a broken-off change of partitions has left cordoned."""
    mark = drain_mark.of(node)
    return mark is not None and mark.reason == REASON


def require_free(node: Node) -> None:
    """Refuse a node that a broken-off change of its driver has left: letting pods in is that one's matter, after its proof."""
    mark = drain_mark.of(node)
    if mark is not None and mark.reason != REASON:
        raise GpuError(
            f"the node {node['metadata']['name']} for other partitions",
            f"{mark.holder} has it ({mark.reason})",
            f"annotation {drain_mark.ANNOTATION} of the node",
            "finish that first (playbook driver.yml on this host), then run again",
        )


def wanted_of(options: dict[str, Any]) -> Wanted:
    """Say what goes: pods that may hold a GPU, and none of the operator's own."""
    return Wanted.of({**options, "mode": "gpu_pods", "operands": False})


def holders(api: Api, nodes: Iterable[str], options: dict[str, Any]) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Return the pods that hold the GPUs of these nodes, and a fault for each node that no drain could empty."""
    found, faults = {}, []
    known: dict[str, bool] = {}  # the same DaemonSets are on all of them
    for node in nodes:
        pods = evict.look(api, node, wanted_of(options), known=known)
        verdicts = [each for each in pods if each.fate in (GOES, BLOCKED)]
        found[node] = tuple(map(str, verdicts))
        try:
            evict.require_evictable(api, node, verdicts)
        except GpuError as error:
            faults.append(str(error))
    return found, faults


def partition(
    api: Api, request: Request, wanted: Wanted, labels: Mapping[str, Any], rules: Rules, patience: Patience
) -> list[Verdict]:
    """Give one node its labels while no pod holds its GPUs; return which pods went.

    A drain that fails gives the node back as it was. Later the GPUs may be half changed: the node stays cordoned, and the next run,
    with the same configuration or another, goes on with it.
    """
    require_free(drain_claim.read(api, request.name))
    jobs = session.Jobs()
    _claim, went = session.drain(api, request, wanted, jobs, patience.pods_s, rules, patience.budget_s)
    try:
        api.merge_patch(f"/api/v1/nodes/{request.name}", {"metadata": {"labels": dict(labels)}})
        wait_for_manager(api, request.name, Deadline(patience.manager_s))
        session.readmit(api, request, patience.manager_s, rules)
    except GpuError as error:
        drain_claim.note_failure(api, request.name, budget.failure(error.found))
        error.next_step += f"; {request.name} stays cordoned until then"
        raise
    return went


def wait_for_manager(api: Api, name: str, deadline: Deadline) -> None:
    """Wait for the MIG manager's word on the configuration that the node is labelled with now."""
    while True:
        labels = drain_node.labels_of(drain_claim.read(api, name))
        state = labels.get(_STATE, "none")
        if state == "success" or _CONFIG not in labels:
            return
        if state == "failed" or deadline.passed:
            waited = "" if state == "failed" else f" after {deadline.seconds:.0f} s"
            raise GpuError(
                f"MIG configuration {labels[_CONFIG]} on {name}",
                f"state {state}{waited}",
                f"label {_STATE} of the node",
                "see the log of the pod nvidia-mig-manager there, correct gpu_mig or what the log names, then run again",
            )
        deadline.pause()
