# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep one budget of absent GPU nodes for everybody who changes them: the ledger in the cluster, under compare-and-set.

Who wants a node away enters it in one ConfigMap before the cordon and strikes it out after the uncordon. The entry is written only
onto the ledger as it was read, and the nodes are listed after that reading. So of two runs that see the same room one is refused and
counts again, and no clock or pause between the steps matters: the entries never outnumber the budget, and our cordons never
the entries. A run that was killed leaves an entry. It is void once its process is gone (or, from another machine, its time is
over) and its node is not away; while the node is away the node itself counts.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._drain import budget
from ansible_collections.t9k.gpu.plugins.module_utils._drain import holder as drain_holder
from ansible_collections.t9k.gpu.plugins.module_utils._drain import node as drain_node
from ansible_collections.t9k.gpu.plugins.module_utils._drain.budget import Count, Entry
from ansible_collections.t9k.gpu.plugins.module_utils._drain.claim import Request, resumable
from ansible_collections.t9k.gpu.plugins.module_utils._drain.deadline import Deadline
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube.api import Api
from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault

NAME = "t9k-gpu-rollout"
_TRIES = 1000
#: Every look lists all nodes, and many may be waiting.
_POLLS = 5


@dataclass(frozen=True)
class Rules:
    """What all runs keep together.

    ``max_unavailable``  a number or a share of the GPU nodes; empty: no budget is kept
    ``max_failures``     so many nodes may fail after ``since`` until nothing more is begun; 0: any number
    ``known``            nodes that have GPUs as far as the inventory knows
    """

    max_unavailable: str = ""
    max_failures: int = 0
    since: float = 0
    known: tuple[str, ...] = ()
    namespace: str = "t9k-gpu"

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/configmaps"


class NotBegun(GpuError):  # noqa: N818 - a reason, not this node's fault
    """The rollout did not come to this node, which is as it was."""


def reserve(api: Api, request: Request, rules: Rules, deadline: Deadline) -> tuple[Request, bool]:
    """Enter the node in the ledger as soon as the budget allows; nothing is done where no budget is kept.

    Returned is the request as it was entered, its time beginning then, and False for a node that an earlier run left away, where
    there is no room: going on with it takes no further one away, but it must not be taken anew.
    """
    while rules.max_unavailable:
        ledger = _ledger(api, rules)
        nodes = api.list("/api/v1/nodes", limit=drain_node.PAGE, each=drain_node.counted)
        _require_begun(nodes, request, rules)
        entries, gpu_nodes = budget.entries(ledger), budget.gpu_nodes(nodes, {*rules.known, request.name})
        _require_free(entries.get(request.name), request)
        tally = budget.count(gpu_nodes, entries, request.name, rules.max_unavailable, _lives)
        pause = (ledger["metadata"].get("annotations") or {}).get(budget.PAUSE)
        if pause is None and tally.room:
            begun = request.from_now()
            if _enter(api, begun, rules, ledger, tally):
                return begun, True
            continue  # somebody else was faster: count again, at once
        if any(node["metadata"]["name"] == request.name and resumable(node) for node in nodes):
            return request.from_now(), False
        if deadline.passed:
            raise _full(request, rules, tally, pause, deadline)
        deadline.pause(_POLLS)
    return request.from_now(), True


def _lives(entry: Entry) -> bool:
    return drain_holder.lives(entry.holder, entry.until, time.time())


def _require_begun(nodes: list[dict[str, Any]], request: Request, rules: Rules) -> None:
    failed = budget.failed_since(nodes, rules.since)
    failed.pop(request.name, None)
    if rules.max_failures and len(failed) >= rules.max_failures:
        raise NotBegun(
            f"to change {request.name}",
            f"the rollout stopped, since {', '.join(sorted(failed))} failed ({next(iter(failed.values()))})",
            f"annotation {budget.FAILED} of the nodes",
            "mend them and run again, which goes on with the nodes that are left, or allow more (driver_max_failures)",
        )


def _require_free(entry: Entry | None, request: Request) -> None:
    if entry and entry.holder != request.holder and _lives(entry):
        raise GpuError(
            f"the node {request.name} for this run alone",
            f"it is promised to {entry.holder}",
            f"ConfigMap {NAME}",
            "wait for that run, then run again",
        )


def _ledger(api: Api, rules: Rules) -> dict[str, Any]:
    """Read the ledger; make it, and its namespace, where it is not there yet."""
    found: dict[str, Any] | None = api.get_or_none(f"{rules.path}/{NAME}")
    if found is not None:
        return found
    if api.get_or_none(f"/api/v1/namespaces/{rules.namespace}") is None:
        _once(
            api, "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": rules.namespace}}
        )
    _once(api, rules.path, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": NAME}, "data": {}})
    made: dict[str, Any] = api.get(f"{rules.path}/{NAME}")
    return made


def _once(api: Api, path: str, body: dict[str, Any]) -> None:
    try:
        api.create(path, body)
    except ApiFault as fault:
        if fault.status != 409:
            raise


def _enter(api: Api, request: Request, rules: Rules, ledger: dict[str, Any], tally: Count) -> bool:
    data = {**dict.fromkeys(tally.stale), request.name: Entry(request.holder, request.until).text()}
    return _write(api, rules, ledger, data)


def _write(api: Api, rules: Rules, ledger: dict[str, Any], data: dict[str, str | None]) -> bool:
    body = {"metadata": {"resourceVersion": ledger["metadata"]["resourceVersion"]}, "data": data}
    try:
        api.merge_patch(f"{rules.path}/{NAME}", body)
    except ApiFault as fault:
        if fault.status == 409:
            return False
        raise
    return True


def release(api: Api, request: Request, rules: Rules) -> None:
    """Strike the node out, once it is back; an entry of another run stays."""
    for _try in range(_TRIES):
        ledger = api.get_or_none(f"{rules.path}/{NAME}") if rules.max_unavailable else None
        entry = budget.entries(ledger).get(request.name)
        if ledger is None or entry is None or (entry.holder != request.holder and _lives(entry)):
            return
        if _write(api, rules, ledger, {request.name: None}):
            return
        time.sleep(random.uniform(0.0, 0.05))


def _full(request: Request, rules: Rules, tally: Count, pause: str | None, deadline: Deadline) -> NotBegun:
    found = f"the rollout is paused ({pause})" if pause is not None else str(tally)
    step = "let those come back, or allow more (driver_max_unavailable), then run again"
    if pause is not None:
        step = f"kubectl -n {rules.namespace} annotate configmap {NAME} {budget.PAUSE}-, then run again"
    where = f"ConfigMap {NAME} in {rules.namespace}, and the nodes"
    return NotBegun(f"{request.name} away within {deadline.seconds:.0f} s", found, where, step)
