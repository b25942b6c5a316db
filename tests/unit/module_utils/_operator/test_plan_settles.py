"""The theorem of the plan: once its steps are taken, at most one more pass is needed, and then no step is left.

``take`` is a model of what each kind of step does to a cluster; the lab checks the same against a real API server.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import replace
from typing import Any, Callable

import operator_cluster as cluster
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.t9k.gpu.plugins.module_utils._drain.holder import Holder
from ansible_collections.t9k.gpu.plugins.module_utils._drain.mark import ANNOTATION, Mark
from ansible_collections.t9k.gpu.plugins.module_utils._drain.partition import REASON
from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import MANAGED_BY
from ansible_collections.t9k.gpu.plugins.module_utils._operator import objects as operator_objects
from ansible_collections.t9k.gpu.plugins.module_utils._operator import plan as operator_plan
from ansible_collections.t9k.gpu.plugins.module_utils._operator import preflight
from ansible_collections.t9k.gpu.plugins.module_utils._operator.release import crd_version
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState
from ansible_collections.t9k.gpu.plugins.module_utils._operator.step import task_of
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import configmap as sharing_configmap
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step

NODES = ("cpu-1", "gpu-1", "gpu-2")
SERVICE_MONITORS = "servicemonitors.monitoring.coreos.com"


def rendered(wanted: Wanted) -> dict[str, Any]:
    """A chart's ClusterPolicy, as far as the values go."""
    return cluster.policy(driver=wanted.values["driver"], devicePlugin=wanted.values["devicePlugin"])


def write(state: ClusterState, item: dict[str, Any]) -> ClusterState:
    name = item["metadata"]["name"]
    if item["kind"] == "Namespace":
        return replace(state, namespace=item)
    if item["kind"] == "ConfigMap":
        return replace(state, configmaps={**state.configmaps, name: item})
    return replace(state, objects={**state.objects, operator_objects.ref_of(item).path: item})


def drop(state: ClusterState, item: dict[str, Any]) -> ClusterState:
    path = operator_objects.ref_of(item).path
    state = replace(state, objects={key: value for key, value in state.objects.items() if key != path})
    for field in ("configmaps", "crds"):
        kept = {name: found for name, found in getattr(state, field).items() if name != item["name"]}
        state = replace(state, **{field: kept})
    return state


def take_objects(state: ClusterState, step: Step) -> ClusterState:
    for item in step.data["apply"]:
        state = write(state, item)
    for item in step.data["delete"]:
        state = drop(state, item)
    if step.name == "policy":
        assert state.policy is not None
        spec = _sharing_merge(state.policy["spec"], step.data["patch"][0]["spec"])
        state = replace(state, policies=({**state.policy, "spec": spec},))
    return state


def _sharing_merge(found: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(found, dict):
        return patch
    return {**found, **{key: _sharing_merge(found.get(key), value) for key, value in patch.items()}}


def take_partition(state: ClusterState, step: Step) -> ClusterState:
    """The pods are gone, the labels are set, and what a broken-off run has left is given back."""
    state = replace(take_labels(state, step), holders={})
    nodes = {
        name: {**node, "metadata": {**node["metadata"], "annotations": {}}} if name in step.data["nodes"] else node
        for name, node in state.nodes.items()
    }
    return replace(state, nodes=nodes)


def take_labels(state: ClusterState, step: Step) -> ClusterState:
    nodes = dict(state.nodes)
    for name, changes in step.data["nodes"].items():
        merged = {**nodes[name]["metadata"]["labels"], **changes}
        labels = {key: value for key, value in merged.items() if value is not None}
        nodes[name] = {**nodes[name], "metadata": {**nodes[name]["metadata"], "labels": labels}}
    return replace(state, nodes=nodes)


def take_release(state: ClusterState, wanted: Wanted) -> ClusterState:
    """As helm 3: the live ClusterPolicy keeps what another hand wrote, unless the render changed there."""
    policy = rendered(wanted)
    drawn = frozenset({("ClusterPolicy", "cluster-policy")})
    made = cluster.release(dict(wanted.values), chart_version=wanted.version, policy=policy, rendered=drawn)
    live = state.policies if state.policy and state.release and state.release.policy == policy else (policy,)
    return replace(state, release=made, policies=live)


def take(state: ClusterState, wanted: Wanted, step: Step) -> ClusterState:
    if task_of(step) == "objects":
        return take_objects(state, step)
    if step.name == "labels":
        return take_labels(state, step)
    if step.name == "partition":
        return take_partition(state, step)
    if step.name == "crds":
        return replace(state, crds={**state.crds, "clusterpolicies.nvidia.com": cluster.crd(crd_version(wanted))})
    if step.name == "sharing":
        labels = dict(MANAGED_BY)
        data = sharing_configmap.data(wanted.sharing, {})
        return write(
            state, {"kind": "ConfigMap", "metadata": {"name": "time-slicing-config", "labels": labels}, "data": data}
        )
    if step.name == "sharing_remove":
        return drop(state, {"apiVersion": "v1", "kind": "ConfigMap", "name": "time-slicing-config"})
    if step.name == "release":
        return take_release(state, wanted)
    if step.name == "release_remove":
        return replace(state, release=None, policies=())
    assert step.name in ("chart", "mig")
    return state


def settle(state: ClusterState, wanted: Wanted) -> ClusterState:
    for _attempt in range(2):
        for step in operator_plan.plan(state, wanted):
            state = take(state, wanted, step)
    return state


configs = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.builds(lambda n: {"mode": "time_slicing", "replicas": n}, st.integers(2, 4)),
    max_size=2,
)


@st.composite
def wishes(draw: Any) -> dict[str, Any]:
    sharing = draw(configs)
    choice = st.sampled_from([*sharing, ""])
    return {
        "version": draw(st.sampled_from(["v22.9.2", "v25.10.1", "v26.7.0"])),
        "state": draw(st.sampled_from(["present", "present", "present", "absent"])),
        "driver": draw(st.sampled_from(["host", "operator"])),
        "sharing": sharing,
        "nodes": list(NODES),
        "node_sharing": {name: draw(choice) for name in NODES},
        "node_operands": {name: draw(st.sampled_from([None, False, True])) for name in NODES},
        "node_mig": {name: draw(st.sampled_from(["", "all-1g.5gb"])) for name in NODES},
        "service_monitor": {"by": draw(st.sampled_from(["none", "role"])), "namespace": "m", "interval": "30s",
                            "labels": {}},
        "crds_remove": draw(st.booleans()),
    }  # fmt: skip


def patch_the_policy(state: ClusterState) -> ClusterState:
    if state.policy is None:
        return state
    spec = {**state.policy["spec"], "driver": {"enabled": "by hand"}}
    return replace(state, policies=({**state.policy, "spec": spec},))


def delete_an_object(state: ClusterState) -> ClusterState:
    return replace(state, objects=dict(list(state.objects.items())[1:]))


def delete_the_sharing_configs(state: ClusterState) -> ClusterState:
    return drop(state, {"apiVersion": "v1", "kind": "ConfigMap", "name": "time-slicing-config"})


def let_pods_hold_gpus(state: ClusterState) -> ClusterState:
    return replace(state, holders={"gpu-1": ("work/a",)})


def break_off_a_partitioning(state: ClusterState) -> ClusterState:
    note = {ANNOTATION: Mark(Holder("u", "m", 0, 0), REASON, 0, 0).text()}
    node = state.nodes["gpu-2"]
    return replace(
        state, nodes={**state.nodes, "gpu-2": {**node, "metadata": {**node["metadata"], "annotations": note}}}
    )


#: What another hand does to a cluster between two runs.
DEEDS: dict[str, Callable[[ClusterState], ClusterState]] = {
    "nothing": lambda state: state,
    "lets pods hold GPUs": let_pods_hold_gpus,
    "breaks off a partitioning": break_off_a_partitioning,
    "patches the ClusterPolicy": patch_the_policy,
    "deletes the ClusterPolicy": lambda state: replace(state, policies=()),
    "deletes an object": delete_an_object,
    "deletes the sharing configs": delete_the_sharing_configs,
    "deletes the CRDs' marks": lambda state: replace(
        state, crds={name: {"metadata": {"name": name}} for name in state.crds}
    ),
}
NOW = datetime.datetime(2026, 1, 1, 0, 10, tzinfo=datetime.timezone.utc)


def empty() -> ClusterState:
    nodes = {name: cluster.node(name, 0 if name == "cpu-1" else 2) for name in NODES}
    return ClusterState(server_version="v1.30.0", nodes=nodes, crds={SERVICE_MONITORS: {"metadata": {"name": "x"}}})


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(wishes(), st.sampled_from(sorted(DEEDS))), min_size=1, max_size=4))
def test_from_any_wish_to_any_other_whatever_another_hand_does(history: list[tuple[dict[str, Any], str]]) -> None:
    state = empty()
    for each, deed in history:
        wanted = cluster.wanted(**each)
        assert wanted.faults == ()
        state = settle(state, wanted)
        assert [step.name for step in operator_plan.plan(state, wanted)] == []
        assert preflight.faults(state, wanted, NOW) == ()  # what we made is ours
        state = DEEDS[deed](state)


@settings(max_examples=50, deadline=None)
@given(st.lists(wishes(), max_size=3))
def test_removal_leaves_no_label_and_no_object_of_ours(history: list[dict[str, Any]]) -> None:
    state = empty()
    for each in history:
        state = settle(state, cluster.wanted(**each))
    state = settle(state, cluster.wanted(state="absent"))
    labels = json.dumps([node["metadata"]["labels"] for node in state.nodes.values()])
    assert "nvidia.com/device-plugin.config" not in labels
    assert "gpu.deploy.operands" not in labels
    assert (state.configmaps, state.objects, state.release) == ({}, {}, None)


@settings(max_examples=100, deadline=None)
@given(wishes(), wishes(), st.integers(0, 12))
def test_a_run_that_broke_off_anywhere_is_repaired_by_the_next(first: Any, second: Any, count: int) -> None:
    state = settle(empty(), cluster.wanted(**first))
    broken = cluster.wanted(**second)
    for step in operator_plan.plan(state, broken)[:count]:
        state = take(state, broken, step)
    state = settle(state, broken)
    assert operator_plan.plan(state, broken) == ()
    state = settle(state, cluster.wanted(state="absent"))
    assert "nvidia.com/device-plugin.config" not in json.dumps(state.nodes)
