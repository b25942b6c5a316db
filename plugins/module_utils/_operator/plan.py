# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""(state, wish) → ordered steps, each with its reason and what it disturbs. Pure.

Private: subject to change without notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._operator import readiness
from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import Waiting
from ansible_collections.t9k.gpu.plugins.module_utils._operator.owned import label_steps, object_steps, records
from ansible_collections.t9k.gpu.plugins.module_utils._operator.release import chart_steps
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import (
    CRD_VERSION,
    INVENTORY,
    MANAGED_BY,
    ClusterState,
    labels,
    notes_on,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator.step import NOTHING, PLUGIN_PODS, Step, ref
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import SHARING_NAME, Wish
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import configmap as sharing_configmap
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.documents import CONFIG_LABEL


def _sharing(state: ClusterState, wish: Wish) -> Iterable[Step]:
    """The plugin reads its configs only when it starts; the module that writes them restarts it."""
    present = state.configmaps.get(SHARING_NAME)
    if not wish.sharing or not sharing_configmap.stale(present, wish.sharing):
        return
    before = (present or {}).get("data") or {}
    after = sharing_configmap.data(wish.sharing, before)
    reason = "no sharing configs yet" if present is None else "changed: " + ", ".join(_changed(before, after))
    yield Step("sharing", "sharing", reason, PLUGIN_PODS if present else NOTHING, before=before, after=after)


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return names or ["nothing, but its restart is still due"]


def _sharing_gone(state: ClusterState, wish: Wish) -> Iterable[Step]:
    found = state.configmaps.get(SHARING_NAME)
    if found and not wish.sharing and labels(found).items() >= MANAGED_BY.items():
        yield Step("sharing_remove", "sharing_remove", "no sharing configs are wanted", PLUGIN_PODS)


def install_steps(state: ClusterState, wish: Wish) -> Iterable[Step]:
    chart = list(chart_steps(state, wish))
    # Fetched first of all: a chart that cannot be had must not leave a half-done cluster.
    yield from (step for step in chart if step.how == "chart")
    if state.namespace is None:
        # The operator's pods need rights that the stricter levels of pod security refuse.
        level = {"pod-security.kubernetes.io/enforce": "privileged"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": wish.namespace, "labels": level}}
        yield Step("namespace", "objects", "missing", apply=(namespace,))
    remember, forget = records(state, wish)
    yield from remember
    absent = [name for name in wish.pull_secrets if name not in state.pull_secrets]
    if absent:
        yield Step("pull_secrets", "pull_secrets", "missing: " + ", ".join(absent))
    sharing, labelled = list(_sharing(state, wish)), list(label_steps(state, wish))
    known = set(state.configmaps.get(SHARING_NAME, {}).get("data") or {})
    asked = {found.get(CONFIG_LABEL) for step in labelled for found in step.nodes.values()} - {None}
    # A label must never name a config that is not there (any more).
    yield from (labelled if asked <= known else [])
    yield from sharing
    yield from (step for step in chart if step.how != "chart")
    yield from ([] if asked <= known else labelled)
    yield from _sharing_gone(state, wish)
    yield from object_steps(state, wish)
    yield from forget


def remove_steps(state: ClusterState, wish: Wish) -> Iterable[Step]:
    yield from label_steps(state, wish)
    record = state.record
    if record.get("objects"):
        kinds = ", ".join(each["kind"] for each in record["objects"])
        yield Step("objects_remove", "objects", f"set here: {kinds}", delete=tuple(record["objects"]))
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
    crds = sorted(name for name, crd in state.crds.items() if CRD_VERSION in notes_on(crd))
    if wish.crds_remove and crds:
        kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "namespace": ""}
        yield Step(
            "crds_remove",
            "objects",
            "asked for",
            "every object of these kinds",
            delete=tuple({**kind, "name": n} for n in crds),
        )


def plan(state: ClusterState, wish: Wish) -> tuple[Step, ...]:
    """The steps from ``state`` to ``wish``; () if nothing is to be done."""
    return tuple(install_steps(state, wish) if wish.present else remove_steps(state, wish))


def waiting(state: ClusterState, wish: Wish) -> tuple[Waiting, ...]:
    """What is not ready, or not gone, yet."""
    if wish.present:
        return readiness.waiting(state, wish.expect)
    return readiness.remaining(state)
