# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan what the role owns beside the chart: node labels, further objects, and the record of both."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._drain.partition import left_by_us
from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import labels
from ansible_collections.t9k.gpu.plugins.module_utils._operator import objects, values
from ansible_collections.t9k.gpu.plugins.module_utils._operator.disturbance import of_labels, of_partitions
from ansible_collections.t9k.gpu.plugins.module_utils._operator.left_out import out_of_order
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import RECORD, ClusterState
from ansible_collections.t9k.gpu.plugins.module_utils._operator.step import Object, configmap, writes
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.documents import MIG_LABEL, MIG_STATE_LABEL
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step


def label_changes(state: ClusterState, wanted: Wanted) -> dict[str, dict[str, str | None]]:
    """Return node → label → value for what differs. A label that we set and nobody wants any more goes."""
    ours = state.record.get("labels") or {}
    changes: dict[str, dict[str, str | None]] = {}
    for node in _scope(state, wanted):
        asked: dict[str, str | None] = {key: _left(key) for key in ours.get(node) or {}}
        if wanted.present:
            asked.update(wanted.labels.get(node) or {})
        found = labels(state.nodes[node])
        differs = {key: value for key, value in asked.items() if found.get(key) != value}
        if MIG_LABEL in differs and MIG_STATE_LABEL in found:
            # In the same patch: the manager sets "pending" only after a while, and "success" of before would be taken for its answer.
            differs[MIG_STATE_LABEL] = None
        if differs:
            changes[node] = differs
    return changes


def _scope(state: ClusterState, wanted: Wanted) -> list[str]:
    """Return the nodes that are this run's matter."""
    asked = {*wanted.scope, *wanted.labels} if wanted.present else set(state.record.get("labels") or {})
    return sorted(asked & set(state.nodes))


def _left(label: str) -> str | None:
    """Return what a label becomes when nobody wants it: partitions stay until they are switched off."""
    return "all-disabled" if label == MIG_LABEL else None


def record_of(state: ClusterState, wanted: Wanted, with_old: bool) -> Object:
    """Return what is ours. ``with_old``: also what is about to go, so that a run that breaks off forgets nothing."""
    before = state.record
    scope = {*wanted.scope, *wanted.labels}
    old = before.get("labels") or {}
    kept = {node: found for node, found in old.items() if with_old or node not in scope}
    ours = {node: {k: v for k, v in found.items() if v is not None} for node, found in wanted.labels.items()}
    refs = {objects.ref_of(item) for item in usable_objects(state, wanted)[0]}
    if with_old:
        refs |= {objects.ref_of(item) for item in before.get("objects") or []}
    merged = values.merge(kept, {node: found for node, found in ours.items() if found})
    return {"labels": merged, "objects": [each.to_dict() for each in sorted(refs)]}


def records(state: ClusterState, wanted: Wanted) -> tuple[list[Step], list[Step]]:
    """Plan what to remember before anything of ours changes, and what is left to remember afterwards."""
    reason = "remember which labels and objects are set here"
    first, last = record_of(state, wanted, with_old=True), record_of(state, wanted, with_old=False)
    before, after = configmap(wanted, RECORD, "record", first), configmap(wanted, RECORD, "record", last)
    return (
        [writes("record", reason, apply=[before])] if first != state.record else [],
        [writes("record_final", reason, apply=[after])] if last != first else [],
    )


def mig_changes(state: ClusterState, wanted: Wanted) -> dict[str, dict[str, str | None]]:
    """Return node → labels for those whose GPUs are partitioned anew, and for those that a broken-off change has left (nothing to
    set, perhaps). Not nodes on which no pod ends and no MIG manager works: they get their labels, and what follows when they are back.
    """
    changes = {node: _mig_part(found) for node, found in label_changes(state, wanted).items() if MIG_LABEL in found}
    left: dict[str, dict[str, str | None]] = {n: {} for n in _scope(state, wanted) if left_by_us(state.nodes[n])}
    return {node: each for node, each in {**left, **changes}.items() if not out_of_order(state.nodes[node])}


def _mig_part(found: dict[str, str | None]) -> dict[str, str | None]:
    return {key: value for key, value in found.items() if key in (MIG_LABEL, MIG_STATE_LABEL)}


def partition_steps(state: ClusterState, wanted: Wanted) -> Iterable[Step]:
    """Plan the partitions of nodes whose GPUs pods hold: they are emptied first. Those of idle nodes are labels like others."""
    changes = _with_drain(state, wanted)
    if changes:
        before = _present(state, changes)
        reason = f"GPUs of {len(changes)} nodes are to be partitioned anew"
        felt = of_partitions(state, changes)
        yield Step(
            "partition", reason, felt.sentence, {"nodes": changes, "before": before, "after": changes, **felt.data}
        )


def _with_drain(state: ClusterState, wanted: Wanted) -> dict[str, dict[str, str | None]]:
    found = mig_changes(state, wanted)
    return {node: each for node, each in found.items() if state.holders.get(node) or left_by_us(state.nodes[node])}


def _present(state: ClusterState, changes: Mapping[str, Iterable[str]]) -> dict[str, dict[str, str | None]]:
    return {node: {key: labels(state.nodes[node]).get(key) for key in found} for node, found in changes.items()}


def label_steps(state: ClusterState, wanted: Wanted) -> Iterable[Step]:
    """Plan the nodes' labels, but for those that need an empty node."""
    drained = _with_drain(state, wanted)
    changes = {}
    for node, found in label_changes(state, wanted).items():
        rest = {key: value for key, value in found.items() if key not in drained.get(node, {})}
        if rest:
            changes[node] = rest
    if changes:
        reason = f"labels of {len(changes)} nodes differ"
        felt = of_labels(state, wanted, changes)
        data = {"nodes": changes, "before": _present(state, changes), "after": changes, **felt.data}
        yield Step("labels", reason, felt.sentence, data)


def usable_objects(state: ClusterState, wanted: Wanted) -> tuple[list[Object], list[str]]:
    """Return the objects whose CRD and namespace are there, and why the others are skipped."""
    usable, skipped = [], []
    made_here = {item["metadata"]["name"] for item in wanted.objects if item["kind"] == "Namespace"}
    for item in wanted.objects:
        address = wanted.ref(item)
        if address.crd is not None and address.crd not in state.crds:
            skipped.append(f"{address}: skipped, the cluster has no CRD {address.crd}")
        elif address.namespace in state.namespaces_missing - made_here:
            skipped.append(f"{address}: skipped, the cluster has no namespace {address.namespace}")
        else:
            where = {"namespace": address.namespace} if address.namespace else {}
            usable.append({**item, "metadata": {**item["metadata"], **where}})
    return usable, skipped


def differing(state: ClusterState, wanted: Wanted) -> list[tuple[objects.Ref, Object, Any]]:
    """Return the further objects that are not as wanted, each with what it lacks."""
    found = []
    for item in usable_objects(state, wanted)[0]:
        address = objects.ref_of(item)
        lacks = objects.missing_from(item, state.objects.get(address.path) or {})
        if _without_address(lacks) and address.path not in state.settled:
            found.append((address, item, lacks))
    return found


def to_ask(state: ClusterState, wanted: Wanted) -> list[tuple[str, Object, Object]]:
    """Return path, wish and present state of what seems to differ: what the API server fills in, converts or packs (a Secret's
    ``stringData``, ``cpu: 0.5``) only it can compare. Nothing of a finished cluster, most often."""
    found = []
    for address, item, _lacks in differing(state, wanted) if wanted.present else ():
        present = state.objects.get(address.path)
        if present:
            found.append((address.path, item, present))
    return found


def object_steps(state: ClusterState, wanted: Wanted) -> Iterable[Step]:
    """Plan the further objects: those that differ, and those that nobody wants any more."""
    usable = usable_objects(state, wanted)[0]
    missing = {str(address): (item, lacks) for address, item, lacks in differing(state, wanted)}
    keep = {objects.ref_of(item) for item in usable}
    gone = [each for each in (objects.ref_of(o) for o in state.record.get("objects") or []) if each not in keep]
    if missing:
        after = {name: _shown(item, lacks) for name, (item, lacks) in missing.items()}
        reason = "not as wanted: " + ", ".join(missing)
        yield writes("objects", reason, apply=[objects.shown(item) for item, _lacks in missing.values()], after=after)
    if gone:
        reason = "no longer wanted: " + ", ".join(map(str, gone))
        yield writes("objects_remove", reason, delete=[each.to_dict() for each in gone])


def _shown(item: Object, lacks: Any) -> Any:
    """Hide a Secret's content: what differs goes into a diff that everybody may read."""
    return sorted(objects.paths_in(lacks)) if item["kind"] == "Secret" else lacks


def _without_address(lacks: Any) -> Any:
    """Leave apiVersion and kind out: objects from lists lack them, and that is no difference."""
    return {key: part for key, part in (lacks or {}).items() if key not in ("apiVersion", "kind")}
