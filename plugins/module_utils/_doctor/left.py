# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find what rollouts, and others, left behind in the cluster: cordons, claims, labels, taints, a pause. Pure.

The labels are those of the operator's upgrade controller and of its driver manager (sources in _drain/others.py and _drain/operands.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Callable, Tuple

from ansible_collections.t9k.gpu.plugins.module_utils._doctor.cluster import Cluster
from ansible_collections.t9k.gpu.plugins.module_utils._drain import budget, gate, operands, others, rollout
from ansible_collections.t9k.gpu.plugins.module_utils._drain import mark as drain_mark
from ansible_collections.t9k.gpu.plugins.module_utils._drain import node as drain_node
from ansible_collections.t9k.gpu.plugins.module_utils._drain.holder import Holder
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import ERROR, WARNING, Fault

#: The node that a finding is about, empty for the cluster, and the finding.
Finding = Tuple[str, Fault]
#: Whether a run may still be at work, asked by who it is and until when it may hold a node.
Lives = Callable[[Holder, float], bool]


def of_node(node: drain_node.Node, lives: Lives) -> Iterator[Fault]:
    """Yield what is left on one node."""
    yield from _cordon(node, lives)
    yield from _failed(node)
    yield from _labels(node)
    if not drain_node.ready(node):
        yield Fault("node_not_ready", ERROR, "its kubelet does not report Ready", "see the kubelet's log on the node")
    if gate.tainted(node):
        remedy = "run the playbook driver.yml with driver_gate, which proves the node and takes the taint away"
        yield Fault("node_unproven", WARNING, f"no pod gets in: the taint {gate.TAINT}", remedy)


def _cordon(node: drain_node.Node, lives: Lives) -> Iterator[Fault]:
    mark = drain_mark.of(node)
    if mark and not lives(mark.holder, mark.until):
        found = f"{mark.holder} took it ({mark.reason}) and is gone"
        yield Fault("stale_cordon", WARNING, found, "run the playbook driver.yml, which goes on and gives it back")
    elif mark is None and drain_node.cordoned(node):
        found = f"it is cordoned by {others.at_work(node) or others.cordoned_by(node)}, and not for a change of ours"
        yield Fault("foreign_cordon", WARNING, found, "uncordon it, if nobody needs it out of service any more")


def _failed(node: drain_node.Node) -> Iterator[Fault]:
    text = drain_node.annotations_of(node).get(budget.FAILED)
    if text is None:
        return
    try:
        why = str(json.loads(text)["reason"])
    except (ValueError, TypeError, KeyError):
        why = text
    remedy = "mend it and run the playbook driver.yml, which takes the note away"
    yield Fault("change_failed", WARNING, f"the last change of its driver failed: {why}", remedy)


def _labels(node: drain_node.Node) -> Iterator[Fault]:
    labels, mark = drain_node.labels_of(node), drain_mark.of(node)
    paused = sorted(
        key for key, value in labels.items() if key.startswith(operands.DEPLOY) and operands.PAUSED in value
    )
    if paused and mark is None and others.at_work(node) is None:
        found = f"{', '.join(paused)} are paused, and nobody is at work who would resume them: these operands stay away"
        yield Fault("operands_paused", ERROR, found, "set these labels to true")
    if labels.get(others.UPGRADE_STATE) == "upgrade-failed":
        found = f"the operator's upgrade controller gave up on it ({others.UPGRADE_STATE}=upgrade-failed)"
        yield Fault("upgrade_failed", WARNING, found, "mend the node's driver, then take the label away")


def of_ledger(cluster: Cluster, lives: Lives) -> Iterator[Finding]:
    """Yield what is left in the rollout's ledger."""
    away = {node["metadata"]["name"] for node in cluster.nodes if budget.away(node)}
    for name, entry in sorted(budget.entries(cluster.ledger).items()):
        if name not in away and not lives(entry.holder, entry.until):
            found = f"the ledger promises it to {entry.holder}, who is gone"
            yield name, Fault("stale_claim", WARNING, found, "nothing: the next run that needs the room strikes it out")
    annotations = ((cluster.ledger or {}).get("metadata") or {}).get("annotations") or {}
    if budget.PAUSE in annotations:
        found = f"no run takes a further node: {annotations[budget.PAUSE] or 'no reason is given'}"
        remedy = f"to go on, take the annotation {budget.PAUSE} off the ConfigMap {rollout.NAME}"
        yield "", Fault("rollout_paused", WARNING, found, remedy)
