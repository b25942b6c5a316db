"""The module against a test double of the API server: set, check, again, refuse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from fake_api import FakeApi, player, status

from ansible_collections.t9k.gpu.plugins.modules import gpu_sharing_config

MAP = "/api/v1/namespaces/gpu-operator/configmaps/time-slicing-config"
DAEMONSETS = "/apis/apps/v1/namespaces/gpu-operator/daemonsets"
PODS = "/api/v1/namespaces/gpu-operator/pods"
PENDING = "gpu.t9k.io/restart-pending"
FOUR = {"common": {"mode": "time_slicing", "replicas": 4}}
TWO = {"common": {"mode": "time_slicing", "replicas": 2}}


@pytest.fixture
def fake() -> Iterator[FakeApi]:
    server = Kubelets()
    yield server
    server.close()


@pytest.fixture
def play(fake: FakeApi, monkeypatch: pytest.MonkeyPatch) -> Any:
    return player(gpu_sharing_config, fake, monkeypatch)


class Kubelets(FakeApi):
    """A pod of a DaemonSet that is deleted has a successor at once."""

    def answer(self, method: str, target: str, body: Any) -> Any:
        answer = super().answer(method, target, body)
        if method == "DELETE" and target.startswith(PODS):
            add_pod(self, "plugin", "gpu-1", "plugin-new")
        return answer


def add_daemonset(fake: FakeApi, name: str, config_map: str | None) -> None:
    volumes = [{"name": "config", "configMap": {"name": config_map}}] if config_map else []
    template = {"metadata": {}, "spec": {"volumes": volumes}}
    fake.objects[f"{DAEMONSETS}/{name}"] = {"metadata": {"name": name}, "spec": {"template": template}}
    add_pod(fake, name, "gpu-1", f"{name}-old")
    fake.nodes({"gpu-1": {"nvidia.com/device-plugin.config": "common"}, "gpu-2": {}})
    add_pod(fake, name, "gpu-2", f"{name}-other")


def add_pod(fake: FakeApi, owner: str, node: str, name: str) -> None:
    metadata = {"name": name, "ownerReferences": [{"kind": "DaemonSet", "name": owner}]}
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    fake.objects[f"{PODS}/{name}"] = {"metadata": metadata, "spec": {"nodeName": node}, "status": ready}


def restarted(fake: FakeApi) -> bool:
    """The pod of the node that uses the config is another one; any other pod is the same."""
    others = {"plugin-other"} <= {path.rpartition("/")[2] for path in fake.objects}
    return f"{PODS}/plugin-new" in fake.objects and f"{PODS}/plugin-old" not in fake.objects and others


def test_set_then_again(play: Any, fake: FakeApi) -> None:
    first = play(configs=FOUR)
    assert (first["changed"], first["restarted"]) == (True, [])
    assert first["configs"]["common"]["strategy"] == "time-slicing"
    assert first["configs"]["common"]["per_gpu"] == {"nvidia.com/gpu.shared": 4}
    assert yaml.safe_load(fake.objects[MAP]["data"]["common"]) == first["configs"]["common"]["document"]
    fake.log.clear()
    again = play(configs=FOUR)
    assert (again["changed"], again["requests"], fake.methods()) == (False, 1, ["GET"])


def test_change_restarts_what_mounts_the_map(play: Any, fake: FakeApi) -> None:
    play(configs=FOUR)
    add_daemonset(fake, "plugin", "time-slicing-config")
    add_daemonset(fake, "dcgm", None)
    result = play(configs=TWO)
    assert (result["changed"], result["restarted"]) == (True, ["plugin"])
    assert result["nodes"] == ["gpu-1"] and restarted(fake)
    assert f"{PODS}/dcgm-old" in fake.objects
    assert PENDING not in fake.objects[MAP]["metadata"]["annotations"]
    assert "replicas: 4" in result["diff"]["before"]
    assert "replicas: 2" in result["diff"]["after"]
    assert play(configs=TWO)["changed"] is False


def test_config_no_longer_wanted_goes(play: Any, fake: FakeApi) -> None:
    play(configs={**FOUR, "old": {"mode": "none"}})
    play(configs=FOUR)
    assert list(fake.objects[MAP]["data"]) == ["common"]


def test_check_mode_writes_nothing(play: Any, fake: FakeApi) -> None:
    assert play(check=True, configs=FOUR)["changed"] is True
    play(configs=FOUR)
    add_daemonset(fake, "plugin", "time-slicing-config")
    fake.log.clear()
    result = play(check=True, configs=TWO)
    assert (result["changed"], result["restarted"]) == (True, ["plugin"])
    assert set(fake.methods()) == {"GET"}
    assert play(check=True, state="absent").get("failed")


def test_run_that_broke_off_before_the_restart_is_repaired(play: Any, fake: FakeApi) -> None:
    play(configs=FOUR)
    add_daemonset(fake, "plugin", "time-slicing-config")
    forbidden = (403, {}, status(403, "Forbidden", 'User "u" cannot delete resource "pods" in API group ""'))
    fake.faults = [None] * 6 + [forbidden]  # the map, DaemonSets, policies, nodes, pods, the map changes, the restart
    assert "grant the verb 'delete' on 'pods' to 'u'" in play(configs=TWO)["msg"]
    assert not restarted(fake)
    repaired = play(configs=TWO)
    assert (repaired["changed"], repaired["restarted"]) == (True, ["plugin"])
    assert restarted(fake)
    assert play(configs=TWO)["changed"] is False


def test_absent(play: Any, fake: FakeApi) -> None:
    play(configs=FOUR)
    add_daemonset(fake, "plugin", "time-slicing-config")
    assert "still mounted by plugin" in play(state="absent")["msg"]
    del fake.objects[f"{DAEMONSETS}/plugin"]
    assert play(check=True, state="absent")["changed"] is True
    assert MAP in fake.objects
    assert play(state="absent")["changed"] is True
    assert MAP not in fake.objects
    assert play(state="absent")["changed"] is False


@pytest.mark.parametrize(
    ("configs", "said"),
    [
        ({"common": {"mode": "time_slicing", "replicas": 0}}, "common.replicas: must be a whole number"),
        (
            {"common": {"raw": {"flags": {"renameByDefault": True}}}},
            "common.flags.renameByDefault: belongs to sharing.timeSlicing.renameByDefault",
        ),
    ],
)
def test_wrong_configs_are_refused_before_any_request(play: Any, fake: FakeApi, configs: Any, said: str) -> None:
    assert said in play(configs=configs)["msg"]
    assert fake.log == []


def test_namespace_that_is_not_there(play: Any, fake: FakeApi) -> None:
    fake.faults = [None, None, (404, {}, status(404, "NotFound", 'namespaces "gpu-operator" not found'))]
    assert 'namespaces "gpu-operator" not found' in play(configs=FOUR)["msg"]
