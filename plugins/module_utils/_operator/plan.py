# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the way from a cluster's state to the wanted one: ordered steps, each with its reason and what it disturbs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import is_ours, labels, note
from ansible_collections.t9k.gpu.plugins.module_utils._operator import readiness
from ansible_collections.t9k.gpu.plugins.module_utils._operator.disturbance import (
    PLUGIN_PODS,
    Disturbance,
    of_sharing,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator.left_out import few
from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import DISABLED
from ansible_collections.t9k.gpu.plugins.module_utils._operator.owned import (
    label_steps,
    object_steps,
    partition_steps,
    records,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator.release import chart_steps
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import (
    CRD_VERSION,
    ENFORCE,
    INVENTORY,
    ClusterState,
    Object,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator.step import ref, writes
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import SHARING_NAME, Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import configmap as sharing_configmap
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.documents import CONFIG_LABEL, MIG_LABEL, MIG_STATE_LABEL
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step

NO_GPUS = "no GPU node offers GPUs to new pods any more"


def _sharing(state: ClusterState, wanted: Wanted) -> Iterable[Step]:
    """Write the configs; the plugin reads them only when it starts, so the module that writes them restarts it."""
    present = state.configmaps.get(SHARING_NAME)
    if not wanted.sharing or not sharing_configmap.stale(present, wanted.sharing):
        return
    before = (present or {}).get("data") or {}
    after = sharing_configmap.data(wanted.sharing, before)
    reason = "no sharing configs yet" if present is None else "changed: " + ", ".join(_changed(before, after))
    felt = of_sharing(state, before, after) if present else Disturbance()
    yield Step("sharing", reason, felt.sentence, {"before": before, "after": after, **felt.data})


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    return names or ["nothing, but its restart is still due"]


def _sharing_gone(state: ClusterState, wanted: Wanted) -> Iterable[Step]:
    found = state.configmaps.get(SHARING_NAME)
    if found and not wanted.sharing and is_ours(found):
        yield Step("sharing_remove", "no sharing configs are wanted", PLUGIN_PODS.sentence)


def install_steps(state: ClusterState, wanted: Wanted) -> Iterable[Step]:
    """Plan the operator's way there. Fetching the chart is first, whatever comes after it."""
    chart = list(chart_steps(state, wanted))
    # Fetched first of all: a chart that cannot be had must not leave a half-done cluster.
    yield from (step for step in chart if step.name == "chart")
    if state.namespace is None:
        # The operator's pods need rights that the stricter levels of pod security refuse.
        level = {ENFORCE: "privileged"}
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": wanted.namespace, "labels": level}}
        yield writes("namespace", "it is missing", apply=[namespace])
    remember, forget = records(state, wanted)
    yield from remember
    absent = [name for name in wanted.pull_secrets if name not in state.pull_secrets]
    if absent:
        yield Step("pull_secrets", "these are missing: " + ", ".join(absent))
    sharing, labelled = list(_sharing(state, wanted)), list(label_steps(state, wanted))
    known = set(state.configmaps.get(SHARING_NAME, {}).get("data") or {})
    asked = {found.get(CONFIG_LABEL) for step in labelled for found in step.data["nodes"].values()} - {None}
    # A label must never name a config that is not there (any more).
    yield from (labelled if asked <= known else [])
    yield from sharing
    yield from (step for step in chart if step.name != "chart")
    yield from ([] if asked <= known else labelled)
    # After the release: it may be what brings the MIG manager, which each of these nodes waits for.
    yield from partition_steps(state, wanted)
    yield from _sharing_gone(state, wanted)
    yield from object_steps(state, wanted)
    yield from forget


def _whole_again(state: ClusterState) -> Iterable[Step]:
    """Wait for the MIG manager before it goes: nobody else makes whole GPUs of partitions."""
    ours = [node for node, found in (state.record.get("labels") or {}).items() if MIG_LABEL in found]
    nodes = sorted(node for node in ours if node in state.nodes and _partitioned(state.nodes[node]))
    if nodes and "nvidia-mig-manager" in state.daemonsets:
        yield Step("mig", f"GPUs of {few(nodes)} must be whole before the MIG manager goes", "", {"nodes": nodes})


def _partitioned(node: Object) -> bool:
    found = labels(node)
    return found.get(MIG_LABEL) != DISABLED or found.get(MIG_STATE_LABEL) != "success"


def remove_steps(state: ClusterState, wanted: Wanted) -> Iterable[Step]:
    """Plan the operator's way out, with everything that was set here."""
    yield from label_steps(state, wanted)
    yield from partition_steps(state, wanted)
    yield from _whole_again(state)
    record = state.record
    if record.get("objects"):
        kinds = ", ".join(each["kind"] for each in record["objects"])
        yield writes("objects_remove", f"set here: {kinds}", delete=record["objects"])
    if state.release is not None:
        yield Step("release_remove", f"release {wanted.release} is installed", NO_GPUS)
    if state.inventory:
        yield Step("manifests_remove", "the operator's manifests were applied here", NO_GPUS)
    ours = [name for name, found in state.configmaps.items() if is_ours(found) and name != INVENTORY]
    gone = [ref(wanted, "v1", "ConfigMap", name) for name in sorted(ours)]
    gone += [ref(wanted, "v1", "Secret", name) for name in sorted(state.pull_secrets)]
    if gone:
        yield writes("leftovers", "made here: " + ", ".join(each["name"] for each in gone), delete=gone)
    crds = sorted(name for name, crd in state.crds.items() if note(crd, CRD_VERSION))
    if wanted.crds_remove and crds:
        kind = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "namespace": ""}
        gone = [{**kind, "name": name} for name in crds]
        yield writes(
            "crds_remove", "gpu_operator_crds_remove asks for it", "every object of these kinds is deleted", delete=gone
        )


def plan(state: ClusterState, wanted: Wanted) -> tuple[Step, ...]:
    """Return the steps from ``state`` to ``wanted``; () if nothing is to be done."""
    return tuple(install_steps(state, wanted) if wanted.present else remove_steps(state, wanted))


def judgement(state: ClusterState, wanted: Wanted) -> readiness.Judgement:
    """Name what is not ready, or not gone, yet."""
    if wanted.present:
        return readiness.assess(state, wanted.expect)
    return readiness.Judgement(readiness.remaining(state, wanted.namespace))
