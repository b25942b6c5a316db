"""The one spec of a lab: its hosts, its hardware and its cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.lab import spec
from tests.lab.log import LabError
from tests.lab.spec import Cluster

HOST = {"name": "n1", "os": "debian-12", "gpus": "a40-x7"}


@pytest.mark.parametrize(
    ("document", "cluster"),
    [
        ({}, None),
        ({"cluster": False}, None),
        ({"cluster": True}, Cluster()),
        ({"cluster": {}}, Cluster()),
        ({"cluster": {"crds": []}}, Cluster()),
        ({"cluster": {"crds": ["servicemonitor", "queue"]}}, Cluster(("servicemonitor", "queue"))),
    ],
)
def test_cluster_forms(document: dict[str, Any], cluster: Cluster | None) -> None:
    assert spec.parse({"hosts": [HOST], **document}) == spec.Spec((spec.Host("n1", "debian-12", "a40-x7"),), cluster)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (None, "list 'hosts'"),
        ([HOST], "list 'hosts'"),
        ({"hosts": "n1"}, "list 'hosts'"),
        ({"hosts": ["n1"]}, r"hosts\[0\]: wanted a mapping with a 'name'"),
        ({"hosts": [{"os": "debian-12"}]}, r"hosts\[0\]: .*missing.*'name'"),
        ({"hosts": [HOST, {**HOST, "name": "A_b"}]}, r"hosts\[1\]: host name: .*found 'A_b'"),
        ({"hosts": [{**HOST, "os": "debian-11"}]}, "host n1: os: wanted one of debian-12, .*found 'debian-11'"),
        ({"hosts": [{**HOST, "gpus": "a41"}]}, r"hosts\[0\]: host n1: gpus: wanted one of none, .*found 'a41'"),
        ({"hosts": [{**HOST, "components": "contrib"}]}, "components: wanted one of main, all, found 'contrib'"),
        ({"hosts": [{**HOST, "cpu": 2}]}, "'cpu'"),
        ({"hosts": [HOST, HOST]}, "found twice: n1"),
        ({"hosts": [HOST], "cluster": "yes"}, "cluster: wanted true, false or a mapping, found 'yes'"),
        ({"hosts": [HOST], "cluster": {"crds": ["queues"]}}, "cluster.crds: wanted one of queue, .*found 'queues'"),
    ],
)
def test_mistakes_are_named_with_their_place(document: Any, said: str) -> None:
    with pytest.raises(LabError, match=rf"x\.yml: ?.*{said}"):
        spec.parse(document, "x.yml")


def test_a_spec_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"no spec at .*give one with --spec"):
        spec.read(tmp_path / "lab.yml")


def test_the_demo_asks_for_every_crd() -> None:
    demo = spec.read(spec.DEMO)
    assert demo.cluster and set(demo.cluster.crds) == set(spec.CRDS)
    assert [host.name for host in demo.hosts] == ["gpu-h200", "gpu-a40", "gpu-a100", "cpu-01"]


def test_hardware_of_a_host_replaces_the_profile_s() -> None:
    (host,) = spec.parse({"hosts": [{**HOST, "hardware": {"count": 3}}]}).hosts
    assert (host.profile()["count"], host.profile()["product_name"]) == (3, "NVIDIA A40")
