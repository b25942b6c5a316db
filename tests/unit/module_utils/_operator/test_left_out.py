"""One broken node among many: what is put up with, and what is not."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import operator_cluster as cluster
import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._operator.left_out import limit
from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import Expect
from ansible_collections.t9k.gpu.plugins.module_utils._operator.readiness import assess
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState

WORKER = "gpu-operator-node-feature-discovery-worker"
NONE: dict[str, str] = {}


def ready(status: str) -> dict[str, Any]:
    return {"type": "Ready", "status": status, "lastTransitionTime": "2026-01-01T00:00:00Z"}


def state_with(name: str, word: str, allocatable: dict[str, str] = NONE, cordoned: bool = False) -> ClusterState:
    """Ten GPU nodes, one of them as the words say; the DaemonSets and the operator feel it as they do in a cluster."""
    state = cluster.finished()
    nodes = {f"n{i}": cluster.node(f"n{i}", 2) for i in range(10)}
    nodes["cpu-1"] = cluster.node("cpu-1")
    broken = cluster.node(name, 2 if name != "cpu-1" else 0, allocatable)
    broken["status"]["conditions"] = [ready(word)]
    broken["spec"] = {"unschedulable": True} if cordoned else {}
    nodes[name] = broken
    away = word != "True"
    sets = {}
    for each in state.daemonsets:
        count = 11 if each == WORKER else 10
        felt = away and (each == WORKER or name != "cpu-1")
        sets[each] = cluster.daemonset(each, count, count - 1 if felt else count)
    policy = copy.deepcopy(cluster.policy())
    if away and name != "cpu-1":
        policy["status"] = {
            "state": "notReady",
            "conditions": [{"type": "Error", "status": "True", "reason": "OperandNotReady", "message": "pods"}],
        }
    endpoints = [{"conditions": {"ready": not (away and i == 0 and name != "cpu-1")}} for i in range(10)]
    slices = ({"metadata": {"name": "x"}, "endpoints": endpoints},)
    return replace(state, nodes=nodes, daemonsets=sets, policies=(policy,), endpoints=slices)


TABLE: list[tuple[str, ClusterState, str, int, tuple[str, ...]]] = [
    # what, the cluster, tolerated, how many things are waited for, who is left out
    ("NotReady", state_with("n3", "False"), "1", 0, ("n3",)),
    ("NotReady, a share", state_with("n3", "False"), "10%", 0, ("n3",)),
    ("NotReady, too small a share", state_with("n3", "False"), "5%", 10, ()),
    ("NotReady, none tolerated", state_with("n3", "False"), "0", 10, ()),
    ("unreachable", state_with("n3", "Unknown"), "1", 0, ("n3",)),
    ("cordoned and well", state_with("n3", "True", {"nvidia.com/gpu": "2"}, cordoned=True), "0", 0, ()),
    ("cordoned and without GPUs", state_with("n3", "True", cordoned=True), "1", 0, ("n3",)),
    ("cordoned and without GPUs, not tolerated", state_with("n3", "True", cordoned=True), "0", 2, ()),
    ("well, without GPUs: its own fault", state_with("n3", "True"), "10", 1, ()),
    ("NotReady without GPUs", state_with("cpu-1", "False"), "0", 0, ()),
]


@pytest.mark.parametrize(
    ("state", "tolerated", "count", "out"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_a_node_out_of_order(state: ClusterState, tolerated: str, count: int, out: tuple[str, ...]) -> None:
    found = assess(state, Expect(tolerated=tolerated))
    assert (len(found.waiting), tuple(found.out.nodes)) == (count, out), list(map(str, found.waiting))


def test_it_is_said() -> None:
    found = assess(state_with("n3", "False"), Expect(tolerated="1"))
    assert found.notes[0] == "not waited for: n3 (NotReady since 2026-01-01T00:00:00Z)"
    assert any("wants state ready, has notReady (pods)" in note for note in found.notes)
    assert assess(state_with("cpu-1", "False"), Expect()).notes == ("out of order, without known GPUs: cpu-1",)
    (more,) = [each for each in assess(state_with("n3", "False"), Expect()).waiting if each.name == "out of order"]
    assert "gpu_operator_nodes_tolerated" in more.wanted and "n3 NotReady" in more.found


def test_a_node_that_the_run_failed_on_counts_no_more() -> None:
    state = state_with("n3", "True", cordoned=True)
    found = assess(state, Expect(tolerated="0", failed=("n3",)))
    assert (found.waiting, dict(found.out.nodes)) == ((), {"n3": "failed earlier in this run"})


def test_what_keeps_the_operator_from_its_work_is_not_put_up_with() -> None:
    """A broken node excuses missing pods, not a ClusterPolicy that cannot be reconciled, and no other fault."""
    state = state_with("n3", "False")
    failed = copy.deepcopy(state.policies[0])
    failed["status"]["conditions"][0]["reason"] = "ReconcileFailed"
    assert len(assess(replace(state, policies=(failed,)), Expect(tolerated="1")).waiting) == 1
    plugin = "nvidia-device-plugin-daemonset"
    two = replace(state, daemonsets={**state.daemonsets, plugin: cluster.daemonset(plugin, 10, 8)})
    assert [each.name for each in assess(two, Expect(tolerated="1")).waiting] == [plugin, "cluster-policy"]


@pytest.mark.parametrize(("share", "total", "count"), [("3", 500, 3), ("5%", 500, 25), ("5%", 19, 0), ("100%", 7, 7)])
def test_a_number_or_a_share(share: str, total: int, count: int) -> None:
    assert limit(share, total) == count


@pytest.mark.parametrize("share", ["", "x", "-1", "101%", "5 %"])
def test_no_number(share: str) -> None:
    with pytest.raises(GpuError, match="gpu_operator_nodes_tolerated"):
        limit(share, 10)
