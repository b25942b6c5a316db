# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""(state, wish) → ordered steps, each with its reason and what it disturbs. Pure.

Private: subject to change without notice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils import _operator_objects as objects
from ansible_collections.t9k.gpu.plugins.module_utils import _operator_readiness as readiness
from ansible_collections.t9k.gpu.plugins.module_utils import _operator_values as values
from ansible_collections.t9k.gpu.plugins.module_utils import _sharing_map
from ansible_collections.t9k.gpu.plugins.module_utils._operator_state import (
    CRD_COUNT,
    CRD_VERSION,
    INVENTORY,
    MANAGED_BY,
    RECORD,
    ClusterState,
    annotations,
    labels,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator_wish import SHARING_NAME, Wish
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import CONFIG_LABEL, MIG_LABEL

NOTHING = "nothing"
PLUGIN_PODS = "GPU device plugin pods; running GPU pods keep their GPUs"
OPERAND_PODS = "the operator's own pods on GPU nodes; running GPU pods keep their GPUs"
Object = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One thing to do. ``how`` names the role's task file that does it."""

    name: str
    how: str
    reason: str
    disturbs: str = NOTHING
    apply: tuple[Object, ...] = ()
    patch: tuple[Object, ...] = ()
    delete: tuple[Object, ...] = ()
    nodes: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    before: Any = None
    after: Any = None

    def to_dict(self) -> Object:
        return asdict(self)


def configmap(wish: Wish, name: str, key: str, content: Mapping[str, Any]) -> Object:
    """One of our ConfigMaps with JSON in it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": wish.namespace, "labels": dict(MANAGED_BY)},
        "data": {key: json.dumps(content, sort_keys=True)},
    }


def ref(wish: Wish, api_version: str, kind: str, name: str) -> Object:
    return {"apiVersion": api_version, "kind": kind, "namespace": wish.namespace, "name": name}


# ---- labels, and the record of which of them are ours


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


# ---- objects beside the chart


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


def _objects(state: ClusterState, wish: Wish) -> Iterable[Step]:
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


# ---- chart


def crds_outdated(state: ClusterState, wish: Wish) -> str:
    """Why the CRDs must be applied; "" if they are the chart's."""
    found = {name: annotations(crd).get(CRD_VERSION) for name, crd in state.crds.items()}
    mine = {name: version for name, version in found.items() if version == crd_version(wish)}
    policy = "clusterpolicies.nvidia.com"
    if policy not in state.crds:
        return f"{policy} is missing"
    if policy not in mine:
        return f"{policy} is of {found[policy] or 'an unknown version'}; old CRDs drop new fields silently"
    count = int(annotations(state.crds[policy]).get(CRD_COUNT, "1"))
    return f"{len(mine)} of {count} CRDs are applied" if len(mine) < count else ""


def crd_version(wish: Wish) -> str:
    return f"{values.plain(wish.version)}{'-' + wish.digest if wish.digest else ''}"


def release_reason(state: ClusterState, wish: Wish) -> str:
    """Why helm must run; "" if the release is as wished."""
    release = state.release
    if release is None:
        return "not installed"
    if release.status != "deployed":
        return f"revision {release.revision} is {release.status}"
    if values.plain(release.chart_version) != values.plain(wish.version):
        return f"chart {release.chart_version} → {wish.version}"
    if wish.digest and wish.digest not in release.description:
        return "the local chart changed"
    if release.values != wish.values:
        patch = objects.missing_from(wish.values, release.values) or {"(removed)": 0}
        return "values differ: " + ", ".join(sorted(objects.paths_in(patch)))
    return ""


def inventory_wanted(wish: Wish) -> Object:
    """What the inventory says of a finished render of this wish."""
    return {"version": values.plain(wish.version), "digest": wish.digest, "values": dict(wish.values)}


def manifests_reason(state: ClusterState, wish: Wish) -> str:
    """Why the chart must be rendered and applied; "" if it has been."""
    found = state.inventory
    if not found:
        return "not installed"
    if not found.get("complete"):
        return "the last apply broke off"
    wanted = inventory_wanted(wish)
    if found["version"] != wanted["version"]:
        return f"chart v{found['version']} → {wish.version}"
    if found["digest"] != wanted["digest"]:
        return "the local chart changed"
    if found["values"] != wanted["values"]:
        patch = objects.missing_from(wanted["values"], found["values"]) or {"(removed)": 0}
        return "values differ: " + ", ".join(sorted(objects.paths_in(patch)))
    return ""


def policy_drift(state: ClusterState, wish: Wish) -> Object:
    """The part of the rendered ClusterPolicy's spec that the live one lacks, as a merge patch."""
    rendered = state.release.policy if wish.mode == "helm" and state.release else state.inventory.get("policy")
    if not rendered or state.policy is None:
        return {}
    live = state.policy.get("spec") or {}
    return objects.missing_from(rendered.get("spec") or {}, live) or {}


def _chart(state: ClusterState, wish: Wish) -> Iterable[Step]:
    outdated = crds_outdated(state, wish)
    helm = wish.mode == "helm"
    reason = release_reason(state, wish) if helm else manifests_reason(state, wish)
    if outdated or reason:
        yield Step("chart", "chart", f"{wish.chart} {wish.version} is needed")
    if outdated:
        yield Step("crds", "crds", outdated)
    if reason:
        before = state.release.values if state.release and helm else state.inventory.get("values")
        disturbs = OPERAND_PODS if before is not None else NOTHING
        yield Step(
            "release" if helm else "manifests",
            "release" if helm else "manifests",
            reason,
            disturbs,
            before={"version": state.release.chart_version if state.release else None, "values": before},
            after={"version": wish.version, "values": dict(wish.values)},
        )
    else:
        yield from _drift(state, wish)


def _drift(state: ClusterState, wish: Wish) -> Iterable[Step]:
    drift = policy_drift(state, wish)
    if not drift or state.policy is None:
        return
    reason = "ClusterPolicy changed by another hand: " + ", ".join(sorted(objects.paths_in(drift)))
    name = state.policy["metadata"]["name"]
    definition = {"apiVersion": "nvidia.com/v1", "kind": "ClusterPolicy", "metadata": {"name": name}, "spec": drift}
    yield Step("policy", "objects", reason, OPERAND_PODS, patch=(definition,), after=drift)


# ---- sharing


def _sharing(state: ClusterState, wish: Wish) -> Iterable[Step]:
    """The plugin reads its configs only when it starts; the module that writes them restarts it."""
    present = state.configmaps.get(SHARING_NAME)
    if not wish.sharing or not _sharing_map.stale(present, wish.sharing):
        return
    before = (present or {}).get("data") or {}
    after = _sharing_map.data(wish.sharing, before)
    reason = "no sharing configs yet" if present is None else "changed: " + ", ".join(_changed(before, after))
    yield Step("sharing", "sharing", reason, PLUGIN_PODS if present else NOTHING, before=before, after=after)


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return names or ["nothing, but its restart is still due"]


def _sharing_gone(state: ClusterState, wish: Wish) -> Iterable[Step]:
    found = state.configmaps.get(SHARING_NAME)
    if found and not wish.sharing and labels(found).items() >= MANAGED_BY.items():
        yield Step("sharing_remove", "sharing_remove", "no sharing configs are wanted", PLUGIN_PODS)


def _labels(state: ClusterState, wish: Wish) -> Iterable[Step]:
    changes = label_changes(state, wish)
    if changes:
        before = {n: {k: labels(state.nodes[n]).get(k) for k in found} for n, found in changes.items()}
        reason = f"labels of {len(changes)} nodes differ"
        yield Step("labels", "labels", reason, PLUGIN_PODS, nodes=changes, before=before, after=changes)


# ---- the two plans


def _records(state: ClusterState, wish: Wish) -> tuple[list[Step], list[Step]]:
    """What to remember before anything of ours changes, and what is left to remember afterwards."""
    reason = "remember which labels and objects are set here"
    first, last = record_of(state, wish, with_old=True), record_of(state, wish, with_old=False)

    def step(name: str, wanted: Object) -> Step:
        return Step(name, "objects", reason, apply=(configmap(wish, RECORD, "record", wanted),))

    return (
        [step("record", first)] if first != state.record else [],
        [step("record_final", last)] if last != first else [],
    )


def install_steps(state: ClusterState, wish: Wish) -> Iterable[Step]:
    if state.namespace is None:
        # The operator's pods need rights that the stricter levels of pod security refuse.
        level = {"pod-security.kubernetes.io/enforce": "privileged"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": wish.namespace, "labels": level}}
        yield Step("namespace", "objects", "missing", apply=(namespace,))
    remember, forget = _records(state, wish)
    yield from remember
    absent = [name for name in wish.pull_secrets if name not in state.pull_secrets]
    if absent:
        yield Step("pull_secrets", "pull_secrets", "missing: " + ", ".join(absent))
    sharing, labelled = list(_sharing(state, wish)), list(_labels(state, wish))
    known = set(state.configmaps.get(SHARING_NAME, {}).get("data") or {})
    asked = {found.get(CONFIG_LABEL) for step in labelled for found in step.nodes.values()} - {None}
    # A label must never name a config that is not there (any more).
    yield from (labelled if asked <= known else [])
    yield from sharing
    yield from _chart(state, wish)
    yield from ([] if asked <= known else labelled)
    yield from _sharing_gone(state, wish)
    yield from _objects(state, wish)
    yield from forget


def remove_steps(state: ClusterState, wish: Wish) -> Iterable[Step]:
    yield from _labels(state, wish)
    record = state.record
    if record.get("objects"):
        gone = tuple(record["objects"])
        yield Step("objects_remove", "objects", "set here: " + ", ".join(o["kind"] for o in gone), delete=gone)
    if state.release is not None:
        yield Step("release_remove", "release_remove", f"release {wish.release}", "all GPU nodes: no GPUs for new pods")
    if state.inventory:
        yield Step("manifests_remove", "manifests_remove", "applied here", "all GPU nodes: no GPUs for new pods")
    ours = [
        n for n, found in state.configmaps.items() if labels(found).items() >= MANAGED_BY.items() and n != INVENTORY
    ]
    gone = [ref(wish, "v1", "ConfigMap", name) for name in sorted(ours)]
    gone += [ref(wish, "v1", "Secret", name) for name in sorted(state.pull_secrets)]
    if gone:
        yield Step("leftovers", "objects", ", ".join(o["name"] for o in gone), delete=tuple(gone))
    crds = sorted(name for name, crd in state.crds.items() if CRD_VERSION in annotations(crd))
    if wish.crds_remove and crds:
        kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "namespace": ""}
        gone = [{**kind, "name": name} for name in crds]
        yield Step("crds_remove", "objects", "asked for", "every object of these kinds", delete=tuple(gone))


def plan(state: ClusterState, wish: Wish) -> tuple[Step, ...]:
    """The steps from ``state`` to ``wish``; () if nothing is to be done."""
    return tuple(install_steps(state, wish) if wish.present else remove_steps(state, wish))


def waiting(state: ClusterState, wish: Wish) -> tuple[readiness.Waiting, ...]:
    """What is not ready, or not gone, yet."""
    if wish.present:
        return readiness.waiting(state, wish.expect)
    return readiness.remaining(state)
