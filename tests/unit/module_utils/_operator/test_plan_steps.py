"""Each step of the cluster's plan whole: why, what it disturbs, and what its task file gets. Which steps, and when: test_plan.py."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import operator_cluster as cluster
import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import MANAGED_BY
from ansible_collections.t9k.gpu.plugins.module_utils._operator import plan as operator_plan
from ansible_collections.t9k.gpu.plugins.module_utils._operator.disturbance import PLUGIN_PODS
from ansible_collections.t9k.gpu.plugins.module_utils._operator.plan import NO_GPUS
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import configmap as sharing_configmap
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import documents as sharing_documents
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step

SHARE, MIG, MIG_STATE = "nvidia.com/device-plugin.config", "nvidia.com/mig.config", "nvidia.com/mig.config.state"
OPERANDS = "nvidia.com/gpu.deploy.operands"
FINISHED = cluster.finished()
RECORD = FINISHED.configmaps["t9k-gpu-operator"]
MAP = "time-slicing-config"
SLICES = {"common": {"mode": "time_slicing", "replicas": 4}, "more": {"mode": "time_slicing", "replicas": 8}}
MPS = {"common": {"mode": "mps", "replicas": 4}}
PULLED = {"pull_secrets": ["a", "b", "c"], "own_pull_secrets": ["a", "b", "c"]}


def texts(**configs: Any) -> dict[str, str]:
    return sharing_configmap.data(sharing_documents.documents(configs), {})


def shared(configs: dict[str, Any], state: ClusterState = FINISHED, **metadata: Any) -> ClusterState:
    """The cluster with our sharing configs."""
    found = {"metadata": {"name": MAP, "labels": dict(MANAGED_BY), **metadata}, "data": texts(**configs)}
    return replace(state, configmaps={**state.configmaps, MAP: found})


def recorded(**record: Any) -> ClusterState:
    found = cluster.configmap("t9k-gpu-operator", record={"labels": {}, "objects": [], **record})
    return replace(FINISHED, configmaps={**FINISHED.configmaps, "t9k-gpu-operator": found})


def node(state: ClusterState = FINISHED, name: str = "gpu-1", **labels: str) -> ClusterState:
    return replace(state, nodes={**state.nodes, name: cluster.node(name, 2, **labels)})


def partitioned(state: str = "success", config: str = "all-disabled", *names: str) -> ClusterState:
    """We asked for partitions; they are going, or gone, and the MIG manager is there."""
    here = recorded(labels={name: {MIG: "all-1g.5gb"} for name in (*names, "gpu-1")})
    for name in (*names, "gpu-1"):
        here = node(here, name, **{MIG: config, MIG_STATE: state})
    return replace(
        here, daemonsets={**here.daemonsets, "nvidia-mig-manager": cluster.daemonset("nvidia-mig-manager", 1)}
    )


def ref(kind: str, name: str) -> dict[str, str]:
    return {"apiVersion": "v1", "kind": kind, "namespace": "gpu-operator", "name": name}


def wrote(**data: Any) -> dict[str, Any]:
    return {"task": "objects", "apply": [], "patch": [], "delete": [], "after": None, **data}


OBJECTS = [
    {"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "namespace": "m", "name": "x"},
    {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "m", "name": "y"},
]
GONE = {"state": "absent"}
MANIFESTS = cluster.configmap("t9k-gpu-operator-manifests", inventory={"version": "26.7.0", "digest": "", "values": {}})
CRDS = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "namespace": ""}

STEPS: list[tuple[str, ClusterState, dict[str, Any], Step]] = [
    ("a namespace", replace(FINISHED, namespace=None), {},
     Step("namespace", "it is missing", "", wrote(apply=[{"apiVersion": "v1", "kind": "Namespace", "metadata": {
         "name": "gpu-operator", "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}]))),
    ("pull secrets", replace(FINISHED, pull_secrets={"b": {}}), PULLED,
     Step("pull_secrets", "these are missing: a, c", "", {})),
    ("the first configs", FINISHED, {"sharing": SLICES},
     Step("sharing", "no sharing configs yet", "", {"before": {}, "after": texts(**SLICES)})),
    ("configs that change", shared(SLICES), {"sharing": {"common": SLICES["more"], "third": SLICES["more"]}},
     Step("sharing", "changed: common, more, third", "",  # no node uses one of them
          {"before": texts(**SLICES), "after": texts(common=SLICES["more"], third=SLICES["more"])})),
    ("configs that MPS clients use", node(shared(MPS), **{SHARE: "common"}), {"sharing": {"common": SLICES["more"]}},
     Step("sharing", "changed: common", "clients of the MPS control daemon on gpu-1 end",
          {"before": texts(**MPS), "after": texts(common=SLICES["more"]), "interrupts": True})),
    ("a restart that is due", shared(SLICES, annotations={sharing_configmap.PENDING: "true"}), {"sharing": SLICES},
     Step("sharing", "changed: nothing, but its restart is still due", PLUGIN_PODS.sentence,
          {"before": texts(**SLICES), "after": texts(**SLICES)})),
    ("configs without data", replace(FINISHED, configmaps={**FINISHED.configmaps, MAP: {"metadata": {"name": MAP}}}),
     {"sharing": SLICES}, Step("sharing", "changed: common, more", "", {"before": {}, "after": texts(**SLICES)})),
    ("configs that nobody wants", shared(SLICES), {},
     Step("sharing_remove", "no sharing configs are wanted", PLUGIN_PODS.sentence, {})),
    ("partitions that are going", partitioned("pending"), GONE,
     Step("mig", "GPUs of gpu-1 must be whole before the MIG manager goes", "", {"nodes": ["gpu-1"]})),
    ("partitions of several nodes", partitioned("success", "all-1g.5gb", "gpu-2"), GONE,
     Step("mig", "GPUs of gpu-1, gpu-2 must be whole before the MIG manager goes", "", {"nodes": ["gpu-1", "gpu-2"]})),
    ("objects of ours", recorded(objects=OBJECTS), GONE,
     Step("objects_remove", "set here: ServiceMonitor, ConfigMap", "", wrote(delete=OBJECTS))),
    ("a release", FINISHED, {**GONE, "release": "gpu-operator"},
     Step("release_remove", "release gpu-operator is installed", NO_GPUS, {})),
    ("manifests", replace(FINISHED, release=None, configmaps={**FINISHED.configmaps, "t9k-gpu-operator-manifests": MANIFESTS}),
     {**GONE, "mode": "manifests"}, Step("manifests_remove", "the operator's manifests were applied here", NO_GPUS, {})),
    ("leftovers", replace(shared(SLICES), pull_secrets={"s2": {}, "s1": {}}), GONE,
     Step("leftovers", "made here: t9k-gpu-operator, time-slicing-config, s1, s2", "", wrote(delete=[
         ref("ConfigMap", "t9k-gpu-operator"), ref("ConfigMap", MAP), ref("Secret", "s1"), ref("Secret", "s2")]))),
    ("CRDs", FINISHED, {**GONE, "crds_remove": True},
     Step("crds_remove", "gpu_operator_crds_remove asks for it", "every object of these kinds is deleted",
          wrote(delete=[{**CRDS, "name": "clusterpolicies.nvidia.com"}]))),
]  # fmt: skip


@pytest.mark.parametrize(("state", "wanted", "expected"), [row[1:] for row in STEPS], ids=[row[0] for row in STEPS])
def test_a_step_is_whole(state: ClusterState, wanted: dict[str, Any], expected: Step) -> None:
    steps = {step.name: step for step in operator_plan.plan(state, cluster.wanted(**wanted))}
    assert steps[expected.name] == expected


FOREIGN = {"metadata": {"name": MAP}, "data": {}}
NOT_OURS = {"metadata": {"name": "b", "annotations": {}}}
NONE: list[tuple[str, ClusterState, dict[str, Any], str]] = [
    ("somebody else's configs stay", replace(FINISHED, configmaps={MAP: FOREIGN}), {}, "sharing_remove"),
    ("configs that are as wanted", shared(SLICES), {"sharing": SLICES}, "sharing"),
    ("configs that are wanted stay", shared(SLICES), {"sharing": SLICES}, "sharing_remove"),
    ("whole GPUs", partitioned(), GONE, "mig"),
    ("partitions that nobody can take back", replace(partitioned("pending"), daemonsets={}), GONE, "mig"),
    ("partitions of a node that left", replace(partitioned("pending"), nodes={}), GONE, "mig"),
    ("partitions that others made", node(replace(partitioned(), configmaps={}), **{MIG: "all-1g.5gb"}), GONE, "mig"),
    ("labels of another kind", node(recorded(labels={"gpu-1": {OPERANDS: "false"}}), **{OPERANDS: "false"}), GONE, "mig"),
    ("no objects of ours", FINISHED, GONE, "objects_remove"),
    ("no record at all", replace(FINISHED, configmaps={}), GONE, "objects_remove"),
    ("nothing of ours", replace(FINISHED, configmaps={MAP: FOREIGN}), GONE, "leftovers"),
    ("CRDs that others applied", replace(FINISHED, crds={"b": NOT_OURS}), {**GONE, "crds_remove": True}, "crds_remove"),
    ("CRDs that may stay", FINISHED, GONE, "crds_remove"),
    ("no pull secret is missing", replace(FINISHED, pull_secrets={name: {} for name in "abc"}), PULLED, "pull_secrets"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "wanted", "name"), [row[1:] for row in NONE], ids=[row[0] for row in NONE])
def test_no_step_where_none_is_due(state: ClusterState, wanted: dict[str, Any], name: str) -> None:
    assert name not in [step.name for step in operator_plan.plan(state, cluster.wanted(**wanted))]


def test_leftovers_are_all_but_the_inventory_that_the_removal_of_manifests_needs() -> None:
    maps = {**FINISHED.configmaps, "t9k-gpu-operator-manifests": MANIFESTS}
    state = replace(FINISHED, release=None, configmaps=maps)
    steps = {step.name: step for step in operator_plan.plan(state, cluster.wanted(mode="manifests", **GONE))}
    assert list(steps) == ["manifests_remove", "leftovers"]
    assert steps["leftovers"].data["delete"] == [ref("ConfigMap", "t9k-gpu-operator")]


def test_a_label_for_a_config_that_is_there_comes_before_the_configs_change() -> None:
    """It must not name one that goes; and what it names must be there."""
    state = node(shared(SLICES), **{SHARE: "more"})
    asked = {"sharing": {"common": SLICES["more"]}, "nodes": ["gpu-1"], "node_sharing": {"gpu-1": "common"}}
    order = [step.name for step in operator_plan.plan(state, cluster.wanted(**asked))]
    assert order.index("labels") < order.index("sharing") < order.index("release")
    new = {"sharing": {"third": SLICES["more"]}, "nodes": ["gpu-1"], "node_sharing": {"gpu-1": "third"}}
    order = [step.name for step in operator_plan.plan(state, cluster.wanted(**new))]
    assert order.index("sharing") < order.index("release") < order.index("labels")


def test_a_removal_waits_for_what_is_left_and_an_installation_for_what_is_missing() -> None:
    kinds = {each.kind for each in operator_plan.judgement(FINISHED, cluster.wanted(**GONE)).waiting}
    assert kinds == {"ClusterPolicy", "DaemonSet"}
    assert operator_plan.judgement(replace(FINISHED, policies=(), daemonsets={}), cluster.wanted(**GONE)).waiting == ()
    (missing,) = operator_plan.judgement(replace(FINISHED, endpoints=()), cluster.wanted()).waiting
    assert missing.kind == "Service"
    elsewhere = operator_plan.judgement(FINISHED, cluster.wanted(namespace="elsewhere", **GONE)).waiting
    assert "ClusterPolicy" not in {each.kind for each in elsewhere}  # another namespace's operator owns it


def test_what_is_written_can_be_shown() -> None:
    for _name, state, wanted, _step in STEPS:
        json.dumps([step.to_dict() for step in operator_plan.plan(state, cluster.wanted(**wanted))])
