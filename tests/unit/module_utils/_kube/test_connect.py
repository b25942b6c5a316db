"""Requests, retries and faults, against a local test double of the API server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml
from fake_api import FakeApi, status

from ansible_collections.t9k.gpu.plugins.module_utils._kube import connect as kube_connect
from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault

NODE = "/api/v1/nodes/a"
CONFLICT = (409, {}, status(409, "Conflict", "the object has been modified"))
OWNED = (409, {}, status(409, "Conflict", "helm", details={"causes": [{"reason": "FieldManagerConflict"}]}))
BUSY = (429, {"Retry-After": "3"}, status(429, "TooManyRequests", "please try again later"))
BROKEN = (500, {}, status(500, "InternalError", "etcdserver: request timed out"))


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    server = FakeApi()
    server.nodes({"a": {"k": "v"}, "b": {}, "c": {}})
    yield server
    server.close()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def api(fake: FakeApi, pauses: list[float]) -> kube_connect.Api:
    return kube_connect.Api(urllib3.PoolManager(), fake.url, lambda: {"X": "y"}, timeout_s=0.3, sleep=pauses.append)


def test_list_is_one_request(api: kube_connect.Api, fake: FakeApi) -> None:
    assert [node["metadata"]["name"] for node in api.list("/api/v1/nodes")] == ["a", "b", "c"]
    assert (api.requests, fake.methods()) == (1, ["GET"])


def test_an_empty_list_may_be_null(api: kube_connect.Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """As kube-apiserver answers for CustomResourceDefinitions when there are none."""
    monkeypatch.setattr(api, "get", lambda *_arguments: {"items": None, "metadata": {}})
    assert api.list("/apis/apiextensions.k8s.io/v1/customresourcedefinitions") == []


def test_list_in_pages(api: kube_connect.Api, fake: FakeApi) -> None:
    assert len(api.list("/api/v1/nodes", limit=2)) == 3
    assert [path for _m, path, _b in fake.log] == ["/api/v1/nodes?limit=2", "/api/v1/nodes?limit=2&continue=2"]


def test_metadata_only_asks_for_metadata(api: kube_connect.Api, fake: FakeApi) -> None:
    api.list("/api/v1/nodes", metadata_only=True)
    assert "as=PartialObjectMetadataList" in fake.headers[0]["Accept"]
    assert fake.headers[0]["X"] == "y"


def test_patch_apply_delete(api: kube_connect.Api, fake: FakeApi) -> None:
    assert api.merge_patch(NODE, {"metadata": {"labels": {"k": None, "n": "1"}}})["metadata"]["labels"] == {"n": "1"}
    api.apply("/api/v1/namespaces/x/configmaps/c", {"data": {"a": "b"}}, dry_run=True)
    assert fake.log[-1][1].endswith("?fieldManager=t9k.gpu&force=true&dryRun=All")
    assert fake.headers[-1]["Content-Type"] == "application/apply-patch+yaml"
    assert (api.delete(NODE), api.delete(NODE), api.get_or_none(NODE)) == (True, False, None)


@pytest.mark.parametrize(
    ("faults", "slept"),
    [
        pytest.param([CONFLICT], 1, id="conflict"),
        pytest.param([BUSY, BUSY], 2, id="too-many-requests"),
        pytest.param([BROKEN], 1, id="internal-error"),
        pytest.param([(503, {}, b"<html>")], 1, id="no-status-object"),
        pytest.param([("drop", 0)], 1, id="connection-broken"),
    ],
)
def test_passing_faults_are_tried_again(
    api: kube_connect.Api, fake: FakeApi, pauses: list[float], faults: list[Any], slept: int
) -> None:
    fake.faults = list(faults)
    api.merge_patch(NODE, {"metadata": {"labels": {"k": "w"}}})
    assert fake.labels("a") == {"k": "w"}
    assert (len(pauses), api.requests) == (slept, slept + 1)
    if faults[0] is BUSY:
        assert pauses == [3.0, 3.0]


def test_pauses_grow() -> None:
    retry = kube_connect.Retry()
    assert [0.75 * 0.25 * 2**n <= retry.pause_s(n + 1, None) <= 1.25 * 0.25 * 2**n for n in range(5)] == [True] * 5
    assert retry.pause_s(1, "600") == 30.0


def test_gives_up_after_its_attempts(api: kube_connect.Api, fake: FakeApi, pauses: list[float]) -> None:
    fake.faults = [BUSY] * 20
    with pytest.raises(ApiFault) as caught:
        api.get(NODE)
    assert (api.requests, len(pauses), caught.value.status) == (6, 5, 429)
    assert "HTTP 429 TooManyRequests after 6 attempts: please try again later" in caught.value.found
    assert "lower the concurrency" in caught.value.next_step


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        pytest.param("apply", OWNED, id="field-owned-by-another"),
        pytest.param("create", (409, {}, status(409, "AlreadyExists", "exists")), id="already-there"),
        pytest.param("create", BROKEN, id="creation-may-have-happened"),
        pytest.param("get", (401, {}, status(401, "Unauthorized", "Unauthorized")), id="credentials"),
        pytest.param("apply", (422, {}, status(422, "Invalid", "data: too long")), id="invalid"),
    ],
)
def test_lasting_faults_are_not_tried_again(api: kube_connect.Api, fake: FakeApi, method: str, fault: Any) -> None:
    fake.faults = [fault]
    with pytest.raises(ApiFault) as caught:
        getattr(api, method)(NODE, *([] if method == "get" else [{}]))
    assert (api.requests, caught.value.status) == (1, fault[0])


def test_forbidden_names_who_may_not_do_what(api: kube_connect.Api, fake: FakeApi) -> None:
    message = (
        'nodes "a" is forbidden: User "system:serviceaccount:x:y" cannot patch resource "nodes" in API group "" at the '
        "cluster scope"
    )
    fake.faults = [(403, {}, status(403, "Forbidden", message))]
    with pytest.raises(ApiFault) as caught:
        api.get(NODE)
    assert caught.value.forbidden
    assert "grant the verb 'patch' on 'nodes' to 'system:serviceaccount:x:y'" in str(caught.value)


def test_timeout_is_reported_soon_before_the_first_answer(api: kube_connect.Api, fake: FakeApi) -> None:
    fake.faults = [("hang", 0.6)] * 9
    with pytest.raises(ApiFault, match="no answer in time after 2 attempts"):
        api.get(NODE)


def test_server_that_goes_down_in_the_middle(api: kube_connect.Api, fake: FakeApi, pauses: list[float]) -> None:
    api.get(NODE)
    fake.faults = [("drop", 0)] * 20
    with pytest.raises(ApiFault, match="the connection broke after 6 attempts"):
        api.get(NODE)
    assert len(pauses) == 5


def test_nothing_listens(api: kube_connect.Api, fake: FakeApi) -> None:
    fake.close()
    with pytest.raises(ApiFault, match=r"nothing listens there after 2 attempts.*check that the API server runs"):
        api.get(NODE)


def test_tls_is_not_tried_again(fake: FakeApi, pauses: list[float]) -> None:
    """Plain HTTP answers a TLS handshake."""
    url = fake.url.replace("http:", "https:")
    api = kube_connect.Api(urllib3.PoolManager(), url, dict, timeout_s=0.5, sleep=pauses.append)
    with pytest.raises(ApiFault, match=r"TLS handshake failed.*certificate authority"):
        api.get(NODE)
    assert pauses == []


def test_in_parallel_is_bounded_and_stops() -> None:
    done: list[int] = []

    def work(number: int) -> int:
        if number == 2:
            raise ValueError("two")
        time.sleep(0.02)
        done.append(number)
        return number * 10

    assert kube_connect.in_parallel(work, [1, 3], 2) == [10, 30]
    with pytest.raises(ValueError, match="two"):
        kube_connect.in_parallel(work, range(2, 100), 2)
    assert len(done) < 10


def kubeconfig(path: Path, server: str) -> str:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "file-token"}}],
    }
    path.write_text(yaml.safe_dump(document))
    return str(path)


@pytest.mark.parametrize(("extra", "token"), [({}, "file-token"), ({"api_key": "given"}, "given")])
def test_connect_with_a_kubeconfig(fake: FakeApi, tmp_path: Path, extra: dict[str, str], token: str) -> None:
    api = kube_connect.connect({"kubeconfig": kubeconfig(tmp_path / "config", fake.url), **extra})
    assert api.get(NODE)["metadata"]["name"] == "a"
    sent = {name.lower(): value for name, value in fake.headers[0].items()}
    assert (sent["authorization"], sent["user-agent"]) == (f"Bearer {token}", "t9k.gpu")


@pytest.mark.parametrize(("known", "answers"), [(False, False), (True, True)])
def test_a_server_that_has_answered_before_is_asked_longer(
    fake: FakeApi, monkeypatch: pytest.MonkeyPatch, known: bool, answers: bool
) -> None:
    monkeypatch.setattr(kube_connect.Retry, "pause_s", lambda *_arguments: 0.0)
    fake.faults = [("drop", 0)] * 3
    api = kube_connect.connect({"host": fake.url, "api_key": "t"}, known=known)
    try:
        assert bool(api.get(NODE)) is answers
    except ApiFault:
        assert not answers


def test_connect_with_host_only(fake: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert kube_connect.connect({"host": fake.url, "api_key": "t"}).get(NODE)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"kubeconfig": "{tmp}/absent"}, "absent"),
        ({"kubeconfig": "{tmp}/config", "context": "two"}, "two"),
        ({}, "no ServiceAccount of a pod"),
    ],
)
def test_connect_without_a_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, params: dict[str, str], said: str
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    kubeconfig(tmp_path / "config", "http://x")
    with pytest.raises(ApiFault, match=r"Wanted: (how to reach the Kubernetes API|context two)") as caught:
        kube_connect.connect({key: value.format(tmp=tmp_path) for key, value in params.items()})
    assert said in str(caught.value)
