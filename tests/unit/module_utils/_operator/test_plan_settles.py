"""The theorem of the plan: once its steps are taken, at most one more pass is needed, and then no step is left.

``take`` is a model of what each kind of step does to a cluster; the lab checks the same against a real API server.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import operator_cluster as cluster
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.t9k.gpu.plugins.module_utils._operator import objects as operator_objects
from ansible_collections.t9k.gpu.plugins.module_utils._operator import plan as operator_plan
from ansible_collections.t9k.gpu.plugins.module_utils._operator.release import crd_version
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState
from ansible_collections.t9k.gpu.plugins.module_utils._operator.step import Step
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wish
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import configmap as sharing_configmap

NODES = ("cpu-1", "gpu-1", "gpu-2")
SERVICE_MONITORS = "servicemonitors.monitoring.coreos.com"


def rendered(wish: Wish) -> dict[str, Any]:
    """A chart's ClusterPolicy, as far as the values go."""
    return cluster.policy(driver=wish.values["driver"], devicePlugin=wish.values["devicePlugin"])


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
    for item in step.apply:
        state = write(state, item)
    for item in step.delete:
        state = drop(state, item)
    if step.name == "policy":
        assert state.policy is not None
        spec = _sharing_merge(state.policy["spec"], step.patch[0]["spec"])
        state = replace(state, policies=({**state.policy, "spec": spec},))
    return state


def _sharing_merge(found: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(found, dict):
        return patch
    return {**found, **{key: _sharing_merge(found.get(key), value) for key, value in patch.items()}}


def take_labels(state: ClusterState, step: Step) -> ClusterState:
    nodes = dict(state.nodes)
    for name, changes in step.nodes.items():
        merged = {**nodes[name]["metadata"]["labels"], **changes}
        labels = {key: value for key, value in merged.items() if value is not None}
        nodes[name] = {**nodes[name], "metadata": {**nodes[name]["metadata"], "labels": labels}}
    return replace(state, nodes=nodes)


def take_release(state: ClusterState, wish: Wish) -> ClusterState:
    """As helm 3: the live ClusterPolicy keeps what another hand wrote, unless the render changed there."""
    policy = rendered(wish)
    made = cluster.release(dict(wish.values), chart_version=wish.version, policy=policy)
    live = state.policies if state.policy and state.release and state.release.policy == policy else (policy,)
    return replace(state, release=made, policies=live)


def take(state: ClusterState, wish: Wish, step: Step) -> ClusterState:
    if step.how == "objects":
        return take_objects(state, step)
    if step.how == "labels":
        return take_labels(state, step)
    if step.how == "crds":
        return replace(state, crds={**state.crds, "clusterpolicies.nvidia.com": cluster.crd(crd_version(wish))})
    if step.how == "sharing":
        labels = dict(sharing_configmap.OURS)
        data = sharing_configmap.data(wish.sharing, {})
        return write(
            state, {"kind": "ConfigMap", "metadata": {"name": "time-slicing-config", "labels": labels}, "data": data}
        )
    if step.how == "sharing_remove":
        return drop(state, {"apiVersion": "v1", "kind": "ConfigMap", "name": "time-slicing-config"})
    if step.how == "release":
        return take_release(state, wish)
    if step.how == "release_remove":
        return replace(state, release=None, policies=())
    assert step.how == "chart"
    return state


def settle(state: ClusterState, wish: Wish) -> ClusterState:
    for _attempt in range(2):
        for step in operator_plan.plan(state, wish):
            state = take(state, wish, step)
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


def empty() -> ClusterState:
    nodes = {name: cluster.node(name, 0 if name == "cpu-1" else 2) for name in NODES}
    return ClusterState(server_version="v1.30.0", nodes=nodes, crds={SERVICE_MONITORS: {"metadata": {"name": "x"}}})


@settings(max_examples=150, deadline=None)
@given(st.lists(wishes(), min_size=1, max_size=4), st.booleans())
def test_from_any_wish_to_any_other(history: list[dict[str, Any]], meddled: bool) -> None:
    state = empty()
    for each in history:
        wish = cluster.wish(**each)
        assert wish.faults == ()
        state = settle(state, wish)
        assert [step.name for step in operator_plan.plan(state, wish)] == []
        if meddled and state.policy:
            spec = {**state.policy["spec"], "driver": {"enabled": "by hand"}}
            state = replace(state, policies=({**state.policy, "spec": spec},))


@settings(max_examples=50, deadline=None)
@given(st.lists(wishes(), max_size=3))
def test_removal_leaves_no_label_and_no_object_of_ours(history: list[dict[str, Any]]) -> None:
    state = empty()
    for each in history:
        state = settle(state, cluster.wish(**each))
    state = settle(state, cluster.wish(state="absent"))
    labels = json.dumps([node["metadata"]["labels"] for node in state.nodes.values()])
    assert "nvidia.com/device-plugin.config" not in labels
    assert "gpu.deploy.operands" not in labels
    assert (state.configmaps, state.objects, state.release) == ({}, {}, None)


@settings(max_examples=100, deadline=None)
@given(wishes(), wishes(), st.integers(0, 12))
def test_a_run_that_broke_off_anywhere_is_repaired_by_the_next(first: Any, second: Any, count: int) -> None:
    state = settle(empty(), cluster.wish(**first))
    broken = cluster.wish(**second)
    for step in operator_plan.plan(state, broken)[:count]:
        state = take(state, broken, step)
    state = settle(state, broken)
    assert operator_plan.plan(state, broken) == ()
    state = settle(state, cluster.wish(state="absent"))
    assert "nvidia.com/device-plugin.config" not in json.dumps(state.nodes)
