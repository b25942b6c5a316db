"""The nodes of a lab's cluster: one a host, others for benchmarks, and when one is ready."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.lab import spec
from tests.lab.cluster import nodes
from tests.lab.cluster.gpu_node import Hardware
from tests.lab.cluster.nodes import Node

A40 = Hardware(7, "NVIDIA A40", 46068, "Ampere")


@pytest.mark.parametrize(("host", "gpus"), [
    (spec.Host("n1", "ubuntu-like"), Hardware()),
    (spec.Host("n1", "ubuntu-like", "a40-x7"), A40),
    (spec.Host("n1", "ubuntu-like", "a40-x7", hardware={"count": 4}), replace(A40, count=4)),
])  # fmt: skip
def test_the_node_of_a_host_has_as_many_gpus_as_the_host(host: spec.Host, gpus: Hardware) -> None:
    (node,) = nodes.of_hosts((host,))
    assert node == Node("n1", gpus, "ubuntu-like")
    assert nodes.hardware(nodes.manifest(node, "v1", 1)) == gpus


def test_extra_nodes_have_names_and_hardware_of_their_own() -> None:
    assert [(node.name, node.gpus, node.extra) for node in nodes.extra(2, 1, "a40-x7")] == [
        ("extra-0001", Hardware(), True),
        ("extra-0002", Hardware(), True),
        ("extra-gpu-0001", A40, True),
    ]


def test_a_node_that_is_there_learns_what_its_host_has_now() -> None:
    said: list[Any] = []
    there = nodes.manifest(Node("n1", A40), "v1", 1)
    api: Any = SimpleNamespace(items=lambda _path: [there], patch=lambda *call: said.append(call))
    nodes.reconcile(api, (Node("n1", A40),), "v1", 1)
    assert said == []
    nodes.reconcile(api, (Node("n1", replace(A40, count=8)),), "v1", 1)
    ((path, body),) = said
    assert (path, nodes.hardware(body)) == ("/api/v1/nodes/n1", replace(A40, count=8))


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
    assert nodes.ready({"spec": {"taints": taints}, "status": {"conditions": conditions}}) is ready
