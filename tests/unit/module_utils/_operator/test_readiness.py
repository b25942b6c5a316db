"""The predicate: a finished cluster waits for nothing; each thing spoiled is named."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Callable

import operator_cluster as cluster
import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import Expect, quantity
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
    ("operator of before, still running", with_operator(replicas=2),
     "Deployment gpu-operator: wants the pods of its former revision to be gone, has 2 pods"),
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


def made_by(pod: dict[str, Any], **labels: str) -> Spoil:
    """The plugin's DaemonSet, rolled out and well, with this pod and these labels."""

    def spoil(state: ClusterState) -> ClusterState:
        item = cluster.daemonset(PLUGIN, 2)
        item["metadata"]["labels"] = labels
        item["spec"]["template"]["spec"] = pod
        return replace(state, daemonsets={**state.daemonsets, PLUGIN: item})

    return spoil


def asks(**plugin: Any) -> dict[str, Any]:
    return cluster.policy(devicePlugin=plugin)


IMAGE = {"repository": "nvcr.io/nvidia", "image": "k8s-device-plugin", "version": "v0.19.0"}
NEW = {"containers": [{"name": "nvidia-device-plugin", "image": "nvcr.io/nvidia/k8s-device-plugin:v0.19.0"}]}
OLD = {"containers": [{"name": "nvidia-device-plugin", "image": "nvcr.io/nvidia/k8s-device-plugin:v0.18.0"}]}
ENV = [{"name": "FAIL_ON_INIT_ERROR", "value": "false"}]
CHART = {"helm.sh/chart": "gpu-operator-v26.7.0"}
WORD_OF_OLD: list[tuple[str, Spoil, dict[str, Any], str]] = [
    ("as asked", made_by(NEW), asks(**IMAGE), ""),
    ("image of old", made_by(OLD), asks(**IMAGE),
     "wants image nvcr.io/nvidia/k8s-device-plugin:v0.19.0, has nvcr.io/nvidia/k8s-device-plugin:v0.18.0"),
    ("digest", made_by({"containers": [{"image": "r/i@sha256:ab"}]}),
     asks(repository="r", image="i", version="sha256:ab"), ""),
    ("the operator's own image", made_by(OLD), asks(), ""),
    ("chart of old", made_by(NEW, **{"helm.sh/chart": "gpu-operator-v25.10.1"}), cluster.policy(daemonsets={"labels": CHART}),
     "wants label helm.sh/chart=gpu-operator-v26.7.0 of the ClusterPolicy, has gpu-operator-v25.10.1"),
    ("environment of old", made_by(NEW), asks(**IMAGE, env=ENV), "wants FAIL_ON_INIT_ERROR=false in its environment, has nothing"),
    ("environment", made_by({"containers": [{**NEW["containers"][0], "env": ENV}]}), asks(**IMAGE, env=ENV), ""),
    ("pull secret", made_by(NEW), asks(imagePullSecrets=["s"]), "wants pull secret s, has none"),
    ("configs", made_by(NEW), asks(config={"name": "time-slicing-config"}), "wants ConfigMap time-slicing-config mounted, has none"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spoil", "policy", "said"), [row[1:] for row in WORD_OF_OLD], ids=[row[0] for row in WORD_OF_OLD]
)
def test_ready_is_not_the_word_of_the_operator_before(spoil: Spoil, policy: dict[str, Any], said: str) -> None:
    """The ClusterPolicy says ready, each DaemonSet is rolled out and well, the GPUs are allocatable: all of it may be from before."""
    state = replace(spoil(cluster.finished()), policies=(policy,))
    found = [str(each) for each in waiting(state, Expect()) if PLUGIN in each.name]
    assert [each.partition(": ")[2] for each in found] == ([said] if said else [])


def test_the_drivers_tag_goes_on_with_its_system() -> None:
    item = cluster.daemonset("nvidia-driver-daemonset", 2)
    item["spec"]["template"]["spec"] = {"containers": [{"image": "nvcr.io/nvidia/driver:580.105.08-ubuntu22.04"}]}
    driver = {"repository": "nvcr.io/nvidia", "image": "driver", "version": "580.105.08", "enabled": True}
    state = replace(cluster.finished(), policies=(cluster.policy(driver=driver),))
    state = replace(state, daemonsets={**state.daemonsets, "nvidia-driver-daemonset": item})
    assert waiting(state, Expect()) == ()
    older = replace(state, policies=(cluster.policy(driver={**driver, "version": "580.105"}),))
    assert len(waiting(older, Expect())) == 1


def test_what_was_switched_off_must_go() -> None:
    state = replace(cluster.finished(), policies=(cluster.policy(dcgmExporter={"enabled": False}),))
    (found,) = waiting(state, Expect())
    assert (
        str(found) == "DaemonSet nvidia-dcgm-exporter: wants to be gone (dcgmExporter is switched off), has still there"
    )


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


SUCCESS = {"nvidia.com/mig.config": "all-1g.5gb", "nvidia.com/mig.config.state": "success"}
MIXED = {**SUCCESS, "nvidia.com/mig.strategy": "mixed"}
PARTITIONS: list[tuple[str, dict[str, str], dict[str, str], str, str]] = [
    ("single", SUCCESS, {"nvidia.com/gpu": "14"}, "all-1g.5gb", ""),
    ("single, none offered", SUCCESS, {"nvidia.com/gpu": "0"}, "all-1g.5gb",
     "wants nvidia.com/gpu of MIG configuration all-1g.5gb, has 0"),
    ("single, shared", SUCCESS, {"nvidia.com/gpu.shared": "28"}, "all-1g.5gb", ""),
    ("mixed", MIXED, {"nvidia.com/mig-1g.5gb": "14"}, "all-1g.5gb", ""),
    ("mixed, of before", MIXED, {"nvidia.com/mig-2g.10gb": "6"}, "all-1g.5gb",
     "wants nvidia.com/mig-1g.5gb of MIG configuration all-1g.5gb, has 0"),
    ("mixed, with media extensions", {**MIXED, "nvidia.com/mig.config": "all-1g.10gb+me"},
     {"nvidia.com/mig-1g.10gb.me": "2"}, "all-1g.10gb+me", ""),
    ("mixed, balanced", {**MIXED, "nvidia.com/mig.config": "all-balanced"}, {"nvidia.com/mig-2g.10gb": "6"}, "all-balanced", ""),
    ("mixed, balanced, none", {**MIXED, "nvidia.com/mig.config": "all-balanced"}, {}, "all-balanced",
     "wants nvidia.com/mig-* of MIG configuration all-balanced, has 0"),
    ("switched off", {**SUCCESS, "nvidia.com/mig.config": "all-disabled"}, {"nvidia.com/gpu": "2"}, "all-disabled", ""),
    ("switched off, still there", {**SUCCESS, "nvidia.com/mig.config": "all-disabled"}, {"nvidia.com/gpu": "14"},
     "all-disabled", "wants 2 nvidia.com/gpu from 2 GPUs, has 14"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "allocatable", "wanted", "said"), [row[1:] for row in PARTITIONS], ids=[row[0] for row in PARTITIONS]
)
def test_partitions_must_be_offered(
    labels: dict[str, str], allocatable: dict[str, str], wanted: str, said: str
) -> None:
    state = with_node(cluster.node("gpu-1", 2, allocatable, **labels))(cluster.finished())
    found = [str(each).partition(": ")[2] for each in waiting(state, Expect(mig={"gpu-1": wanted}))]
    assert found == ([said] if said else [])


def test_a_failed_mig_configuration_is_final() -> None:
    failed = {**SUCCESS, "nvidia.com/mig.config.state": "failed"}
    state = with_node(cluster.node("gpu-1", 2, **failed))(cluster.finished())
    (found,) = waiting(state, Expect(mig={"gpu-1": "all-1g.5gb"}))
    assert found.final and "nvidia-mig-manager" in found.found
    (other,) = waiting(state, Expect(mig={"gpu-1": "all-2g.10gb"}))  # of the configuration before
    assert not other.final


BARE = {"gpu-1": cluster.node("gpu-1"), "gpu-2": cluster.node("gpu-2")}


@pytest.mark.parametrize(("nodes", "expected"), [
    ({}, 0), ({"gpu_nodes": ("gpu-1", "gpu-2")}, 1), ({"gpu_nodes": ("elsewhere",)}, 0),
])  # fmt: skip
def test_no_gpu_at_all_is_no_success_where_there_must_be_some(nodes: dict[str, Any], expected: int) -> None:
    worker = "gpu-operator-node-feature-discovery-worker"
    state = cluster.finished(nodes=BARE, daemonsets={worker: cluster.daemonset(worker, 2)}, endpoints=())
    assert len(waiting(state, Expect(**nodes))) == expected


def test_some_gpus_are_enough_for_the_whole() -> None:
    assert waiting(cluster.finished(), Expect(gpu_nodes=("cpu-1", "gpu-1"))) == ()


@pytest.mark.parametrize(("text", "number"), [("8", 8), ("1k", 1000), ("2Ki", 2048), ("0", 0), (3, 3), ("x", 0)])
def test_quantity(text: Any, number: int) -> None:
    assert quantity(text) == number


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
