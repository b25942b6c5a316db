"""The module against a test double of the API server: write, again, check mode, refuse."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_api import FakeApi, player

from ansible_collections.t9k.gpu.plugins.modules import k8s_kubeconfig

SYSTEM = "/api/v1/namespaces/kube-system"


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    server = FakeApi()
    server.objects[SYSTEM] = {"metadata": {"name": "kube-system", "uid": "u-1"}}
    yield server
    server.close()


@pytest.fixture
def play(fake: FakeApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    run = player(k8s_kubeconfig, fake, monkeypatch)
    return lambda **more: run(dest=str(tmp_path / "kubeconfig"), **more)


def test_write_and_again(play: Any, fake: FakeApi, tmp_path: Path) -> None:
    assert play(cluster_uid="u-1") == {"changed": True, "server": fake.url, "cluster_uid": "u-1"}
    dest = tmp_path / "kubeconfig"
    assert stat.S_IMODE(dest.stat().st_mode) == 0o600
    assert json.loads(dest.read_text())["users"][0]["user"] == {"token": "t"}
    assert play(cluster_uid="u-1")["changed"] is False
    assert [path.name for path in tmp_path.iterdir()] == ["kubeconfig"]


def test_check_mode_writes_nothing(play: Any, fake: FakeApi, tmp_path: Path) -> None:
    assert play(check=True) == {"changed": True, "server": fake.url}
    assert not list(tmp_path.iterdir()) and not fake.log


def test_another_cluster_is_refused(play: Any) -> None:
    found = play(cluster_uid="u-2")
    assert found["failed"] and "one with u-1" in found["msg"]
