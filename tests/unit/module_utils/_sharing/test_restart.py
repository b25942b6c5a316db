"""Which pods are restarted for which config, how many nodes at a time, and what is waited for."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.configmap import Place
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.restart import Due, batches, restart, users_of

LABEL = "nvidia.com/device-plugin.config"
NODES = [
    {"metadata": {"name": "a", "labels": {LABEL: "common"}}},
    {"metadata": {"name": "b", "labels": {LABEL: "other"}}},
    {"metadata": {"name": "c"}},
]


@pytest.mark.parametrize(
    ("due", "default", "nodes"),
    [
        ({"common"}, "", {"a"}),
        ({"common"}, "common", {"a", "c"}),
        ({"gone"}, "", set()),
        ({"*"}, "", {"a", "b", "c"}),
        (set(), "common", set()),
    ],
)
def test_who_uses_a_config(due: set[str], default: str, nodes: set[str]) -> None:
    assert users_of(NODES, due, default) == nodes


@pytest.mark.parametrize(
    ("count", "share", "sizes"), [(8, "25%", [2, 2, 2, 2]), (3, "25%", [1, 1, 1]), (5, "2", [2, 2, 1]), (0, "25%", [])]
)
def test_batches(count: int, share: str, sizes: list[int]) -> None:
    assert [len(batch) for batch in batches([f"n{i}" for i in range(count)], share)] == sizes


def pod(name: str, node: str, owner: str = "plugin", ready: bool = True) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    owners = [{"kind": "DaemonSet", "name": owner}]
    return {
        "metadata": {"name": name, "ownerReferences": owners},
        "spec": {"nodeName": node},
        "status": {"conditions": conditions},
    }


class Cluster:
    """A DaemonSet's controller: a pod that is deleted has a successor, which is Ready after some looks."""

    def __init__(self, *pods: dict[str, Any], patience: int = 2) -> None:
        self.pods, self.patience, self.young = list(pods), patience, {}  # type: ignore[var-annotated]
        self.deleted: list[str] = []
        self.most_away = 0

    def delete(self, path: str) -> None:
        name = path.rpartition("/")[2]
        (old,) = [each for each in self.pods if each["metadata"]["name"] == name]
        owner = old["metadata"]["ownerReferences"][0]["name"]
        new = pod(f"{name}-new", old["spec"]["nodeName"], owner, ready=False)
        self.pods[self.pods.index(old)] = new
        self.young[new["metadata"]["name"]] = self.patience
        self.deleted.append(name)

    def list(self, _path: str) -> list[dict[str, Any]]:
        away = {each["spec"]["nodeName"] for each in self.pods if each["status"]["conditions"][0]["status"] == "False"}
        self.most_away = max(self.most_away, len(away))
        for each in self.pods:
            name = each["metadata"]["name"]
            if name in self.young:
                self.young[name] -= 1
                each["status"]["conditions"][0]["status"] = str(self.young[name] <= 0)
        return self.pods


def test_only_the_pods_of_those_nodes_go_and_some_nodes_at_a_time() -> None:
    api = Cluster(*(pod(f"p{i}", f"n{i}") for i in range(8)), pod("gfd0", "n0", "gfd"), pod("dcgm0", "n0", "dcgm"))
    due = Due.of(["plugin", "gfd"], api.list(""), {f"n{i}" for i in range(6)})
    restart(api, Place("m", "ns"), due, "34%", 60, lambda _s: None)  # type: ignore[arg-type]
    assert sorted(api.deleted) == ["gfd0", "p0", "p1", "p2", "p3", "p4", "p5"]
    assert api.most_away == 2


def test_a_pod_that_was_not_ready_is_not_waited_for() -> None:
    api = Cluster(pod("p0", "n0", ready=False), pod("p1", "n1"), patience=1)
    api.young["p0-new"] = 10**6
    due = Due.of(["plugin"], api.list(""), {"n0", "n1"})
    assert due.awaited == {"n1": 1}
    restart(api, Place("m", "ns"), due, "100%", 60, lambda _s: None)  # type: ignore[arg-type]
    assert sorted(api.deleted) == ["p0", "p1"]


def test_a_pod_that_does_not_come_back_ends_it_before_the_next_nodes() -> None:
    api = Cluster(pod("p0", "n0"), pod("p1", "n1"), patience=10**6)
    due = Due.of(["plugin"], api.list(""), {"n0", "n1"})
    with pytest.raises(GpuError, match="0 of 1 pods on n0 are new and Ready"):
        restart(api, Place("m", "ns"), due, "1", -1, lambda _s: None)  # type: ignore[arg-type]
    assert api.deleted == ["p0"]
