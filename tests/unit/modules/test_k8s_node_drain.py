"""The module against a test double of the API server: set, check, again, refuse, and what a failure leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from drained_node import PLUGIN, SELF, cordoned
from fake_cluster import NODES, FakeCluster, add_budget, add_pod, pod

from ansible_collections.t9k.gpu.plugins.module_utils._drain import gate, holder, mark

PAUSED = "paused-for-driver-upgrade"


def operand(cluster: FakeCluster, name: str = "plugin") -> dict[str, Any]:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    return add_pod(cluster, pod(name, "DaemonSet", spec={"nodeSelector": {PLUGIN: "true"}}, status=ready))


def note(cluster: FakeCluster) -> mark.Mark | None:
    return mark.of(cluster.node("gpu-01"))


def evicted(cluster: FakeCluster) -> list[str]:
    return [path for method, path, _body in cluster.log if method == "POST" and "dryRun" not in path]


OTHER = {"key": "nvidia.com/gpu", "effect": "NoSchedule"}


def unproven(cluster: FakeCluster) -> None:
    cluster.write("gpu-01", {"spec": {"taints": [{"key": gate.TAINT, "effect": "NoSchedule"}, OTHER]}}, "kubelet")


def taints(cluster: FakeCluster) -> list[str]:
    return [taint["key"] for taint in cluster.node("gpu-01")["spec"].get("taints") or []]


def test_a_new_node_opens_with_its_proof_and_not_before(play: Any, cluster: FakeCluster) -> None:
    unproven(cluster)
    play(**SELF)
    assert taints(cluster) == [gate.TAINT, "nvidia.com/gpu"]
    back = play(state="uncordoned", proven=True, **SELF)
    assert (back["node"], back["was_unproven"], cordoned(cluster)) == ("takes pods", True, False)
    assert taints(cluster) == ["nvidia.com/gpu"]


def test_a_new_node_that_needs_no_drain(play: Any, cluster: FakeCluster) -> None:
    unproven(cluster)
    looked = play(state="uncordoned", proven=True, check=True, **SELF)
    assert (looked["changed"], looked["node"], looked["was_unproven"]) == (True, "would be let in again", True)
    left = play(state="uncordoned", **SELF)  # behind no proof
    assert (left["changed"], taints(cluster)) == (False, [gate.TAINT, "nvidia.com/gpu"])
    assert play(state="uncordoned", proven=True, **SELF)["changed"] is True
    assert taints(cluster) == ["nvidia.com/gpu"]
    assert play(state="uncordoned", proven=True, **SELF)["changed"] is False


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"boot_id": "another", "machine_id": "another"}, "the node of the host with boot id another"),
        ({"boot_id": "next", "timeout": 0}, "has not reported since the host booted"),
    ],
)
def test_a_new_node_that_is_not_ours_or_not_back_stays_shut(
    play: Any, cluster: FakeCluster, change: dict[str, Any], words: str
) -> None:
    unproven(cluster)
    assert words in play(state="uncordoned", proven=True, **{**SELF, **change})["msg"]
    assert gate.TAINT in taints(cluster)


def test_a_failed_drain_leaves_a_new_node_shut(play: Any, cluster: FakeCluster) -> None:
    unproven(cluster)
    add_pod(cluster, pod("stuck", metadata={"finalizers": ["x/y"]}))
    assert play(timeout=0, **SELF)["given_back"] is True
    assert (gate.TAINT in taints(cluster), cordoned(cluster)) == (True, False)


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
    assert (again["changed"], again["since"]) == (False, first["since"])  # pods lost it then
    found = note(cluster)
    assert found
    assert (found.gpus, found.paused, found.operands) == (
        {"nvidia.com/gpu": 8},
        {PLUGIN: "true"},
        ("default/plugin-owner",),
    )

    back = play(state="uncordoned", **SELF)
    assert (back["changed"], back["node"], 0 <= back["away_s"] < 60) == (True, "takes pods", True)
    assert (cordoned(cluster), note(cluster), cluster.labels("gpu-01")[PLUGIN]) == (False, None, "true")
    assert cluster.pods() == ["log", "plugin"]
    once_more = play(state="uncordoned", **SELF)
    assert (once_more["changed"], once_more["away_s"]) == (False, None)


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
