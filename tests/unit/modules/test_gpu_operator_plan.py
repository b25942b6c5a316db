"""The module against a test double of the API server: fresh, again, check mode, refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import operator_cluster as cluster
import pytest
from fake_api import player, status
from fake_cluster import pod
from operator_api import Cluster, fill

from ansible_collections.t9k.gpu.plugins.module_utils._command import NOT_FOUND, Result
from ansible_collections.t9k.gpu.plugins.modules import gpu_operator_plan


@pytest.fixture
def fake() -> Iterator[Cluster]:
    server = Cluster()
    server.objects["/version"] = {"gitVersion": "v1.36.2"}
    server.put("/api/v1/nodes", cluster.node("gpu-1", 2))
    server.put("/api/v1/namespaces", {"metadata": {"name": "kube-system", "uid": "u-1"}})
    yield server
    server.close()


@pytest.fixture
def play(fake: Cluster, monkeypatch: pytest.MonkeyPatch) -> Any:
    helm = Result(("helm",), 0, "v3.17.3\n", "")
    monkeypatch.setattr(gpu_operator_plan, "runner", lambda _module: lambda *_a, **_k: helm)
    run = player(gpu_operator_plan, fake, monkeypatch)
    options = {key: value for key, value in cluster.params().items() if value not in ({}, [], "")}
    return lambda **more: run(**{**options, **more})


def test_fresh_cluster(play: Any, fake: Cluster) -> None:
    found = play()
    assert [step["name"] for step in found["steps"]] == ["chart", "namespace", "record", "crds", "release"]
    assert found["helm"]["pull"][:2] == ["helm", "pull"]
    assert found["changed"] is False
    assert found["cluster_uid"] == "u-1"
    assert set(fake.methods()) == {"GET", "POST"}
    assert all("accessreviews" in path for method, path, _body in fake.log if method == "POST")


def test_finished_cluster_costs_ten_reads(play: Any, fake: Cluster) -> None:
    fill(fake)
    found = play()
    assert (found["steps"], found["waiting"], found["summary"], found["diff"]) == ([], [], [], {})
    assert found["helm"] == {}
    assert fake.methods() == ["GET"] * 10
    assert found["requests"] == 10


def test_check_mode_shows_the_difference(play: Any, fake: Cluster) -> None:
    fill(fake)
    found = play(check=True, driver="operator")
    (name,) = [key for key in json.loads(found["diff"]["after"]) if key.startswith("release")]
    assert name == "release (values differ: driver.enabled)"


def test_refuses_everything_at_once(play: Any, fake: Cluster) -> None:
    fake.faults = [(403, {}, status(403, "Forbidden", 'User "bob" cannot list resource "x"'))]
    found = play(version="v99.1.0", chart="/nowhere")
    assert found["failed"] is True
    assert found["msg"].startswith("3 faults; nothing was changed.\n1. ")
    assert set(fake.methods()) == {"GET"}


OWNER = {"kind": "DaemonSet", "apiVersion": "apps/v1", "name": "log", "controller": True}


def at_work(fake: Cluster, owner: str | None = "ReplicaSet") -> None:
    fill(fake)
    limits = {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]}
    fake.put("/api/v1/pods", pod("job", owner, spec=limits))


def test_partitioning_gpus_that_pods_hold_wants_consent_and_then_a_drain(play: Any, fake: Cluster) -> None:
    at_work(fake)
    asked = {"node_mig": {"gpu-1": "all-1g.5gb"}, "nodes": ["gpu-1"]}
    message = play(**asked)["msg"]
    assert "1 fault; nothing was changed" in message
    assert (
        "GPU pods are evicted" in message
        and "gpu-1 (default/job)" in message
        and "gpu_operator_interrupt: true" in message
    )
    assert any(path.startswith("/api/v1/pods?fieldSelector=spec.nodeName%3Dgpu-1") for _m, path, _b in fake.log)
    steps = {step["name"]: step["data"] for step in play(**asked, interrupt=True)["steps"]}
    assert steps["partition"]["nodes"] == {"gpu-1": {"nvidia.com/mig.config": "all-1g.5gb"}}
    assert "labels" not in steps


def test_a_pod_that_no_drain_could_move_is_told_before_anything_is_changed(play: Any, fake: Cluster) -> None:
    at_work(fake, owner=None)
    asked = {"node_mig": {"gpu-1": "all-1g.5gb"}, "nodes": ["gpu-1"], "interrupt": True}
    assert "default/job (nobody): nothing would make it again" in play(**asked)["msg"]
    assert "partition" in [step["name"] for step in play(**asked, drain={"force": True})["steps"]]


def test_refuses_without_helm(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Result(("helm",), NOT_FOUND, "", "helm: not found")
    monkeypatch.setattr(gpu_operator_plan, "runner", lambda _module: lambda *_a, **_k: missing)
    assert "Wanted: helm 3 or 4" in play()["msg"]


def test_refuses_without_rights(play: Any, fake: Cluster) -> None:
    fake.refused = ("patch",)
    assert "not allowed: patch configmaps" in play()["msg"]


def test_a_finished_cluster_needs_neither_helm_nor_rights(play: Any, fake: Cluster) -> None:
    fill(fake)
    fake.refused = ("create", "patch", "delete")
    assert play()["steps"] == []


def test_daemonsets_that_are_on_all_nodes_are_looked_for_once(play: Any, fake: Cluster) -> None:
    fill(fake)
    for node in ("gpu-1", "gpu-2"):
        fake.put("/api/v1/pods", pod(f"log-{node}", "DaemonSet", metadata={"ownerReferences": [OWNER]}, node=node))
    play(node_mig={"gpu-1": "all-1g.5gb", "gpu-2": "all-1g.5gb"}, nodes=["gpu-1", "gpu-2"])
    assert len([path for _method, path, _body in fake.log if path.endswith("/daemonsets/log")]) == 1
