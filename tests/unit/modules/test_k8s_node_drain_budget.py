"""The rollout's budget as the module keeps it: entered, waited for, struck out, whatever happens between."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from drained_node import SELF, cordoned
from fake_cluster import NODES, FakeCluster, add_pod, pod

from ansible_collections.t9k.gpu.plugins.module_utils._drain import budget, holder, mark

BUDGET = {"max_unavailable": "1", "budget_timeout": 0, **SELF}
LEDGER = "/api/v1/namespaces/t9k-gpu/configmaps/t9k-gpu-rollout"


def ledger(cluster: FakeCluster) -> dict[str, str]:
    return dict(cluster.objects[LEDGER].get("data") or {})


def test_budget_is_entered_before_the_cordon_and_struck_out_after_the_uncordon(play: Any, cluster: FakeCluster) -> None:
    play(**BUDGET)
    assert list(ledger(cluster)) == ["gpu-01"]
    writes = [path.split("?")[0] for method, path, _body in cluster.log if method in ("POST", "PATCH")]
    assert writes.index(LEDGER) < writes.index(f"{NODES}/gpu-01")
    reads = [path.split("?")[0] for method, path, _body in cluster.log if method == "GET"]
    assert max(index for index, path in enumerate(reads) if path == LEDGER) < reads.index(NODES)
    play(state="uncordoned", **BUDGET)
    assert ledger(cluster) == {}
    writes = [path.split("?")[0] for method, path, _body in cluster.log if method in ("POST", "PATCH")]
    assert writes[-2:] == [f"{NODES}/gpu-01", LEDGER]


@pytest.mark.parametrize(
    ("labels", "change", "begins"),
    [
        pytest.param({"nvidia.com/gpu.present": "true"}, {"spec": {"unschedulable": True}}, False, id="cordoned"),
        pytest.param({"nvidia.com/gpu.present": "true"}, {"status": {"conditions": []}}, False, id="not-ready"),
        pytest.param({}, {"spec": {"unschedulable": True}}, True, id="not-a-gpu-node"),
        pytest.param({"nvidia.com/gpu.present": "true"}, {}, True, id="there"),
    ],
)
def test_nodes_that_are_away_count_whoever_took_them(
    play: Any, cluster: FakeCluster, labels: dict[str, str], change: dict[str, Any], begins: bool
) -> None:
    cluster.add_node("gpu-02", **labels)
    cluster.write("gpu-02", change, "kubectl")
    result = play(**BUDGET)
    assert ("failed" not in result, cordoned(cluster)) == (begins, begins)
    if not begins:
        assert (result["not_begun"], result["given_back"]) == (True, True)
        assert "1 GPU nodes are away, 1 may be: gpu-02" in result["msg"]


def test_a_bare_gpu_node_counts_where_the_inventory_knows_it(play: Any, cluster: FakeCluster) -> None:
    cluster.add_node("gpu-02")
    cluster.write("gpu-02", {"spec": {"unschedulable": True}}, "kubectl")
    assert play(known_gpu_nodes=["gpu-02"], **BUDGET)["not_begun"] is True


def test_room_is_waited_for(play: Any, cluster: FakeCluster) -> None:
    cluster.add_node("gpu-02", gpus=1)
    cluster.write("gpu-02", {"spec": {"unschedulable": True}}, "kubectl")
    answer, lists = cluster.answer, []

    def back_at_last(method: str, target: str, body: Any) -> Any:
        if target.startswith(NODES + "?") or target == NODES:
            lists.append(target)
            if len(lists) == 3:
                cluster.write("gpu-02", {"spec": {"unschedulable": None}}, "kubectl")
        return answer(method, target, body)

    cluster.answer = back_at_last  # type: ignore[method-assign]
    assert play(**{**BUDGET, "budget_timeout": 30})["node"] == "drained"
    assert len(lists) == 3


def test_a_long_wait_for_room_takes_nothing_of_the_time_to_hold_the_node(
    play: Any, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a large fleet the turn may come hours later than the run began."""
    cluster.add_node("gpu-02", gpus=1)
    cluster.write("gpu-02", {"spec": {"unschedulable": True}}, "kubectl")
    answer, clock, waited, lists = cluster.answer, time.time, [0.0], []

    def back_hours_later(method: str, target: str, body: Any) -> Any:
        if target.startswith(NODES + "?") or target == NODES:
            lists.append(target)
            if len(lists) == 2:
                waited[0] = 3 * 3600
                cluster.write("gpu-02", {"spec": {"unschedulable": None}}, "kubectl")
        return answer(method, target, body)

    cluster.answer = back_hours_later  # type: ignore[method-assign]
    monkeypatch.setattr(time, "time", lambda: clock() + waited[0])
    assert play(**{**BUDGET, "budget_timeout": 6 * 3600, "hold": 7200}).get("node") == "drained"
    until = json.loads(ledger(cluster)["gpu-01"])["until"]
    assert 7100 < until - time.time() <= 7200


def test_of_two_that_see_the_same_room_one_counts_again(play: Any, cluster: FakeCluster) -> None:
    """Between this run's count and its entry another one enters the ledger."""
    play(**BUDGET)
    play(state="uncordoned", **BUDGET)
    cluster.add_node("gpu-02", gpus=1)
    answer, writes = cluster.answer, []

    def faster(method: str, target: str, body: Any) -> Any:
        if method == "PATCH" and target.startswith(LEDGER) and not writes:
            writes.append(target)
            other = budget.Entry(holder.Holder("ann", "elsewhere", 1, 1), 4e9)
            cluster.put(LEDGER, {"metadata": {"name": "t9k-gpu-rollout"}, "data": {"gpu-02": other.text()}})
        return answer(method, target, body)

    cluster.answer = faster  # type: ignore[method-assign]
    result = play(**BUDGET)
    assert "gpu-02 (promised to ann@elsewhere" in result["msg"]
    assert (list(ledger(cluster)), cordoned(cluster)) == (["gpu-02"], False)


def test_promise_of_a_dead_run_is_void_and_struck_out(play: Any, cluster: FakeCluster) -> None:
    cluster.add_node("gpu-02", gpus=1)
    dead = budget.Entry(holder.Holder("bob", "elsewhere", 1, 1), 0)
    cluster.put(LEDGER, {"metadata": {"name": "t9k-gpu-rollout"}, "data": {"gpu-02": dead.text()}})
    assert play(**BUDGET)["node"] == "drained"
    assert list(ledger(cluster)) == ["gpu-01"]


def test_pause(play: Any, cluster: FakeCluster) -> None:
    annotations = {budget.PAUSE: "the weekend"}
    cluster.put(LEDGER, {"metadata": {"name": "t9k-gpu-rollout", "annotations": annotations}, "data": {}})
    result = play(**BUDGET)
    assert "the rollout is paused (the weekend)" in result["msg"]
    assert (result["not_begun"], cordoned(cluster)) == (True, False)


def test_failure_elsewhere_stops_the_rollout_until_the_next_run(
    play: Any, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.add_node("gpu-02", gpus=1)
    play(name="gpu-02", state="failed", reason="no module")
    monkeypatch.setattr(holder, "began", lambda *_args: 0.0)
    result = play(max_failures=1, **BUDGET)
    assert "the rollout stopped, since gpu-02 failed (no module)" in result["msg"]
    assert (result["not_begun"], cordoned(cluster)) == (True, False)
    monkeypatch.setattr(holder, "began", lambda *_args: 4e9)
    assert play(max_failures=1, **BUDGET)["node"] == "drained"


def test_failed_drain_tells_the_rollout_and_leaves_no_promise(play: Any, cluster: FakeCluster) -> None:
    add_pod(cluster, pod("web", metadata={"finalizers": ["example.com/hold"]}))
    assert play(timeout=1, **BUDGET)["failed"]
    assert "finalizers" in cluster.node("gpu-01")["metadata"]["annotations"][budget.FAILED]
    assert ledger(cluster) == {}


def test_node_that_is_back_with_its_former_driver_still_counts_as_failed(
    play: Any, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(**BUDGET)
    play(name="gpu-01", state="failed", reason="no module")
    monkeypatch.setattr(holder, "began", lambda *_args: 0.0)
    play(state="uncordoned", **BUDGET)
    assert budget.FAILED in cluster.node("gpu-01")["metadata"]["annotations"]
    monkeypatch.setattr(holder, "began", lambda *_args: 4e9)
    play(**BUDGET)
    play(state="uncordoned", **BUDGET)
    assert budget.FAILED not in cluster.node("gpu-01")["metadata"]["annotations"]


def test_promise_goes_also_where_somebody_took_the_mark_away(play: Any, cluster: FakeCluster) -> None:
    play(**BUDGET)
    gone = {"metadata": {"annotations": {mark.ANNOTATION: None}}, "spec": {"unschedulable": None}}
    cluster.write("gpu-01", gone, "kubectl")
    play(state="uncordoned", check=True, **BUDGET)
    assert list(ledger(cluster)) == ["gpu-01"]
    assert play(state="uncordoned", **BUDGET)["node"] == "takes pods"
    assert ledger(cluster) == {}
