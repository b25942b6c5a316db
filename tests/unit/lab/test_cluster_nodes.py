"""The nodes of a lab's cluster: one a host, others for benchmarks, and when one is ready."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab import spec
from tests.lab.cluster import nodes
from tests.lab.cluster.nodes import Node


def test_every_host_has_a_node() -> None:
    assert nodes.of_hosts((spec.Host("n1", "ubuntu-like", "a40-x7"),)) == (Node("n1", "a40-x7", "ubuntu-like"),)


def test_extra_nodes_have_names_and_hardware_of_their_own() -> None:
    assert [(node.name, node.gpus, node.extra) for node in nodes.extra(2, 1, "a40-x7")] == [
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
    assert nodes.ready({"spec": {"taints": taints}, "status": {"conditions": conditions}}) is ready
