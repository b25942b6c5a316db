"""The API server that the tests of ``k8s_node_drain`` speak to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from drained_node import PLUGIN
from fake_api import player
from fake_cluster import FakeCluster

from ansible_collections.t9k.gpu.plugins.module_utils._drain import deadline, evict
from ansible_collections.t9k.gpu.plugins.modules import k8s_node_drain


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
