# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the role owns beside the chart: node labels, further objects, and the record of both.

Private: subject to change without notice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._operator import objects, values
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import RECORD, ClusterState, labels
from ansible_collections.t9k.gpu.plugins.module_utils._operator.step import PLUGIN_PODS, Object, Step, configmap
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wish
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.documents import MIG_LABEL


def label_changes(state: ClusterState, wish: Wish) -> dict[str, dict[str, str | None]]:
    """node → label → value for what differs. A label that we set and nobody wishes any more goes."""
    ours = state.record.get("labels") or {}
    changes: dict[str, dict[str, str | None]] = {}
    scope = {*wish.scope, *wish.labels} if wish.present else set(ours)
    for node in sorted(scope & set(state.nodes)):
        wanted: dict[str, str | None] = {key: _left(key) for key in ours.get(node) or {}}
        if wish.present:
            wanted.update(wish.labels.get(node) or {})
        found = labels(state.nodes[node])
        differs = {key: value for key, value in wanted.items() if found.get(key) != value}
        if differs:
            changes[node] = differs
    return changes


def _left(label: str) -> str | None:
    """What a label becomes when nobody wishes it: partitions stay until they are switched off."""
    return "all-disabled" if label == MIG_LABEL else None


def record_of(state: ClusterState, wish: Wish, with_old: bool) -> Object:
    """What is ours. ``with_old``: also what is about to go, so that a run that breaks off forgets nothing."""
    before = state.record
    scope = {*wish.scope, *wish.labels}
    old = before.get("labels") or {}
    kept = {node: found for node, found in old.items() if with_old or node not in scope}
    ours = {node: {k: v for k, v in found.items() if v is not None} for node, found in wish.labels.items()}
    refs = {objects.ref_of(item) for item in usable_objects(state, wish)[0]}
    if with_old:
        refs |= {objects.ref_of(item) for item in before.get("objects") or []}
    merged = values.merge(kept, {node: found for node, found in ours.items() if found})
    return {"labels": merged, "objects": [each.to_dict() for each in sorted(refs)]}


def records(state: ClusterState, wish: Wish) -> tuple[list[Step], list[Step]]:
    """What to remember before anything of ours changes, and what is left to remember afterwards."""
    reason = "remember which labels and objects are set here"
    first, last = record_of(state, wish, with_old=True), record_of(state, wish, with_old=False)

    def step(name: str, wanted: Object) -> Step:
        return Step(name, "objects", reason, apply=(configmap(wish, RECORD, "record", wanted),))

    return (
        [step("record", first)] if first != state.record else [],
        [step("record_final", last)] if last != first else [],
    )


def label_steps(state: ClusterState, wish: Wish) -> Iterable[Step]:
    changes = label_changes(state, wish)
    if changes:
        before = {n: {k: labels(state.nodes[n]).get(k) for k in found} for n, found in changes.items()}
        reason = f"labels of {len(changes)} nodes differ"
        yield Step("labels", "labels", reason, PLUGIN_PODS, nodes=changes, before=before, after=changes)


def usable_objects(state: ClusterState, wish: Wish) -> tuple[list[Object], list[str]]:
    """Those whose CRD is there, and why the others are skipped."""
    usable, skipped = [], []
    made_here = {item["metadata"]["name"] for item in wish.objects if item["kind"] == "Namespace"}
    for item in wish.objects:
        address = objects.ref_of(item, wish.namespace)
        if address.crd is not None and address.crd not in state.crds:
            skipped.append(f"{address}: skipped, the cluster has no CRD {address.crd}")
        elif address.namespace in state.namespaces_missing - made_here:
            skipped.append(f"{address}: skipped, the cluster has no namespace {address.namespace}")
        else:
            where = {"namespace": address.namespace} if address.namespace else {}
            usable.append({**item, "metadata": {**item["metadata"], **where}})
    return usable, skipped


def object_steps(state: ClusterState, wish: Wish) -> Iterable[Step]:
    usable = usable_objects(state, wish)[0]
    missing = {}
    for item in usable:
        address = objects.ref_of(item)
        lacks = objects.missing_from(item, state.objects.get(address.path) or {})
        if _without_address(lacks):
            missing[str(address)] = (item, lacks)
    keep = {objects.ref_of(item) for item in usable}
    gone = [each for each in (objects.ref_of(o) for o in state.record.get("objects") or []) if each not in keep]
    if missing:
        after = {name: lacks for name, (_item, lacks) in missing.items()}
        reason = "not as wanted: " + ", ".join(missing)
        yield Step("objects", "objects", reason, apply=tuple(i for i, _l in missing.values()), after=after)
    if gone:
        reason = "no longer wanted: " + ", ".join(map(str, gone))
        yield Step("objects_remove", "objects", reason, delete=tuple(each.to_dict() for each in gone))


def _without_address(lacks: Any) -> Any:
    """Objects from lists lack apiVersion and kind; that is no difference."""
    return {key: part for key, part in (lacks or {}).items() if key not in ("apiVersion", "kind")}
