"""The spec of a lab, as its cluster reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lab.cluster import _nodes, _spec
from tests.lab.cluster._log import LabError
from tests.lab.cluster._state import Lab, cache_root

PROFILES = {"none": {"count": 0}, "a40-x7": {"count": 7}}
HOST = {"name": "n1", "os": "debian-12", "gpus": "a40-x7"}


@pytest.mark.parametrize(
    ("cluster", "crds"),
    [
        (True, ()),
        ({}, ()),
        ({"crds": []}, ()),
        ({"crds": ["queue"]}, ("queue",)),
        ({"crds": ["servicemonitor", "queue"]}, ("servicemonitor", "queue")),
    ],
)
def test_cluster_forms(cluster: Any, crds: tuple[str, ...]) -> None:
    spec = _spec.parse({"cluster": cluster, "hosts": [HOST]}, PROFILES)
    assert spec == _spec.ClusterSpec((_spec.NodeSpec("n1", "a40-x7", "debian-12"),), crds)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "list 'hosts'"),
        ({"hosts": "n1"}, "list 'hosts'"),
        ({"hosts": [{"gpus": "none"}]}, r"hosts\[0\]: wanted a mapping with a 'name'"),
        ({"hosts": [{**HOST, "gpus": "a41"}]}, r"hosts\[0\]: gpus: wanted one of none, a40-x7, found 'a41'"),
        ({"hosts": [HOST, HOST]}, "found twice: n1"),
        ({"hosts": [HOST], "cluster": False}, "this spec has no cluster"),
        ({"hosts": [HOST], "cluster": {"crds": ["queues"]}}, "found queues"),
    ],
)
def test_mistakes_are_named(document: Any, said: str) -> None:
    with pytest.raises(LabError, match=said):
        _spec.parse(document, PROFILES, "x.yml")


def test_the_demo_asks_for_every_crd_and_each_has_a_file() -> None:
    spec = _spec.load(Path(__file__).parents[2] / "lab" / "specs" / "demo.yml")
    assert set(spec.crds) == set(_spec.KNOWN_CRDS)
    assert all((_spec.HERE / "crds" / file).is_file() for file in _spec.KNOWN_CRDS.values())
    assert [node.name for node in spec.nodes] == ["gpu-h200", "gpu-a40", "gpu-a100", "cpu-01"]


def test_extra_nodes_have_names_and_hardware_of_their_own() -> None:
    nodes = _spec.extra_nodes(2, 1, "a40-x7")
    assert [(node.name, node.gpus, node.extra) for node in nodes] == [
        ("extra-0001", "none", True),
        ("extra-0002", "none", True),
        ("extra-gpu-0001", "a40-x7", True),
    ]


@pytest.mark.parametrize(
    ("conditions", "taints", "ready"),
    [
        ([], [], False),
        ([{"type": "Ready", "status": "False"}], [], False),
        ([{"type": "Ready", "status": "True"}], [], True),
        ([{"type": "Ready", "status": "True"}], [{"key": "node.kubernetes.io/not-ready"}], False),
        ([{"type": "Ready", "status": "True"}], [{"key": "nvidia.com/gpu"}], True),
    ],
)
def test_node_ready(conditions: list[Any], taints: list[Any], ready: bool) -> None:
    assert _nodes.ready({"spec": {"taints": taints}, "status": {"conditions": conditions}}) is ready


def test_lab_state_lies_below_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T9K_GPU_CACHE", str(tmp_path))
    assert cache_root() == tmp_path
    assert Lab("demo").kubeconfig == tmp_path / "labs" / "demo" / "kubeconfig"


@pytest.mark.parametrize("name", ["", "../x", "A", "-a", "a" * 41])
def test_lab_names_are_safe_as_paths(name: str) -> None:
    with pytest.raises(LabError):
        Lab(name)


def test_remove_leaves_what_the_hosts_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T9K_GPU_CACHE", str(tmp_path))
    lab = Lab("demo")
    lab.write({"ports": {}})
    for file in (lab.kubeconfig, lab.audit_log, lab.root / "kubeconfig-ns-sa", lab.root / "inventory.yml"):
        file.touch()
    lab.remove()
    assert [path.name for path in lab.root.iterdir()] == ["inventory.yml"]
    (lab.root / "inventory.yml").unlink()
    lab.remove()
    assert not lab.root.exists()
