"""The module's loop: ready at once, ready later, never; and the error that says what blocks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import operator_cluster as cluster
import pytest
from fake_api import FakeApi, player, status
from operator_api import APPS, SPACE, Cluster, fill

from ansible_collections.t9k.gpu.plugins.modules import gpu_operator_readiness

PLUGIN = "nvidia-device-plugin-daemonset"


@pytest.fixture
def fake() -> Iterator[Cluster]:
    server = Cluster()
    fill(server)
    yield server
    server.close()


@pytest.fixture
def play(fake: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Any:
    return player(gpu_operator_readiness, fake, monkeypatch)


def test_ready(play: Any, fake: Cluster) -> None:
    found = play()
    assert (found["ready"], found["waiting"], found["changed"]) == (True, [], False)
    assert fake.methods() == ["GET"] * 5


def test_ready_later(play: Any, fake: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.put(f"{APPS}/daemonsets", cluster.daemonset(PLUGIN, 2, available=0))
    clock = SimpleNamespace(
        sleep=lambda _s: fake.put(f"{APPS}/daemonsets", cluster.daemonset(PLUGIN, 2)), monotonic=time.monotonic
    )
    monkeypatch.setattr(gpu_operator_readiness, "time", clock)
    assert play(timeout=60)["ready"] is True
    assert len(fake.log) == 10


def test_a_failed_mig_configuration_ends_the_waiting_at_once(play: Any, fake: Cluster) -> None:
    failed = {"nvidia.com/mig.config": "all-1g.5gb", "nvidia.com/mig.config.state": "failed"}
    fake.put("/api/v1/nodes", cluster.node("gpu-1", 2, **failed))
    found = play(timeout=600, expect={"mig": {"gpu-1": "all-1g.5gb"}}, fail_on_timeout=False)
    assert found["failed"] and "state failed" in found["msg"]


def test_never(play: Any, fake: Cluster) -> None:
    fake.put(f"{APPS}/daemonsets", cluster.daemonset(PLUGIN, 2, available=0))
    broken = {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    pod = {"metadata": {"name": "plugin-x"}, "spec": {"nodeName": "gpu-1"}, "status": {"containerStatuses": [broken]}}
    fake.put(f"{SPACE}/pods", pod)
    event = {"type": "Warning", "reason": "Failed", "message": "pull", "lastTimestamp": "2026-01-01T00:00:00Z"}
    fake.put(
        f"{SPACE}/events", {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "plugin-x"}, **event}
    )
    message = play(timeout=0)["msg"]
    for part in (f"DaemonSet {PLUGIN}: wants 2 pods available, has 0", "Pod plugin-x on gpu-1: container c "
                 "ImagePullBackOff: no such image", "Pod plugin-x: Failed: pull", "within 0 s"):  # fmt: skip
        assert part in message


def test_a_timeout_need_not_be_an_error(play: Any, fake: Cluster) -> None:
    fake.put(f"{APPS}/daemonsets", cluster.daemonset(PLUGIN, 2, available=0))
    found = play(timeout=0, fail_on_timeout=False)
    assert (found["ready"], found["summary"]) == (False, [f"DaemonSet {PLUGIN}: wants 2 pods available, has 0"])


def test_absent_waits_until_all_is_gone(play: Any, fake: Cluster) -> None:
    assert "ClusterPolicy cluster-policy: wants to be gone" in play(state="absent", timeout=0)["msg"]
    for path in [path for path in fake.objects if "clusterpolicies" in path or "daemonsets" in path]:
        del fake.objects[path]
    assert play(state="absent")["ready"] is True


def test_refused_reads_are_an_error_at_once(play: Any, fake: Cluster) -> None:
    fake.faults = [(403, {}, status(403, "Forbidden", 'User "bob" cannot list resource "nodes"'))]
    assert "docs/rbac.md" in play(timeout=600)["msg"]


def test_sharing_is_proven(play: Any) -> None:
    document = {"sharing": {"timeSlicing": {"renameByDefault": True,
                                            "resources": [{"name": "nvidia.com/gpu", "replicas": 4}]}}}  # fmt: skip
    found = play(expect={"nfd": True, "configs": {"x": document}, "sharing": {"gpu-1": "x"}}, timeout=0)
    assert "Node gpu-1: wants 8 nvidia.com/gpu.shared from 2 GPUs, has 0" in found["msg"]


def test_the_nodes_are_read_only_where_they_decide(play: Any, fake: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the plugin's pods are missing, ten looks ask for one list of nodes; the last word needs a fresh one."""
    fake.put(f"{APPS}/daemonsets", cluster.daemonset(PLUGIN, 2, available=0))
    looks = []

    def sleep(_s: float) -> None:
        looks.append(1)
        if len(looks) == 10:
            fake.put(f"{APPS}/daemonsets", cluster.daemonset(PLUGIN, 2))

    monkeypatch.setattr(gpu_operator_readiness, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: 0.0))
    assert play(timeout=60)["ready"] is True
    asked = [path.partition("?")[0] for _method, path, _body in fake.log]
    assert (asked.count("/api/v1/nodes"), asked.count(f"{APPS}/daemonsets")) == (2, 11)


def test_few_nodes_are_asked_one_by_one(play: Any, fake: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.put("/api/v1/nodes", cluster.node("gpu-1", 2, {}))
    told = SimpleNamespace(sleep=lambda _s: fake.put("/api/v1/nodes", cluster.node("gpu-1", 2)), monotonic=lambda: 0.0)
    monkeypatch.setattr(gpu_operator_readiness, "time", told)
    assert play(timeout=60)["ready"] is True
    asked = [path.partition("?")[0] for _method, path, _body in fake.log]
    assert (asked.count("/api/v1/nodes"), asked.count("/api/v1/nodes/gpu-1")) == (2, 1)
