# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Send the GPU Operator's operands off a node and bring them back: the requests behind operands.py."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.t9k.gpu.plugins.module_utils._drain import claim, evict, operands
from ansible_collections.t9k.gpu.plugins.module_utils._drain import mark as drain_mark
from ansible_collections.t9k.gpu.plugins.module_utils._drain import node as drain_node
from ansible_collections.t9k.gpu.plugins.module_utils._drain.deadline import Deadline
from ansible_collections.t9k.gpu.plugins.module_utils._drain.pods import OPERAND, Verdict
from ansible_collections.t9k.gpu.plugins.module_utils._drain.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube.api import Api


def send_away(api: Api, name: str, wanted: Wanted, deadline: Deadline) -> list[Verdict]:
    """They hold the GPUs for the pods, so they go last."""
    here = [pod for pod in evict.pods_on(api, name) if operands.is_operand(pod)]
    present = tuple(sorted({operands.daemonset_of(pod) for pod in here}))
    went = [verdict for verdict in evict.look(api, name, wanted) if verdict.fate == OPERAND]
    for change in operands.to_pause(drain_node.labels_of(claim.read(api, name))):
        _pause(api, name, change, present)
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


def _pause(api: Api, name: str, change: dict[str, str], present: tuple[str, ...]) -> None:
    """Send operands away by their labels, and note what the labels were and which operands were ``present``."""
    for _try in range(claim.TRIES):
        node = claim.read(api, name)
        mark = drain_mark.of(node)
        if mark is None:
            raise GpuError(
                f"the mark of this run on node {name}",
                "somebody took it away meanwhile",
                f"annotation {drain_mark.ANNOTATION}",
                "find out who works on this node, then run again",
            )
        former = {key: drain_node.labels_of(node).get(key, "") for key in change}
        mark = replace(mark, paused={**former, **mark.paused}, operands=tuple(sorted({*mark.operands, *present})))
        patch = {"labels": change, "annotations": {drain_mark.ANNOTATION: mark.text()}}
        if claim.write(api, name, claim.body_of(node, patch)) is not None:
            return
    raise claim.contended(api, name)


def bring_back(api: Api, name: str) -> None:
    """Let the operands come back; the mark stays until they are there."""
    for _try in range(claim.TRIES):
        node = claim.read(api, name)
        mark = drain_mark.of(node)
        labels = operands.to_resume(drain_node.labels_of(node), mark.paused if mark else {})
        if not labels or claim.write(api, name, claim.body_of(node, {"labels": labels})) is not None:
            return
    raise claim.contended(api, name)


def not_back(api: Api, name: str, mark: drain_mark.Mark) -> list[str]:
    """Name the operands that were here and are not ready yet; one that was uninstalled meanwhile is not missed."""
    pods = [pod for pod in evict.pods_on(api, name) if operands.is_operand(pod)]
    back = {operands.daemonset_of(pod) for pod in pods if drain_node.ready(pod)}
    away = [key for key in mark.operands if key not in back and not evict.is_missing(api, key)]
    return [f"the operand {key} has no ready pod there" for key in away]
