# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Drain a node from the first look to the last pod, and let pods in again: the order of things, and what a failure leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._drain import claim as drain_claim
from ansible_collections.t9k.gpu.plugins.module_utils._drain import evict, operands, others
from ansible_collections.t9k.gpu.plugins.module_utils._drain import mark as drain_mark
from ansible_collections.t9k.gpu.plugins.module_utils._drain import node as drain_node
from ansible_collections.t9k.gpu.plugins.module_utils._drain.claim import Claim, Request
from ansible_collections.t9k.gpu.plugins.module_utils._drain.deadline import Deadline
from ansible_collections.t9k.gpu.plugins.module_utils._drain.pods import OPERAND, Verdict
from ansible_collections.t9k.gpu.plugins.module_utils._drain.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube.api import Api
from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault


class DrainFailed(GpuError):  # noqa: N818 - a fault, like GpuError's others
    """A drain that did not come to its end. ``given_back``: the node is as it was before."""

    def __init__(self, cause: GpuError, after: str, given_back: bool) -> None:
        super().__init__(cause.wanted, cause.found, cause.where, f"{cause.next_step}. {after}")
        self.given_back = given_back


@dataclass(frozen=True)
class Jobs:
    """Pods that may finish by themselves, and how long."""

    selector: str = ""
    timeout_s: float = 0


def preview(api: Api, request: Request, wanted: Wanted, jobs: Jobs) -> tuple[Verdict, ...]:
    """Look at the node and all its pods; refuse with everything that stands in the way. Nothing is changed."""
    drain_claim.require_ours_to_take(api, drain_claim.read(api, request.name), request)
    verdicts = evict.look(api, request.name, wanted, jobs.selector)
    evict.require_evictable(api, request.name, verdicts)
    return verdicts


def drain(api: Api, request: Request, wanted: Wanted, jobs: Jobs, timeout_s: float) -> tuple[Claim, list[Verdict]]:
    """Cordon, let jobs finish, evict, send the operands away. On failure the node goes back to what it was."""
    claim = _take(api, request)
    try:
        evict.wait_for_jobs(api, request.name, wanted, jobs.selector, Deadline(jobs.timeout_s))
        evict.require_evictable(api, request.name, evict.look(api, request.name, wanted))
        deadline = Deadline(timeout_s)
        went = evict.empty(api, request.name, wanted, deadline)
        return claim, went + _send_operands_away(api, request.name, wanted, deadline)
    except GpuError as cause:
        raise _undone(api, claim, request.name, cause) from cause


def _take(api: Api, request: Request) -> Claim:
    try:
        return drain_claim.take(api, request)
    except ApiFault as fault:
        if fault.status and fault.status < 500:
            raise
        raise DrainFailed(
            fault, f"{request.name} may be cordoned; the next run sees to it", given_back=False
        ) from fault


def _undone(api: Api, claim: Claim, name: str, cause: GpuError) -> DrainFailed:
    """Give the node back, unless an interrupted run had it before: its driver may be half changed."""
    if claim.resumed:
        return DrainFailed(cause, f"{name} stays cordoned, as an interrupted run left it", given_back=False)
    try:
        open_now = drain_claim.give_back(api, name)
    except GpuError as error:
        return DrainFailed(cause, f"{name} could not be given back ({error.found}); the next run does it", False)
    return DrainFailed(cause, f"{name} {'takes pods again' if open_now else 'is cordoned as before'}", given_back=True)


def _send_operands_away(api: Api, name: str, wanted: Wanted, deadline: Deadline) -> list[Verdict]:
    """They hold the GPUs for the pods, so they go last."""
    here = [pod for pod in evict.pods_on(api, name) if operands.is_operand(pod)]
    present = tuple(sorted({operands.daemonset_of(pod) for pod in here}))
    went = [verdict for verdict in evict.look(api, name, wanted) if verdict.fate == OPERAND]
    for change in operands.to_pause(drain_node.labels_of(drain_claim.read(api, name))):
        drain_claim.pause(api, name, change, present)
        _wait_gone(api, name, change, deadline)
    return went


def _wait_gone(api: Api, name: str, change: dict[str, str], deadline: Deadline) -> None:
    while True:
        left = [pod for pod in evict.pods_on(api, name) if operands.is_operand(pod) and operands.selects(pod, change)]
        if not left:
            return
        if deadline.passed:
            names = ", ".join(f"{pod['metadata']['namespace']}/{pod['metadata']['name']}" for pod in left)
            raise GpuError(
                f"the GPU Operator's operands to leave {name} within {deadline.seconds:.0f} s",
                f"{len(left)} left: {names}",
                f"API server {api.server}",
                "see why their DaemonSets do not take them away, then run again",
            )
        deadline.pause()


def is_marked(api: Api, name: str) -> bool:
    return drain_mark.of(drain_claim.read(api, name)) is not None


def readmit(api: Api, request: Request, timeout_s: float) -> str:
    """Bring the operands back, wait until the node is what it was, and let pods in; return what became of the node."""
    node = drain_claim.read(api, request.name)
    mark = drain_mark.of(node)
    if mark is None:
        return f"cordoned by {others.cordoned_by(node)}, not by us" if drain_node.cordoned(node) else "takes pods"
    drain_claim.require_ours_to_take(api, node, request, rebooted=True)
    drain_claim.resume(api, request.name)
    _wait_back(api, request, mark, Deadline(timeout_s))
    if drain_claim.give_back(api, request.name):
        return "takes pods"
    return f"cordoned by {others.cordoned_by(drain_claim.read(api, request.name))}, not by us"


def _wait_back(api: Api, request: Request, mark: drain_mark.Mark, deadline: Deadline) -> None:
    while True:
        node = drain_claim.read(api, request.name)
        missing = [*drain_node.not_back(node, mark.gpus, request.boot_id), *_operands_missing(api, request.name, mark)]
        if not missing:
            return
        if deadline.passed:
            raise GpuError(
                f"{request.name} back as before within {deadline.seconds:.0f} s",
                "; ".join(missing),
                f"node {request.name} of API server {api.server}",
                f"see the kubelet and the GPU Operator there, then run again; {request.name} stays cordoned until then",
            )
        deadline.pause()


def _operands_missing(api: Api, name: str, mark: drain_mark.Mark) -> list[str]:
    """Name the operands that were here and are not ready yet; one that was uninstalled meanwhile is not missed."""
    pods = [pod for pod in evict.pods_on(api, name) if operands.is_operand(pod)]
    back = {operands.daemonset_of(pod) for pod in pods if drain_node.ready(pod)}
    away = [key for key in mark.operands if key not in back and not evict.is_missing(api, key)]
    return [f"the operand {key} has no ready pod there" for key in away]


def describe(verdicts: list[Verdict] | tuple[Verdict, ...]) -> list[dict[str, Any]]:
    return [verdict.to_dict() for verdict in verdicts]
