# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Drain a node from the first look to the last pod, and let pods in again: the order of things, and what a failure leaves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._drain import budget, evict, gate, moving, others, rollout
from ansible_collections.t9k.gpu.plugins.module_utils._drain import claim as drain_claim
from ansible_collections.t9k.gpu.plugins.module_utils._drain import mark as drain_mark
from ansible_collections.t9k.gpu.plugins.module_utils._drain import node as drain_node
from ansible_collections.t9k.gpu.plugins.module_utils._drain.claim import Claim, Request
from ansible_collections.t9k.gpu.plugins.module_utils._drain.deadline import Deadline
from ansible_collections.t9k.gpu.plugins.module_utils._drain.pods import Verdict
from ansible_collections.t9k.gpu.plugins.module_utils._drain.rollout import Rules
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


def drain(
    api: Api, request: Request, wanted: Wanted, jobs: Jobs, timeout_s: float, rules: Rules, wait_s: float
) -> tuple[Claim, list[Verdict]]:
    """Wait for room in the budget, cordon, let jobs finish, evict, send the operands away.

    On failure the node goes back to what it was, and the rollout is told.
    """
    wait = Deadline(wait_s)
    claim = None
    while claim is None:
        request, room = rollout.reserve(api, request, rules, wait)
        claim = _take(api, request, rules, only_resume=not room)
    try:
        evict.wait_for_jobs(api, request.name, wanted, jobs.selector, Deadline(jobs.timeout_s))
        evict.require_evictable(api, request.name, evict.look(api, request.name, wanted))
        deadline = Deadline(timeout_s)
        went = evict.empty(api, request.name, wanted, deadline)
        return claim, went + (moving.send_away(api, request.name, wanted, deadline) if wanted.operands else [])
    except GpuError as cause:
        raise _undone(api, claim, request, rules, cause) from cause


def _take(api: Api, request: Request, rules: Rules, only_resume: bool) -> Claim | None:
    try:
        return drain_claim.take(api, request, only_resume)
    except ApiFault as fault:
        if fault.status and fault.status < 500:
            rollout.release(api, request, rules)
            raise
        raise DrainFailed(
            fault, f"{request.name} may be cordoned; the next run sees to it", given_back=False
        ) from fault
    except GpuError:
        rollout.release(api, request, rules)
        raise


def _undone(api: Api, claim: Claim, request: Request, rules: Rules, cause: GpuError) -> DrainFailed:
    """Give the node back, unless an interrupted run had it before: its driver may be half changed."""
    name, why = request.name, budget.failure(cause.found)
    try:
        if claim.resumed:
            drain_claim.note_failure(api, name, why)
            return DrainFailed(cause, f"{name} stays cordoned, as an interrupted run left it", given_back=False)
        open_now = drain_claim.give_back(api, name, why)
        rollout.release(api, request, rules)
    except GpuError as error:
        return DrainFailed(cause, f"{name} could not be given back ({error.found}); the next run does it", False)
    return DrainFailed(cause, f"{name} {'takes pods again' if open_now else 'is cordoned as before'}", given_back=True)


def readmit(api: Api, request: Request, timeout_s: float, rules: Rules, proven: bool = False) -> str:
    """Bring the operands back, wait until the node is what it was, and let pods in; return what became of the node.

    A failure that this run noted stays, since the node may be back with its former driver; that of an earlier run is over.
    ``proven``: its GPUs were proven, which is what a new node's taint waits for.
    """
    node = drain_claim.read(api, request.name)
    mark = drain_mark.of(node)
    if mark is None and proven and gate.tainted(node):
        mark = drain_mark.Mark(request.holder, request.reason, 0, 0)  # never drained: nothing was there before
    if mark is None:
        rollout.release(api, request, rules)
        return f"cordoned by {others.cordoned_by(node)}, not by us" if drain_node.cordoned(node) else "takes pods"
    drain_claim.require_ours_to_take(api, node, request, rebooted=True)
    moving.bring_back(api, request.name)
    _wait_back(api, request, mark, Deadline(timeout_s))
    told = drain_node.annotations_of(node).get(budget.FAILED)
    failed_now = request.name in budget.failed_since([node], rules.since)
    open_now = drain_claim.give_back(api, request.name, told if failed_now else None, proven)
    rollout.release(api, request, rules)
    if open_now:
        return "takes pods"
    return f"cordoned by {others.cordoned_by(drain_claim.read(api, request.name))}, not by us"


def _wait_back(api: Api, request: Request, mark: drain_mark.Mark, deadline: Deadline) -> None:
    while True:
        node = drain_claim.read(api, request.name)
        missing = [*drain_node.not_back(node, mark.gpus, request.boot_id), *moving.not_back(api, request.name, mark)]
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


def describe(verdicts: list[Verdict] | tuple[Verdict, ...]) -> list[dict[str, Any]]:
    return [verdict.to_dict() for verdict in verdicts]
