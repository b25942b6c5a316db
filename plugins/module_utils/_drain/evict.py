# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Empty a node: look at every pod, then evict, then wait until the last one is really gone.

What the Eviction API answers and what that means is in kubernetes/kubernetes, pkg/registry/core/pod/storage/eviction.go: 429
with a cause DisruptionBudget for a budget that does not allow it now, 500 for a pod with more than one budget, 403 with
a cause NamespaceTerminating, 404 and 409 for a pod that is gone or another one by now.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._drain import pods as drain_pods
from ansible_collections.t9k.gpu.plugins.module_utils._drain.deadline import Deadline
from ansible_collections.t9k.gpu.plugins.module_utils._drain.pods import BLOCKED, FINISHES, GOES, Verdict
from ansible_collections.t9k.gpu.plugins.module_utils._drain.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube.api import Api
from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault

#: As kubectl does.
ASK_AGAIN_S = 5.0
_BUDGET = re.compile(r"disruption budget (\S+)")


def pods_on(api: Api, node: str, selector: str = "") -> list[dict[str, Any]]:
    query = {"fieldSelector": f"spec.nodeName={node}", **({"labelSelector": selector} if selector else {})}
    return api.list("/api/v1/pods", query)


def look(
    api: Api, node: str, wanted: Wanted, jobs: str = "", known: dict[str, bool] | None = None
) -> tuple[Verdict, ...]:
    """Judge every pod of the node.

    ``jobs``   the label selector of those that may finish
    ``known``  DaemonSets that were looked for already, and whether they are missing
    """
    found = pods_on(api, node)
    finishing = {pod["metadata"].get("uid") for pod in pods_on(api, node, jobs)} if jobs else set()
    known = {} if known is None else known
    known.update({key: is_missing(api, key) for key in _daemonsets(found) - known.keys()})
    missing = {key for key, is_missing in known.items() if is_missing}
    verdicts = (drain_pods.decide(pod, wanted, missing, finishing) for pod in found)
    return tuple(sorted(verdicts, key=str))


def _daemonsets(found: list[dict[str, Any]]) -> set[str]:
    owners = ((pod["metadata"].get("namespace"), drain_pods.controller_of(pod)) for pod in found)
    return {f"{namespace}/{owner['name']}" for namespace, owner in owners if owner and owner["kind"] == "DaemonSet"}


def is_missing(api: Api, key: str) -> bool:
    namespace, name = key.split("/")
    return api.get_or_none(f"/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}") is None


def require_evictable(api: Api, node: str, verdicts: Sequence[Verdict]) -> None:
    """Refuse before the first eviction, with every pod that cannot go.

    The API server itself is asked, by evictions that are not carried out: it knows webhooks, permissions and budgets.
    """
    stubborn = [f"{v} ({v.owner}): {v.reason}" for v in verdicts if v.fate == BLOCKED]
    for verdict in verdicts:
        refusal = _refusal(api, verdict) if verdict.fate == GOES and not verdict.leaving else None
        if refusal:
            stubborn.append(f"{verdict} ({verdict.owner}): {refusal}")
    if stubborn:
        raise GpuError(
            f"to empty the node {node}",
            f"{len(stubborn)} pods that cannot be evicted: {'; '.join(stubborn)}",
            f"API server {api.server}; nothing was evicted",
            "move these pods, or allow what each of them needs, then run again",
        )


def _refusal(api: Api, verdict: Verdict) -> str | None:
    """Say why the pod can never be evicted; None if it can, now or later."""
    try:
        api.evict(verdict.namespace, verdict.name, _eviction(verdict), dry_run=True)
    except ApiFault as fault:
        if fault.status == 429:
            return _never(api, verdict, fault)
        return None if _gone(fault) or _namespace_goes(fault) else fault.found
    return None


def _never(api: Api, verdict: Verdict, fault: ApiFault) -> str | None:
    """Name a budget that allows no eviction at all, however long one waits."""
    for name in {match for _reason, message in fault.causes for match in _BUDGET.findall(message)}:
        path = f"/apis/policy/v1/namespaces/{verdict.namespace}/poddisruptionbudgets/{name}"
        budget = (api.get_or_none(path) or {}).get("spec") or {}
        if budget.get("maxUnavailable") in (0, "0%") or budget.get("minAvailable") == "100%":
            return f"its PodDisruptionBudget {name} allows no eviction, ever"
    return None


def _eviction(verdict: Verdict, grace_period: int = -1) -> dict[str, Any]:
    """Only this very pod: one of the same name may have come in its place."""
    options: dict[str, Any] = {"preconditions": {"uid": verdict.uid}}
    if grace_period >= 0:
        options["gracePeriodSeconds"] = grace_period
    metadata = {"name": verdict.name, "namespace": verdict.namespace}
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata, "deleteOptions": options}


def _gone(fault: ApiFault) -> bool:
    return fault.status in (404, 409)


def _namespace_goes(fault: ApiFault) -> bool:
    return fault.status == 403 and any(reason == "NamespaceTerminating" for reason, _message in fault.causes)


def wait_for_jobs(api: Api, node: str, wanted: Wanted, jobs: str, deadline: Deadline) -> None:
    """Wait until the pods that may finish have finished. They were promised to end by themselves, so the end of the wait
    is a failure, not their end."""
    while jobs:
        running = [v for v in look(api, node, wanted, jobs) if v.fate == FINISHES]
        if not running:
            return
        if deadline.passed:
            raise _late(api, node, f"the jobs with {jobs} to finish", running, {}, deadline)
        deadline.pause()


def empty(api: Api, node: str, wanted: Wanted, deadline: Deadline) -> list[Verdict]:
    """Evict what goes until nothing of it is left, newcomers included; return what went."""
    went: dict[str, Verdict] = {}
    asked: dict[str, float] = {}
    refusals: dict[str, str] = {}
    known: dict[str, bool] = {}
    while True:
        verdicts = look(api, node, wanted, known=known)
        going = [verdict for verdict in verdicts if verdict.fate == GOES]
        went.update({verdict.uid: verdict for verdict in going})
        if any(verdict.fate == BLOCKED for verdict in verdicts):
            require_evictable(api, node, verdicts)  # it came between the first look and the cordon
        if not going:
            return list(went.values())
        if deadline.passed:
            raise _late(api, node, "every pod to leave", going, refusals, deadline)
        for verdict in going:
            if not verdict.leaving and deadline.now() >= asked.get(verdict.uid, float("-inf")) + ASK_AGAIN_S:
                asked[verdict.uid] = deadline.now()
                refusals[verdict.uid] = _ask(api, verdict, wanted.grace_period)
        deadline.pause()


def _ask(api: Api, verdict: Verdict, grace_period: int) -> str:
    """Evict one pod; return why it was refused for now, or nothing."""
    try:
        api.evict(verdict.namespace, verdict.name, _eviction(verdict, grace_period))
    except ApiFault as fault:
        if _gone(fault):
            return ""
        if fault.status in (0, 429) or fault.status >= 500 or _namespace_goes(fault):
            return "; ".join(message for _reason, message in fault.causes) or fault.found
        raise
    return ""


def _late(
    api: Api, node: str, what: str, left: Sequence[Verdict], refusals: dict[str, str], deadline: Deadline
) -> GpuError:
    return GpuError(
        f"{what} on {node} within {deadline.seconds:.0f} s",
        f"{len(left)} left: {'; '.join(_still_there(verdict, refusals.get(verdict.uid, '')) for verdict in left)}",
        f"API server {api.server}",
        "see what keeps them, or give them more time, then run again",
    )


def _still_there(verdict: Verdict, refusal: str) -> str:
    """Say of one pod what a person needs to go on: owner, finalizers, budget."""
    words = [verdict.owner]
    if verdict.leaving:
        words.append("being deleted")
    if verdict.finalizers:
        words.append(f"held by finalizers {', '.join(verdict.finalizers)}")
    if refusal:
        words.append(refusal.rstrip("."))
    return f"{verdict} ({'; '.join(words)})"
