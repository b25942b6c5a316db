"""The module against a test double of the API server: set, check, again, refuse, and what a failure leaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fake_api import player
from fake_cluster import NODES, FakeCluster, add_budget, add_pod, pod

from ansible_collections.t9k.gpu.plugins.module_utils._drain import budget, deadline, evict, holder, mark
from ansible_collections.t9k.gpu.plugins.modules import k8s_node_drain

PLUGIN = "nvidia.com/gpu.deploy.device-plugin"
PAUSED = "paused-for-driver-upgrade"
SELF = {"name": "gpu-01", "boot_id": "boot", "machine_id": "machine"}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    monkeypatch.setattr(deadline, "POLL_S", 0.01)
    monkeypatch.setattr(evict, "ASK_AGAIN_S", 0.02)
    server = FakeCluster()
    server.add_node("gpu-01", gpus=8, **{PLUGIN: "true"})
    yield server
    server.close()


@pytest.fixture
def play(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> Any:
    return player(k8s_node_drain, cluster, monkeypatch)


def operand(cluster: FakeCluster, name: str = "plugin") -> dict[str, Any]:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    return add_pod(cluster, pod(name, "DaemonSet", spec={"nodeSelector": {PLUGIN: "true"}}, status=ready))


def cordoned(cluster: FakeCluster) -> bool:
    return bool(cluster.node("gpu-01")["spec"].get("unschedulable"))


def note(cluster: FakeCluster) -> mark.Mark | None:
    return mark.of(cluster.node("gpu-01"))


def evicted(cluster: FakeCluster) -> list[str]:
    return [path for method, path, _body in cluster.log if method == "POST" and "dryRun" not in path]


def test_drain_then_again_then_back(play: Any, cluster: FakeCluster) -> None:
    add_pod(cluster, pod("web"))
    add_pod(cluster, pod("log", "DaemonSet"))
    operand(cluster)
    first = play(**SELF)
    assert first["changed"] is True
    assert {p["name"]: p["fate"] for p in first["pods"]} == {"web": "goes", "plugin": "operand", "log": "stays"}
    assert cluster.pods() == ["log"]
    assert cordoned(cluster)
    assert cluster.labels("gpu-01")[PLUGIN] == PAUSED

    again = play(**SELF)
    assert again["changed"] is False
    found = note(cluster)
    assert found
    assert (found.gpus, found.paused, found.operands) == (
        {"nvidia.com/gpu": 8},
        {PLUGIN: "true"},
        ("default/plugin-owner",),
    )

    back = play(state="uncordoned", **SELF)
    assert (back["changed"], back["node"]) == (True, "takes pods")
    assert (cordoned(cluster), note(cluster), cluster.labels("gpu-01")[PLUGIN]) == (False, None, "true")
    assert cluster.pods() == ["log", "plugin"]
    assert play(state="uncordoned", **SELF)["changed"] is False


def test_check_mode_lists_what_would_go(play: Any, cluster: FakeCluster) -> None:
    add_pod(cluster, pod("web"))
    result = play(check=True, **SELF)
    assert (result["changed"], cluster.pods()) == (True, ["web"])
    assert "default/web (ReplicaSet web-owner)" in result["diff"]["before"]
    assert "PATCH" not in cluster.methods()
    assert evicted(cluster) == []


def test_everything_in_the_way_is_one_error_and_nothing_is_gone(play: Any, cluster: FakeCluster) -> None:
    add_pod(cluster, pod("web"))
    add_pod(cluster, pod("naked", None))
    add_pod(cluster, pod("data", spec={"volumes": [{"emptyDir": {}}]}))
    add_pod(cluster, pod("frozen"))
    add_budget(cluster, "never", "frozen", 0, maxUnavailable=0)
    add_pod(cluster, pod("twice"))
    add_budget(cluster, "one", "twice", 1)
    add_budget(cluster, "two", "twice", 1)
    result = play(**SELF)
    assert result["failed"]
    for words in (
        "4 pods",
        "default/naked (nobody)",
        "default/data",
        "Budget never allows no eviction",
        "more than one",
    ):
        assert words in result["msg"]
    assert len(cluster.pods()) == 5
    assert (cordoned(cluster), note(cluster), "PATCH" in cluster.methods()) == (False, None, False)


def test_account_that_may_not_evict_is_found_before_the_first_change(play: Any, cluster: FakeCluster) -> None:
    add_pod(cluster, pod("web"))
    cluster.forbidden = ("/eviction",)
    assert "cannot create resource" in play(**SELF)["msg"]
    assert not cordoned(cluster)


def test_budget_is_asked_again_until_it_allows(play: Any, cluster: FakeCluster) -> None:
    add_pod(cluster, pod("web"))
    budget = add_budget(cluster, "web", "web", 0, minAvailable=1)
    answer = cluster.answer

    def later(method: str, target: str, body: Any) -> Any:
        refused = sum(target.endswith("/eviction?fieldManager=t9k.gpu") for _method, target, _body in cluster.log)
        budget["status"]["disruptionsAllowed"] = int(refused > 2)
        return answer(method, target, body)

    cluster.answer = later  # type: ignore[method-assign]
    assert play(**SELF)["changed"] is True
    assert (cluster.pods(), len(evicted(cluster))) == ([], 3)


@pytest.mark.parametrize(
    ("metadata", "budget", "words"),
    [
        pytest.param({"finalizers": ["example.com/hold"]}, None, "finalizers example.com/hold", id="finalizer"),
        pytest.param({}, 0, "disruption budget web needs 1 healthy", id="budget"),
    ],
)
def test_deadline_is_a_failure_that_names_what_is_left(
    play: Any, cluster: FakeCluster, metadata: dict[str, Any], budget: int | None, words: str
) -> None:
    add_pod(cluster, pod("web", metadata=metadata))
    if budget is not None:
        add_budget(cluster, "web", "web", budget, minAvailable=1)
    result = play(timeout=1, **SELF)
    assert result["failed"]
    assert "within 1 s. Found: 1 left: default/web (ReplicaSet web-owner" in result["msg"]
    assert words in result["msg"]
    assert result["given_back"] is True
    assert (cordoned(cluster), note(cluster)) == (False, None)


def test_pod_that_comes_after_the_first_look_goes_too(play: Any, cluster: FakeCluster) -> None:
    """The scheduler may have bound it before it saw the cordon."""
    answer = cluster.answer

    def bound_late(method: str, target: str, body: Any) -> Any:
        if method == "PATCH" and "late" not in cluster.pods() and not cordoned(cluster):
            add_pod(cluster, pod("late"))
        return answer(method, target, body)

    cluster.answer = bound_late  # type: ignore[method-assign]
    play(**SELF)
    assert cluster.pods() == []


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        pytest.param({"boot_id": "x", "machine_id": "y"}, "boot id boot and machine id machine", id="another-host"),
        pytest.param({"boot_id": "x", "machine_id": "machine"}, "as clones have", id="clone"),
    ],
)
def test_node_of_another_host_is_refused(play: Any, cluster: FakeCluster, ids: dict[str, str], said: str) -> None:
    result = play(name="gpu-01", **ids)
    assert said in result["msg"]
    assert (cordoned(cluster), "PATCH" in cluster.methods()) == (False, False)


def test_unknown_node(play: Any) -> None:
    assert "driver_node_name" in play(name="gpu-99")["msg"]


@pytest.mark.parametrize(
    ("labels", "annotations", "tool"),
    [
        pytest.param(
            {"nvidia.com/gpu-driver-upgrade-state": "drain-required"}, {}, "upgrade controller", id="operator"
        ),
        pytest.param({}, {"weave.works/kured-reboot-in-progress": "now"}, "kured", id="kured"),
        pytest.param({}, {"quarantineHealthEventIsCordoned": "True"}, "NVSentinel", id="nvsentinel"),
    ],
)
def test_tool_at_work_is_respected_and_named(
    play: Any, cluster: FakeCluster, labels: dict[str, str], annotations: dict[str, str], tool: str
) -> None:
    cluster.write(
        "gpu-01", {"metadata": {"labels": labels, "annotations": annotations}, "spec": {"unschedulable": True}}, "tool"
    )
    result = play(**SELF)
    assert tool in result["msg"]
    assert (cordoned(cluster), note(cluster)) == (True, None)


def test_cordon_of_an_administrator_stays(play: Any, cluster: FakeCluster) -> None:
    cluster.write("gpu-01", {"spec": {"unschedulable": True}}, "kubectl")
    play(**SELF)
    back = play(state="uncordoned", **SELF)
    assert back["node"] == "cordoned by kubectl (its field manager), not by us"
    assert (cordoned(cluster), note(cluster)) == (True, None)


def killed_run(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, play: Any) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(holder, "this_run", lambda _pid: holder.Holder("root", holder.socket.gethostname(), 99999999, 1))
        play(**SELF)


def test_run_after_a_killed_one_takes_over_and_gives_back_what_that_one_took(
    play: Any, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    operand(cluster)
    killed_run(cluster, monkeypatch, play)
    cluster.node("gpu-01")["status"]["allocatable"].pop("nvidia.com/gpu")
    play(**SELF)
    found = note(cluster)
    assert found
    assert (found.gpus, found.paused, found.holder.pid == 99999999) == ({"nvidia.com/gpu": 8}, {PLUGIN: "true"}, False)
    cluster.node("gpu-01")["status"]["allocatable"]["nvidia.com/gpu"] = "8"
    assert play(state="uncordoned", **SELF)["node"] == "takes pods"


def test_how_long_the_node_was_away_a_killed_run_included(
    play: Any, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = {"is": 1000.0}
    monkeypatch.setattr(k8s_node_drain.time, "time", lambda: now["is"])
    killed_run(cluster, monkeypatch, play)
    now["is"] += 40
    play(**SELF)
    now["is"] += 44
    assert play(state="uncordoned", **SELF)["away_seconds"] == 84
    assert play(state="uncordoned", **SELF)["away_seconds"] is None


def test_cordon_that_an_administrator_made_after_a_killed_run_stays(
    play: Any, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mark of the killed run is still there, and the node is unschedulable as it left it."""
    killed_run(cluster, monkeypatch, play)
    cluster.write("gpu-01", {"spec": {"unschedulable": None}}, "kubectl")
    cluster.write("gpu-01", {"spec": {"unschedulable": True}}, "kubectl")
    assert "cordoned by kubectl" in play(state="uncordoned", **SELF)["node"]
    assert (cordoned(cluster), note(cluster)) == (True, None)


def test_failure_of_a_run_that_took_over_leaves_the_node_cordoned(
    play: Any, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_run(cluster, monkeypatch, play)
    add_pod(cluster, pod("web", metadata={"finalizers": ["example.com/hold"]}))
    result = play(timeout=1, **SELF)
    assert (result["failed"], result["given_back"], cordoned(cluster)) == (True, False, True)
    assert note(cluster)


def test_node_in_the_hands_of_another_run(play: Any, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(holder, "this_run", lambda _pid: holder.Holder("ann", "elsewhere", 7, 1))
        play(**SELF)
    for state in ("drained", "uncordoned"):
        assert "ann@elsewhere (process 7) has it" in play(state=state, **SELF)["msg"]
    assert cordoned(cluster)
    body = {
        "metadata": {"annotations": {mark.ANNOTATION: json.dumps({**json.loads(note(cluster).text()), "until": 0})}}
    }  # type: ignore[union-attr]
    cluster.write("gpu-01", body, "t9k.gpu")
    assert play(**SELF)["node"] == "drained"


def test_jobs_may_finish_and_are_never_evicted(play: Any, cluster: FakeCluster) -> None:
    train = add_pod(cluster, pod("train", None))
    result = play(jobs_selector="app=train", jobs_timeout=1, **SELF)
    assert "the jobs with app=train to finish on gpu-01 within 1 s" in result["msg"]
    assert (cluster.pods(), cordoned(cluster)) == (["train"], False)
    train["status"]["phase"] = "Succeeded"
    assert play(jobs_selector="app=train", jobs_timeout=1, **SELF)["node"] == "drained"
    assert evicted(cluster) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param({"conditions": [{"type": "Ready", "status": "False"}]}, "not Ready", id="not-ready"),
        pytest.param({"allocatable": {"nvidia.com/gpu": "7"}}, "7 of 8 nvidia.com/gpu are allocatable", id="gpu-lost"),
        pytest.param({"nodeInfo": {"bootID": "old"}}, "has not reported since the host booted", id="kubelet-silent"),
    ],
)
def test_node_that_is_not_back_stays_cordoned(
    play: Any, cluster: FakeCluster, change: dict[str, Any], said: str
) -> None:
    play(**SELF)
    status = cluster.node("gpu-01")["status"]
    status.update(
        {key: {**status[key], **value} if isinstance(value, dict) else value for key, value in change.items()}
    )
    result = play(state="uncordoned", timeout=1, **SELF)
    assert said in result["msg"]
    assert cordoned(cluster)
    assert note(cluster)


def test_operand_that_is_not_back_is_named(play: Any, cluster: FakeCluster) -> None:
    found = operand(cluster)
    play(**SELF)
    found["status"]["conditions"] = []
    assert "operand default/plugin-owner has no ready pod" in play(state="uncordoned", timeout=1, **SELF)["msg"]
    assert cordoned(cluster)


def test_two_writers_never_overwrite_each_other(play: Any, cluster: FakeCluster) -> None:
    """Between reading and writing, the kubelet writes the node: the first try is refused and the second one is right."""
    answer, writes = cluster.answer, []

    def heartbeat(method: str, target: str, body: Any) -> Any:
        if method == "PATCH":
            writes.append(target)
            if len(writes) == 1:
                cluster.put(f"{NODES}/gpu-01", cluster.node("gpu-01"))
        return answer(method, target, body)

    cluster.answer = heartbeat  # type: ignore[method-assign]
    play(**SELF)
    assert cordoned(cluster)
    assert len(writes) >= 2


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
