"""The module against a test double of the API server: set, check, again, refuse."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fake_api import FakeApi, player, status

from ansible_collections.t9k.gpu.plugins.modules import k8s_node_labels

SHARE = "nvidia.com/device-plugin.config"
DEPLOY = "nvidia.com/gpu.deploy.operands"


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    server = FakeApi()
    server.nodes({"gpu-01": {"os": "linux", SHARE: "old"}, "gpu-02": {}, "gpu-03": {DEPLOY: "false"}})
    yield server
    server.close()


@pytest.fixture
def play(fake: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Any:
    return player(k8s_node_labels, fake, monkeypatch)


WANTED: dict[str, Any] = {
    "nodes": {"gpu-01": {SHARE: "common"}, "gpu-02": {DEPLOY: False}, "gpu-03": {}},
    "owned_keys": [SHARE, DEPLOY],
}


def test_set_then_again(play: Any, fake: FakeApi) -> None:
    first = play(**WANTED)
    assert first["changed"] is True
    assert first["changed_nodes"] == ["gpu-01", "gpu-02", "gpu-03"]
    assert first["requests"] == 4
    assert fake.labels("gpu-01") == {"os": "linux", SHARE: "common"}
    assert fake.labels("gpu-02") == {DEPLOY: "false"}
    assert fake.labels("gpu-03") == {}

    fake.log.clear()
    again = play(**WANTED)
    assert (again["changed"], again["changed_nodes"], again["requests"]) == (False, [], 1)
    assert fake.methods() == ["GET"]


def test_check_mode_only_lists_and_shows_the_difference(play: Any, fake: FakeApi) -> None:
    result = play(check=True, **WANTED)
    assert result["changed"] is True
    assert fake.methods() == ["GET"]
    assert json.loads(result["diff"]["before"]) == {
        "gpu-01": {SHARE: "old"},
        "gpu-02": {DEPLOY: None},
        "gpu-03": {DEPLOY: "false"},
    }
    assert json.loads(result["diff"]["after"]) == {
        "gpu-01": {SHARE: "common"},
        "gpu-02": {DEPLOY: "false"},
        "gpu-03": {DEPLOY: None},
    }


@pytest.mark.parametrize(
    ("options", "said", "methods"),
    [
        pytest.param({"nodes": {"gpu-04": {"k": "v"}, "gpu-01": {"k": "v"}}}, "near: gpu-0", ["GET"], id="unknown"),
        pytest.param({"nodes": {"gpu-01": {"k": "a b"}}}, "gpu-01: k: value 'a b'", [], id="value"),
        pytest.param({"nodes": {"gpu-01": {}}, "owned_keys": ["a b"]}, "owned_keys: key 'a b'", [], id="owned"),
        pytest.param({"nodes": {"gpu-01": {"k": ["v"]}}}, "a list cannot be a label's value", [], id="list"),
        pytest.param({"nodes": {"gpu-01": None}}, "gpu-01: wants a map", [], id="no-map"),
        pytest.param({"nodes": {}, "concurrency": 0}, "concurrency from 1 to 64", [], id="concurrency"),
    ],
)
def test_refuses_before_any_change(
    play: Any, fake: FakeApi, options: dict[str, Any], said: str, methods: list[str]
) -> None:
    result = play(**options)
    assert result["failed"]
    assert said in result["msg"]
    assert fake.methods() == methods


def test_conflict_and_throttling_are_tried_again(play: Any, fake: FakeApi) -> None:
    fake.faults = [
        (429, {"Retry-After": "1"}, status(429, "TooManyRequests", "later")),
        None,
        (409, {}, status(409, "Conflict", "modified")),
        (429, {}, status(429, "TooManyRequests", "later")),
    ]
    result = play(nodes={"gpu-01": {SHARE: "common"}})
    assert (result["changed"], result["requests"]) == (True, 5)
    assert fake.labels("gpu-01")[SHARE] == "common"


def test_fault_in_the_middle_says_how_far_it_came_and_the_next_run_repairs(play: Any, fake: FakeApi) -> None:
    forbidden = (403, {}, status(403, "Forbidden", 'User "u" cannot patch resource "nodes" in API group ""'))
    fake.faults = [None, None, forbidden]
    result = play(concurrency=1, **WANTED)
    assert "1 of 3 nodes are patched" in result["msg"]
    assert "grant the verb 'patch' on 'nodes' to 'u'" in result["msg"]
    assert play(**WANTED)["changed_nodes"] == ["gpu-02", "gpu-03"]


def test_label_that_a_webhook_puts_back_is_an_error(play: Any, fake: FakeApi) -> None:
    fake.faults = [None, (200, {}, {"metadata": {"name": "gpu-02", "labels": {}}})]
    assert "accepted the patch but not ['k']" in play(nodes={"gpu-02": {"k": "v"}})["msg"]


def test_concurrency_is_used_and_bounded(play: Any, fake: FakeApi) -> None:
    fake.nodes({f"n{i}": {} for i in range(30)})
    fake.meet = threading.Barrier(5)
    result = play(nodes={f"n{i}": {"k": "v"} for i in range(30)}, concurrency=5)
    assert len(result["changed_nodes"]) == 30
    assert fake.most_busy == 5, "five met, and there was no sixth"


def test_thousand_nodes_without_change_are_one_request(play: Any, fake: FakeApi) -> None:
    fake.nodes({f"n{i}": {SHARE: "common"} for i in range(1000)})
    result = play(nodes={f"n{i}": {SHARE: "common"} for i in range(1000)}, owned_keys=[SHARE, DEPLOY])
    assert (result["changed"], result["requests"], fake.methods()) == (False, 1, ["GET"])
