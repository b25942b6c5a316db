"""The predicate: a finished cluster waits for nothing; each thing spoiled is named."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Callable

import operator_cluster as cluster
import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import Expect
from ansible_collections.t9k.gpu.plugins.module_utils._operator.readiness import remaining, waiting
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import documents as sharing_documents

Spoil = Callable[[ClusterState], ClusterState]


def without(field: str, name: str) -> Spoil:
    return lambda state: replace(state, **{field: {k: v for k, v in getattr(state, field).items() if k != name}})


def with_set(name: str, **status: Any) -> Spoil:
    def spoil(state: ClusterState) -> ClusterState:
        changed = cluster.daemonset(name, 2)
        changed["status"].update(status)
        return replace(state, daemonsets={**state.daemonsets, name: changed})

    return spoil


def with_operator(**status: Any) -> Spoil:
    def spoil(state: ClusterState) -> ClusterState:
        changed = copy.deepcopy(state.deployments["gpu-operator"])
        changed["status"].update(status)
        return replace(state, deployments={**state.deployments, "gpu-operator": changed})

    return spoil


def with_node(node: dict[str, Any]) -> Spoil:
    return lambda state: replace(state, nodes={**state.nodes, node["metadata"]["name"]: node})


def with_policy(**status: Any) -> Spoil:
    return lambda state: replace(state, policies=({**cluster.policy(), "status": status},))


PLUGIN = "nvidia-device-plugin-daemonset"
UNLABELLED = {"metadata": {"name": "cpu-1", "labels": {}}, "status": {}}
TABLE: list[tuple[str, Spoil, str]] = [
    ("operator", without("deployments", "gpu-operator"), "Deployment gpu-operator: wants to exist, has nothing"),
    ("operator down", with_operator(availableReplicas=0), "Deployment gpu-operator: wants 1 available, has 0"),
    ("operator of old", with_operator(updatedReplicas=0), "Deployment gpu-operator: wants 1 pods up to date, has 0"),
    ("nfd", without("deployments", "gpu-operator-node-feature-discovery-master"),
     "Deployment *-node-feature-discovery-master: wants to exist, has nothing"),
    ("daemonset", without("daemonsets", PLUGIN), f"DaemonSet {PLUGIN}: wants to exist, has nothing"),
    ("unavailable", with_set(PLUGIN, numberAvailable=1), f"DaemonSet {PLUGIN}: wants 2 pods available, has 1"),
    ("old pods", with_set(PLUGIN, updatedNumberScheduled=1), f"DaemonSet {PLUGIN}: wants 2 pods up to date, has 1"),
    ("unobserved", with_set(PLUGIN, observedGeneration=0),
     f"DaemonSet {PLUGIN}: wants its latest change observed, has an older one"),
    ("unscheduled", with_set(PLUGIN, desiredNumberScheduled=0, updatedNumberScheduled=0, numberAvailable=0),
     f"DaemonSet {PLUGIN}: wants to be scheduled on 2 GPU nodes, has 0"),
    ("policy", with_policy(state="notReady"), "ClusterPolicy cluster-policy: wants state ready, has notReady"),
    ("why", with_policy(state="notReady", conditions=[{"type": "Error", "message": "no toolkit"}]),
     "ClusterPolicy cluster-policy: wants state ready, has notReady (no toolkit)"),
    ("no policy", lambda state: replace(state, policies=()),
     "ClusterPolicy cluster-policy: wants to exist, has nothing"),
    ("nfd labels", with_node(UNLABELLED),
     "Nodes feature.node.kubernetes.io/*: wants labels on 3 nodes, has 2"),
    ("allocatable", with_node(cluster.node("gpu-1", 2, {})), "Node gpu-1: wants 2 nvidia.com/gpu from 2 GPUs, has 0"),
    ("still shared", with_node(cluster.node("gpu-1", 2, {"nvidia.com/gpu": "2", "nvidia.com/gpu.shared": "8"})),
     "Node gpu-1: wants 0 nvidia.com/gpu.shared from 2 GPUs, has 8"),
    ("exporter", lambda state: replace(state, endpoints=()),
     "Service nvidia-dcgm-exporter: wants 2 ready endpoints, has 0"),
]  # fmt: skip


def test_finished() -> None:
    assert waiting(cluster.finished(), Expect()) == ()


@pytest.mark.parametrize(("spoil", "sentence"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_is_spoiled_is_named_and_nothing_else(spoil: Spoil, sentence: str) -> None:
    assert [str(each) for each in waiting(spoil(cluster.finished()), Expect())] == [sentence]


SHARING = [
    ({"mode": "time_slicing", "replicas": 4}, {"nvidia.com/gpu": "0", "nvidia.com/gpu.shared": "8"}, []),
    ({"mode": "time_slicing", "replicas": 4}, {"nvidia.com/gpu": "2"},
     ["wants 0 nvidia.com/gpu from 2 GPUs, has 2", "wants 8 nvidia.com/gpu.shared from 2 GPUs, has 0"]),
    ({"mode": "time_slicing", "replicas": 4, "rename": False}, {"nvidia.com/gpu": "8"}, []),
    ({"mode": "mps", "replicas": 3}, {"nvidia.com/gpu.shared": "6"}, []),
    ({"mode": "none"}, {"nvidia.com/gpu": "2"}, []),
]  # fmt: skip


@pytest.mark.parametrize(("config", "allocatable", "sentences"), SHARING)
def test_sharing_is_proven(config: dict[str, Any], allocatable: dict[str, str], sentences: list[str]) -> None:
    state = with_node(cluster.node("gpu-1", 2, allocatable))(cluster.finished())
    expect = Expect(configs=sharing_documents.documents({"x": config}), sharing={"gpu-1": "x"})
    assert [str(each).partition(": ")[2] for each in waiting(state, expect)] == sentences


def test_a_node_that_the_inventory_does_not_name_is_judged_by_its_label() -> None:
    """As with --limit: the others keep their configs."""
    label = {"nvidia.com/device-plugin.config": "x"}
    shared = cluster.node("gpu-1", 2, {"nvidia.com/gpu.shared": "8"}, **label)
    state = with_node(shared)(cluster.finished())
    known = sharing_documents.documents({"x": {"mode": "time_slicing", "replicas": 4}})
    assert waiting(state, Expect(configs=known)) == ()
    assert waiting(state, Expect()) == ()  # another's config: nothing is known of its effect
    half = with_node(cluster.node("gpu-1", 2, {"nvidia.com/gpu.shared": "4"}, **label))(state)
    assert len(waiting(half, Expect(configs=known))) == 1


def test_the_policys_default_config_counts_for_nodes_without_a_label() -> None:
    known = sharing_documents.documents({"x": {"mode": "time_slicing", "replicas": 4}})
    policy = cluster.policy(devicePlugin={"config": {"name": "time-slicing-config", "default": "x"}})
    found = waiting(cluster.finished(policies=(policy,)), Expect(configs=known))
    assert [each.wanted for each in found if "shared" in each.wanted] == [
        "8 nvidia.com/gpu.shared from 2 GPUs",
        "4 nvidia.com/gpu.shared from 1 GPUs",
    ]


MIG = [
    ({"nvidia.com/mig.config": "all-1g.5gb", "nvidia.com/mig.config.state": "success"}, 0),
    ({"nvidia.com/mig.config": "all-1g.5gb", "nvidia.com/mig.config.state": "pending"}, 1),
    ({"nvidia.com/mig.config": "all-disabled", "nvidia.com/mig.config.state": "success"}, 1),
    ({}, 1),
]


@pytest.mark.parametrize(("labels", "count"), MIG)
def test_mig_waits_for_success(labels: dict[str, str], count: int) -> None:
    state = with_node(cluster.node("gpu-1", 2, {"nvidia.com/gpu": "14"}, **labels))(cluster.finished())
    assert len(waiting(state, Expect(mig={"gpu-1": "all-1g.5gb"}))) == count


def test_a_node_that_should_share_but_shows_no_device() -> None:
    (found,) = waiting(cluster.finished(), Expect(sharing={"cpu-1": "x"}))
    assert "no NVIDIA device was found" in str(found)


def test_an_opted_out_node_is_not_waited_for() -> None:
    out = cluster.node("gpu-3", 4, {}, **{"nvidia.com/gpu.deploy.operands": "false"})
    assert waiting(with_node(out)(cluster.finished()), Expect()) == ()


def test_a_cluster_without_gpus_needs_no_operands() -> None:
    worker = "gpu-operator-node-feature-discovery-worker"
    sets = {worker: cluster.daemonset(worker, 1)}
    state = cluster.finished(nodes={"cpu-1": cluster.node("cpu-1")}, daemonsets=sets, endpoints=())
    assert waiting(state, Expect()) == ()


def test_remaining() -> None:
    assert {each.kind for each in remaining(cluster.finished(), "gpu-operator")} == {"ClusterPolicy", "DaemonSet"}
    assert remaining(cluster.finished(policies=(), daemonsets={}), "gpu-operator") == ()
