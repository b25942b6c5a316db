# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Take a node for a change of its driver, and give it back: cordon and mark in one write.

Every write carries the resourceVersion that was read (compare and set), so what was decided on is what is changed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._drain import gate, operands, others
from ansible_collections.t9k.gpu.plugins.module_utils._drain import holder as drain_holder
from ansible_collections.t9k.gpu.plugins.module_utils._drain import mark as drain_mark
from ansible_collections.t9k.gpu.plugins.module_utils._drain import node as drain_node
from ansible_collections.t9k.gpu.plugins.module_utils._drain.budget import FAILED
from ansible_collections.t9k.gpu.plugins.module_utils._drain.holder import Holder
from ansible_collections.t9k.gpu.plugins.module_utils._drain.mark import Mark
from ansible_collections.t9k.gpu.plugins.module_utils._drain.node import Node
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube.api import Api
from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault

TRIES = 20
#: More than a request takes, and than clocks differ.
_MARGIN_S = 60.0


@dataclass(frozen=True)
class Request:
    """Who wants which node, why, and the ids of the host that it must be (empty: not asked)."""

    name: str
    holder: Holder
    reason: str = ""
    until: float = 0  # when a run on another machine may take what this one left
    boot_id: str = ""
    machine_id: str = ""
    same_gpus: bool = True  # whether the node shall offer afterwards what it offers now
    hold_s: float = 0  # how long it may have the node, once its turn has come; 0: until is final

    def from_now(self) -> Request:
        """Return it with the time that begins now: until then it has waited for its turn, which may take hours."""
        return replace(self, until=time.time() + self.hold_s) if self.hold_s else self


@dataclass(frozen=True)
class Claim:
    """A node that was taken. ``resumed``: an earlier run of ours had it already."""

    node: Node
    mark: Mark
    resumed: bool


def read(api: Api, name: str) -> Node:
    found: Node | None = api.get_or_none(f"/api/v1/nodes/{name}")
    if found is None:
        raise GpuError(
            f"the node {name}",
            "the cluster has no node of this name",
            f"API server {api.server}",
            "give the node's name (driver_node_name), or do not drain a host outside the cluster (driver_drain: never)",
        )
    return found


def require_ours_to_take(api: Api, node: Node, request: Request, rebooted: bool = False) -> None:
    """Refuse a node that is another host's, or in whose hands somebody else is."""
    where = f"node {request.name} of API server {api.server}"
    other = _another_host(node, request, rebooted)
    if other:
        wanted = f"the node of the host with boot id {request.boot_id} and machine id {request.machine_id}"
        raise GpuError(wanted, other, where, "correct driver_node_name or driver_kubeconfig; this node was left alone")
    tool = others.at_work(node)
    if tool:
        step = "wait until it is done, or end its work there, then run again; its cordon is not touched"
        raise GpuError(f"the node {request.name} for this run alone", f"{tool} is at work on it", where, step)
    mark = drain_mark.of(node)
    if mark and mark.holder != request.holder and drain_holder.lives(mark.holder, mark.until, time.time()):
        raise GpuError(
            f"the node {request.name} for this run alone",
            f"{mark.holder} has it ({mark.reason})",
            f"{where}, annotation {drain_mark.ANNOTATION}",
            f"wait for that run; if it is dead, take the annotation away, or run again after {_clock(mark.until)}",
        )


def _another_host(node: Node, request: Request, rebooted: bool) -> str | None:
    if not request.boot_id and not request.machine_id:
        return None
    return drain_node.another_host(node, request.boot_id, request.machine_id, rebooted)


def _clock(when: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(when))


def resumable(node: Node) -> bool:
    """Tell a node that an earlier run of ours left as it took it: it is away already."""
    mark = drain_mark.of(node)
    return mark is not None and (drain_mark.cordon_is_ours(node) or (mark.was_cordoned and drain_node.cordoned(node)))


def take(api: Api, request: Request, only_resume: bool = False) -> Claim | None:
    """Cordon the node and note what it was; a node that somebody else cordoned is only noted.

    ``only_resume``: None for a node that is not, or no longer, left by an earlier run.
    """
    for _try in range(TRIES):
        _require_time(request)
        node = read(api, request.name)
        require_ours_to_take(api, node, request)
        if only_resume and not resumable(node):
            return None
        mark, resumed = _new_mark(node, request)
        body = body_of(node, {"annotations": {drain_mark.ANNOTATION: mark.text()}})
        if not drain_node.cordoned(node):
            body["spec"] = {"unschedulable": True}
        after = write(api, request.name, body)
        if after is not None:
            return Claim(after, mark, resumed)
    raise contended(api, request.name)


def _require_time(request: Request) -> None:
    """Keep to the time that other machines were told: after it they take this run for dead."""
    if time.time() > request.until - _MARGIN_S:
        raise GpuError(
            f"the node {request.name} before {_clock(request.until)}",
            "this run was held up until its time was over",
            "this machine's clock",
            "run again",
        )


def _new_mark(node: Node, request: Request) -> tuple[Mark, bool]:
    """Return the mark, and whether an earlier run of ours had taken the node.

    Where such a run was killed and an administrator uncordoned or cordoned the node since, only what it took from the
    operands is still to be given back.
    """
    now = time.time()
    fresh = Mark(
        request.holder,
        request.reason,
        now,
        request.until,
        was_cordoned=drain_node.cordoned(node),
        gpus=drain_node.gpus(node) if request.same_gpus else {},
    )
    before = drain_mark.of(node)
    if before is None:
        return fresh, False
    if resumable(node):
        return before.taken_over(fresh), True
    return replace(fresh, gpus={**fresh.gpus, **before.gpus}, paused=before.paused, operands=before.operands), False


def give_back(api: Api, name: str, failed: str | None = None, proven: bool = False) -> bool:
    """Take the mark away with all that it speaks of; return whether the node takes pods now.

    The cordon goes only if it is the one that the mark speaks of, and the taint of a new node only where it is ``proven``.
    ``failed``: why the change failed, for the rollout to see.
    """
    for _try in range(TRIES):
        node = read(api, name)
        mark = drain_mark.of(node)
        labels = operands.to_resume(drain_node.labels_of(node), mark.paused if mark else {})
        body = body_of(node, {"labels": labels, "annotations": {drain_mark.ANNOTATION: None, FAILED: failed}})
        body["spec"] = {
            **({"unschedulable": None} if drain_mark.cordon_is_ours(node) else {}),
            **({"taints": gate.without(node)} if proven and gate.tainted(node) else {}),
        }
        after = write(api, name, body)
        if after is not None:
            return not drain_node.cordoned(after)
    raise contended(api, name)


def note_failure(api: Api, name: str, failed: str | None) -> None:
    """Say on the node that a change of it failed, or (None) that this is over."""
    api.merge_patch(f"/api/v1/nodes/{name}", {"metadata": {"annotations": {FAILED: failed}}})


def body_of(node: Node, metadata: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": node["metadata"]["resourceVersion"], **metadata}}


def write(api: Api, name: str, body: dict[str, Any]) -> Node | None:
    """Return the node as written; None where it changed since it was read."""
    try:
        written: Node = api.merge_patch(f"/api/v1/nodes/{name}", body)
    except ApiFault as fault:
        if fault.status == 409:
            return None
        raise
    return written


def contended(api: Api, name: str) -> GpuError:
    return GpuError(
        f"to change the node {name}",
        f"it changed under each of {TRIES} tries",
        f"API server {api.server}",
        "find out who writes it all the time, then run again",
    )
