"""The module's loop: ready at once, ready later, never; and the error that says what blocks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Callable

import operator_cluster as cluster
import pytest
from fake_api import Answer, FakeApi, player, status
from operator_api import APPS, SPACE, Cluster, fill

from ansible_collections.t9k.gpu.plugins.module_utils._operator import watched
from ansible_collections.t9k.gpu.plugins.modules import gpu_operator_readiness

PLUGIN, NODES = "nvidia-device-plugin-daemonset", "/api/v1/nodes"


class Watching(Cluster):
    """``refuses``: how the first watch of the nodes is refused; ``streams``: what the next ones say instead."""

    refuses: tuple[int, str] | None = None

    def __init__(self) -> None:
        self.streams: list[bytes] = []
        super().__init__()

    def answer(self, method: str, target: str, body: Any) -> Answer:
        if "watch=true" in target and self.refuses:
            (code, reason), self.refuses = self.refuses, None
            return code, {}, status(code, reason, "too old, or not allowed")
        if "watch=true" in target and self.streams:
            return 200, {}, self.streams.pop()
        return super().answer(method, target, body)


@pytest.fixture
def fake() -> Iterator[Watching]:
    server = Watching()
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


def asked(fake: Cluster) -> tuple[int, int]:
    """How often the nodes were listed, and how often watched."""
    found = [path for _method, path, _body in fake.log if path.startswith("/api/v1/nodes")]
    watches = [path for path in found if "watch=true" in path]
    return len(found) - len(watches), len(watches)


def until(monkeypatch: pytest.MonkeyPatch, number: int, then: Callable[[], Any]) -> None:
    """Make a clock that stands, and at the pause of this number somebody does something."""
    pauses = []

    def sleep(_s: float) -> None:
        pauses.append(1)
        if len(pauses) == number:
            then()

    monkeypatch.setattr(gpu_operator_readiness, "time", SimpleNamespace(sleep=sleep, monotonic=lambda: 0.0))
    monkeypatch.setattr(watched.Watched.__init__, "__defaults__", (lambda: 0.0,))


CHANGES = [
    (
        "a node offers its GPUs",
        lambda: cluster.node("gpu-1", 2, {}),
        lambda fake: fake.put(NODES, cluster.node("gpu-1", 2)),
    ),
    (
        "a node that had no GPUs goes",
        lambda: cluster.node("gpu-3", 2, {}),
        lambda fake: fake.objects.pop(f"{NODES}/gpu-3"),
    ),
]


@pytest.mark.parametrize(("before", "then"), [row[1:] for row in CHANGES], ids=[row[0] for row in CHANGES])
def test_nodes_are_listed_once_and_then_watched(
    play: Any, fake: Cluster, monkeypatch: pytest.MonkeyPatch, before: Any, then: Any
) -> None:
    fake.put(NODES, before())
    until(monkeypatch, 10, lambda: then(fake))
    assert play(timeout=60)["ready"] is True
    assert asked(fake) == (1, 10)


@pytest.mark.parametrize("expired", [True, False])
def test_without_a_watch_the_nodes_are_listed_again_for_the_last_word(
    play: Any, fake: Cluster, monkeypatch: pytest.MonkeyPatch, expired: bool
) -> None:
    """A version that is too old is listed once more and followed from there; where nobody may watch, the last word needs a list."""
    fake.put(f"{APPS}/daemonsets", cluster.daemonset(PLUGIN, 2, available=0))
    fake.refuses = (410, "Expired") if expired else (403, "Forbidden")
    until(monkeypatch, 3, lambda: fake.put(f"{APPS}/daemonsets", cluster.daemonset(PLUGIN, 2)))
    assert play(timeout=60)["ready"] is True
    assert asked(fake) == ((2, 3) if expired else (2, 1))


def test_what_a_watch_says_is_no_word_of_before(play: Any, fake: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the stream, too, the API server may say that it no longer knows."""
    fake.put(NODES, cluster.node("gpu-1", 2, {}))
    gone = json.dumps({"type": "ERROR", "object": {"kind": "Status", "code": 410}}).encode() + b"\n"
    until(monkeypatch, 1, lambda: (fake.put(NODES, cluster.node("gpu-1", 2)), fake.streams.append(gone)))
    assert play(timeout=60)["ready"] is True
    assert asked(fake) == (2, 1)
