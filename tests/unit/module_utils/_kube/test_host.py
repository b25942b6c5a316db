"""The name of a host in its cluster."""

from __future__ import annotations

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._kube.host import node_of


@pytest.mark.parametrize(
    ("variables", "node"),
    [
        ({}, "a"),
        ({"gpu_node_name": "node-a"}, "node-a"),
        ({"driver_node_name": "node-a"}, "node-a"),
        ({"driver_node_name": "its-own", "gpu_node_name": "for-all"}, "its-own"),
        ({"driver_node_name": "", "gpu_node_name": "node-a"}, "node-a"),
    ],
)
def test_node_of(variables: dict[str, str], node: str) -> None:
    assert node_of(variables, "a") == node
