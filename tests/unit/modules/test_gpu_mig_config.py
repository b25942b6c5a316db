"""The module against a test double of the API server and of the MIG manager, which fails where it is not left alone with the GPUs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from drained_node import PLUGIN
from fake_api import Answer, player
from fake_cluster import FakeCluster, add_budget, add_pod, pod

from ansible_collections.t9k.gpu.plugins.module_utils._drain import deadline, evict, mark
from ansible_collections.t9k.gpu.plugins.module_utils._drain.pods import uses_gpu
from ansible_collections.t9k.gpu.plugins.modules import gpu_mig_config

CONFIG, STATE = "nvidia.com/mig.config", "nvidia.com/mig.config.state"
LABELS = {CONFIG: "all-1g.5gb", STATE: None}
GPU = {"containers": [{"name": "main", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}


class Managed(FakeCluster):
    """Its MIG manager answers a new configuration at once. NVIDIA's documentation ("GPU Operator with MIG", Architecture): no work of
    users may be on the GPUs. ``says``: what it ends with where it could work; "": it is not there."""

    says = "success"

    def write(self, name: str, body: dict[str, Any], manager: str) -> Answer:
        answer = super().write(name, body, manager)
        if answer[0] == 200 and CONFIG in (body["metadata"].get("labels") or {}) and self.says:
            held = [
                p
                for p in self.objects.values()
                if p.get("kind") == "Pod" and p["spec"]["nodeName"] == name and uses_gpu(p)
            ]
            free = self.node(name)["spec"].get("unschedulable") and self.labels(name)[PLUGIN] == "true" and not held
            offers = {"allocatable": {"nvidia.com/gpu": "0", "nvidia.com/mig-1g.5gb": "14"}}
            super().write(
                name, {"metadata": {"labels": {STATE: self.says if free else "failed"}}, "status": offers}, "mig"
            )
        return answer


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Managed]:
    monkeypatch.setattr(deadline, "POLL_S", 0.01)
    monkeypatch.setattr(evict, "ASK_AGAIN_S", 0.02)
    server = Managed()
    for name in ("gpu-01", "gpu-02", "gpu-03"):
        server.add_node(name, gpus=2, **{PLUGIN: "true", STATE: "success"})
    yield server
    server.close()


@pytest.fixture
def play(cluster: Managed, monkeypatch: pytest.MonkeyPatch) -> Any:
    return player(gpu_mig_config, cluster, monkeypatch)


def state(cluster: Managed, name: str = "gpu-01") -> tuple[bool, str | None, str | None]:
    """Cordoned; configuration; what the manager says."""
    labels = cluster.labels(name)
    return bool(cluster.node(name)["spec"].get("unschedulable")), labels.get(CONFIG), labels.get(STATE)


DONE = (False, "all-1g.5gb", "success")
AS_BEFORE = (False, None, "success")


def test_pods_go_the_manager_works_and_pods_may_come_again(play: Any, cluster: Managed) -> None:
    add_pod(cluster, pod("train", spec=GPU))
    add_pod(cluster, pod("web"))
    add_pod(cluster, pod("plugin", "DaemonSet", spec={"nodeSelector": {PLUGIN: "true"}}))
    looked = play(check=True, nodes={"gpu-01": LABELS})
    assert (looked["pods"], looked["changed"], state(cluster)) == ({"gpu-01": ["default/train"]}, True, AS_BEFORE)
    assert play(nodes={"gpu-01": LABELS})["pods"] == {"gpu-01": ["default/train"]}
    assert state(cluster) == DONE
    assert cluster.pods() == ["plugin", "web"]  # what holds no GPU stays, and what is the manager's matter
    assert mark.of(cluster.node("gpu-01")) is None  # it offers other resources than before, and is back even so


@pytest.mark.parametrize(("budget", "most"), [("2", {1, 2}), ("34%", {1}), ("", {1, 2, 3})])
def test_many_keep_the_budget(play: Any, cluster: Managed, budget: str, most: set[int]) -> None:
    names = ("gpu-01", "gpu-02", "gpu-03")
    cordons: list[set[str]] = []
    write = cluster.write

    def counted(name: str, body: dict[str, Any], manager: str) -> Answer:
        answer = write(name, body, manager)
        cordons.append({each for each in names if cluster.node(each)["spec"].get("unschedulable")})
        return answer

    cluster.write = counted  # type: ignore[method-assign]
    play(nodes=dict.fromkeys(names, LABELS), max_unavailable=budget)
    assert [state(cluster, name) for name in names] == [DONE] * 3
    assert max(map(len, cordons)) in most


@pytest.mark.parametrize("case", ["nobody would make it again", "a budget allows no eviction", "it does not end"])
def test_a_node_that_cannot_be_emptied_is_as_it_was(play: Any, cluster: Managed, case: str) -> None:
    add_pod(cluster, pod("other", node="gpu-02", spec=GPU))
    if case == "nobody would make it again":
        add_pod(cluster, pod("train", None, spec=GPU))
    elif case == "it does not end":
        add_pod(cluster, pod("train", spec=GPU, metadata={"finalizers": ["x/y"]}))
    else:
        add_pod(cluster, pod("train", spec=GPU))
        add_budget(cluster, "hold", "train", 0, maxUnavailable=0)
    failed = play(nodes={"gpu-01": LABELS, "gpu-02": LABELS}, timeout=0)
    assert failed["failed"] and "default/train" in failed["msg"]
    assert (state(cluster), state(cluster, "gpu-02")) == (AS_BEFORE, AS_BEFORE)  # and none is begun after it


@pytest.mark.parametrize(("says", "told"), [("failed", "state failed"), ("", "state none after 0 s")])
def test_without_success_the_node_stays_shut_and_the_next_run_goes_on(
    play: Any, cluster: Managed, says: str, told: str
) -> None:
    cluster.says = says
    failed = play(nodes={"gpu-01": LABELS}, manager_timeout=0)
    assert told in failed["msg"] and "gpu-01 stays cordoned" in failed["msg"]
    assert state(cluster) == (True, "all-1g.5gb", says or None)
    assert "gpu.t9k.io/failed" in cluster.node("gpu-01")["metadata"]["annotations"]
    cluster.says = "success"
    play(nodes={"gpu-01": {CONFIG: "all-2g.10gb", STATE: None}})
    assert state(cluster) == (False, "all-2g.10gb", "success")
    assert "gpu.t9k.io/failed" not in cluster.node("gpu-01")["metadata"]["annotations"]


def test_a_run_that_broke_off_is_only_waited_for(play: Any, cluster: Managed) -> None:
    cluster.says = ""
    play(nodes={"gpu-01": LABELS}, manager_timeout=0)
    cluster.write("gpu-01", {"metadata": {"labels": {STATE: "success"}}}, "mig")
    play(nodes={"gpu-01": {}})
    assert state(cluster) == DONE


def test_a_node_in_the_middle_of_a_change_of_its_driver_is_left_alone(play: Any, cluster: Managed) -> None:
    left = mark.Mark(mark.Holder("u", "elsewhere", 0, 0), "a new driver", 0, 0)
    body = {"metadata": {"annotations": {mark.ANNOTATION: left.text()}}, "spec": {"unschedulable": True}}
    cluster.write("gpu-01", body, "t9k.gpu")
    assert "(a new driver)" in play(nodes={"gpu-01": LABELS})["msg"]
    assert state(cluster) == (True, None, "success")
