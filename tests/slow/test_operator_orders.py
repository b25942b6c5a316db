"""A thousand random orders of what happens to an installation: each run that is let through leaves nothing to do, a run that breaks off is
repaired by the next, and nothing of another hand is ever written. About two minutes.

The cluster is the model of tests/unit/module_utils/_operator/test_plan_settles.py, with objects of others in it.
"""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from typing import Any

import operator_cluster as cluster
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import is_ours
from ansible_collections.t9k.gpu.plugins.module_utils._operator import plan as operator_plan
from ansible_collections.t9k.gpu.plugins.module_utils._operator import preflight
from ansible_collections.t9k.gpu.plugins.module_utils._operator.objects import ref_of
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState
from ansible_collections.t9k.gpu.plugins.module_utils._operator.step import task_of
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step

model = importlib.import_module("tests.unit.module_utils._operator.test_plan_settles")
THEIR_LABELS = {"team": "x", "nvidia.com/gpu.workload.config": "container"}
THEIR_MAP = {"metadata": {"name": "theirs", "labels": {}}, "data": {"a": "b"}}
THEIR_MONITOR = "/apis/monitoring.coreos.com/v1/namespaces/m/servicemonitors/theirs"


def shared() -> ClusterState:
    """An empty cluster in which others live."""
    state: ClusterState = model.empty()
    nodes = {
        name: {**node, "metadata": {**node["metadata"], "labels": {**node["metadata"]["labels"], **THEIR_LABELS}}}
        for name, node in state.nodes.items()
    }
    return replace(
        state, nodes=nodes, configmaps={"theirs": THEIR_MAP}, objects={THEIR_MONITOR: {"metadata": {"name": "theirs"}}}
    )


def marked(state: ClusterState, item: dict[str, Any]) -> bool:
    """Whether an object may be written: it is new, it has our mark, or the record, which is written first, names it."""
    address = ref_of(item)
    metadata = item.get("metadata") or item
    present = state.configmaps.get(metadata["name"]) if item["kind"] == "ConfigMap" else state.objects.get(address.path)
    recorded = address in [ref_of(each) for each in state.record.get("objects") or []]
    return present is None or is_ours(present) or recorded or item["kind"] in ("Namespace", "CustomResourceDefinition")


def take(state: ClusterState, wanted: Wanted, step: Step) -> ClusterState:
    if task_of(step) == "objects":
        assert all(marked(state, item) for item in [*step.data["apply"], *step.data["delete"]]), step
    if step.name in ("labels", "partition"):
        ours = {
            "nvidia.com/device-plugin.config",
            "nvidia.com/gpu.deploy.operands",
            "nvidia.com/mig.config",
            "nvidia.com/mig.config.state",
        }
        assert all(set(found) <= ours for found in step.data["nodes"].values())
    after: ClusterState = model.take(state, wanted, step)
    return after


def run(state: ClusterState, wanted: Wanted, breaks_after: int | None) -> ClusterState:
    """One run of the role: two passes, and where it breaks off the steps up to there."""
    for _pass in range(2):
        for number, step in enumerate(operator_plan.plan(state, wanted)):
            if breaks_after is not None and number >= breaks_after:
                return state
            state = take(state, wanted, step)
    return state


def untouched(state: ClusterState) -> bool:
    labels = [node["metadata"]["labels"] for node in state.nodes.values()]
    kept = all(THEIR_LABELS.items() <= found.items() for found in labels)
    return kept and state.configmaps.get("theirs") == THEIR_MAP and THEIR_MONITOR in state.objects


RUNS = st.tuples(st.just("run"), model.wishes(), st.none())
BROKEN = st.tuples(st.just("broken"), model.wishes(), st.integers(0, 10))
DEEDS = st.tuples(st.just("deed"), st.sampled_from(sorted(set(model.DEEDS) - {"deletes an object"})), st.none())


@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(st.one_of(RUNS, RUNS, BROKEN, DEEDS), min_size=2, max_size=6), model.wishes())
def test_a_thousand_orders(history: list[tuple[str, Any, Any]], last: dict[str, Any]) -> None:
    state = shared()
    for kind, what, breaks_after in [*history, ("run", last, None)]:
        if kind == "deed":
            state = model.DEEDS[what](state)
            continue
        wanted = cluster.wanted(**what)
        assert preflight.faults(state, wanted, model.NOW) == ()
        state = run(state, wanted, breaks_after)
        if kind == "run":
            assert [step.name for step in operator_plan.plan(state, wanted)] == []
        assert untouched(state)
    state = run(state, cluster.wanted(state="absent"), None)
    assert untouched(state)
    assert (set(state.configmaps), set(state.objects), state.release) == ({"theirs"}, {THEIR_MONITOR}, None)
    assert "gpu.deploy.operands" not in json.dumps(list(state.nodes.values()))
