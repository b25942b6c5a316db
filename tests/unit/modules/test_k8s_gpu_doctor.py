"""The module against the double of the API server: it finds, is content with less, and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fake_api import player, status
from fake_cluster import FakeCluster

from ansible_collections.t9k.gpu.plugins.modules import k8s_gpu_doctor

MONITORS = "/apis/monitoring.coreos.com/v1/servicemonitors"
CONFIGS = "/api/v1/namespaces/gpu-operator/configmaps/plugin"
FOUR = (
    "version: v1\nsharing: {timeSlicing: {renameByDefault: true, resources: [{name: nvidia.com/gpu, replicas: 4}]}}\n"
)


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    server = FakeCluster()
    server.add_node("gpu-01", gpus=8, **{"nvidia.com/gpu.present": "true"})
    yield server
    server.close()


@pytest.fixture
def play(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> Any:
    return player(k8s_gpu_doctor, cluster, monkeypatch)


def test_a_cluster_that_is_well(play: Any, cluster: FakeCluster) -> None:
    found = play(gpus={"gpu-01": 8})
    assert (found["changed"], found["findings"], found["errors"], found["table"]) == (False, [], {}, [])
    assert set(cluster.methods()) == {"GET"}


def test_what_is_wrong(play: Any, cluster: FakeCluster) -> None:
    cluster.put(
        "/apis/nvidia.com/v1/clusterpolicies/p",
        {"metadata": {"name": "p"}, "spec": {"devicePlugin": {"config": {"name": "plugin", "default": "four"}}}},
    )
    cluster.put(CONFIGS, {"metadata": {"name": "plugin"}, "data": {"four": FOUR}})
    for name in ("one", "two"):
        spec = {"selector": {"matchLabels": {"app": "nvidia-dcgm-exporter"}}}
        cluster.put(f"{MONITORS}/{name}", {"metadata": {"name": name, "namespace": "m"}, "spec": spec})
    found = play(gpus={"gpu-01": 8})
    assert [(each["node"], each["code"]) for each in found["findings"]] == [
        ("gpu-01", "sharing_not_in_effect"),
        ("", "scraped_twice"),
    ]
    assert found["errors"] == {"gpu-01": 1}


def test_what_may_not_be_read_is_told(play: Any, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = cluster.answer

    def refuse(method: str, target: str, body: Any) -> Any:
        if "servicemonitors" in target:
            said = 'servicemonitors is forbidden: User "u" cannot list resource "servicemonitors" in API group ""'
            return 403, {}, status(403, "Forbidden", said)
        return usual(method, target, body)

    monkeypatch.setattr(cluster, "answer", refuse)
    found = play(gpus={"gpu-01": 8})
    assert [each["code"] for each in found["findings"]] == ["cluster_unreadable"]
    assert "grant the verb 'list' on 'servicemonitors'" in found["table"][0]


def test_a_cluster_that_does_not_answer_is_a_finding(play: Any) -> None:
    found = play(gpus={"gpu-01": 8}, host="http://127.0.0.1:9")
    assert [each["code"] for each in found["findings"]] == ["cluster_unreadable"]
    assert "nothing listens there" in found["table"][0]
