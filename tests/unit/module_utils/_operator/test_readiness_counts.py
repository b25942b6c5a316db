"""What is waited for, by counts, conditions and owners that are there, or that the API server leaves out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import operator_cluster as cluster
import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import Expect
from ansible_collections.t9k.gpu.plugins.module_utils._operator.readiness import remaining, waiting
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState

FINISHED = cluster.finished()
PLUGIN, WORKER = "nvidia-device-plugin-daemonset", "gpu-operator-node-feature-discovery-worker"
GENERATION = {"generation": 2}


def said(state: ClusterState) -> list[str]:
    return [str(each) for each in waiting(state, Expect())]


OBSERVED, UP, AVAILABLE = {"observedGeneration": 2}, {"updatedReplicas": 3}, {"availableReplicas": 3}
DEPLOYMENTS: list[tuple[str, dict[str, Any], dict[str, Any], dict[str, Any], str]] = [
    ("just made", GENERATION, {"replicas": 3}, {}, "its latest change observed, has an older one"),
    ("no status", GENERATION, {"replicas": 3}, {"observedGeneration": 1}, "its latest change observed, has an older one"),
    ("no pod", GENERATION, {"replicas": 3}, OBSERVED, "3 pods up to date, has 0"),
    ("some pods", GENERATION, {"replicas": 3}, {**OBSERVED, "updatedReplicas": 2}, "3 pods up to date, has 2"),
    ("none available", GENERATION, {"replicas": 3}, {**OBSERVED, **UP}, "3 available, has 0"),
    ("some available", GENERATION, {"replicas": 3}, {**OBSERVED, **UP, "availableReplicas": 2}, "3 available, has 2"),
    ("former pods", GENERATION, {"replicas": 3}, {**OBSERVED, **UP, **AVAILABLE, "replicas": 4},
     "the pods of its former revision to be gone, has 4 pods"),
    ("former pods while new ones come", GENERATION, {"replicas": 3}, {**OBSERVED, "updatedReplicas": 2, "replicas": 4},
     "3 pods up to date, has 2"),
    ("as wanted", GENERATION, {"replicas": 3}, {**OBSERVED, **UP, **AVAILABLE, "replicas": 3}, ""),
    ("one by default", GENERATION, {}, OBSERVED, "1 pods up to date, has 0"),
    ("one by default, there", GENERATION, {}, {**OBSERVED, "updatedReplicas": 1, "availableReplicas": 1}, ""),
    ("without a generation", {}, {}, {"updatedReplicas": 1, "availableReplicas": 1}, ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("metadata", "spec", "status", "wants"), [row[1:] for row in DEPLOYMENTS], ids=[row[0] for row in DEPLOYMENTS]
)
def test_deployment(metadata: dict[str, Any], spec: dict[str, Any], status: dict[str, Any], wants: str) -> None:
    item = {"metadata": {"name": "gpu-operator", **metadata}, "spec": spec, "status": status}
    state = replace(FINISHED, deployments={**FINISHED.deployments, "gpu-operator": item})
    assert said(state) == ([f"Deployment gpu-operator: wants {wants}"] if wants else [])


def test_a_deployment_without_a_status_is_not_there_yet() -> None:
    item = {"metadata": {"name": "gpu-operator", "generation": 1}, "spec": {}}
    state = replace(FINISHED, deployments={**FINISHED.deployments, "gpu-operator": item})
    assert said(state) == ["Deployment gpu-operator: wants its latest change observed, has an older one"]


DESIRED, UPDATED = {"desiredNumberScheduled": 2}, {"updatedNumberScheduled": 2}
DAEMONSETS: list[tuple[str, dict[str, Any], dict[str, Any] | None, str]] = [
    ("no status", GENERATION, None, "its latest change observed, has an older one"),
    ("just made", GENERATION, {}, "its latest change observed, has an older one"),
    ("seen, nothing more", GENERATION, OBSERVED, "to be scheduled on 2 GPU nodes, has 0"),
    ("on one node", GENERATION, {**OBSERVED, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1},
     "to be scheduled on 2 GPU nodes, has 1"),
    ("no pod", GENERATION, {**OBSERVED, **DESIRED}, "2 pods up to date, has 0"),
    ("one pod", GENERATION, {**OBSERVED, **DESIRED, "updatedNumberScheduled": 1}, "2 pods up to date, has 1"),
    ("none available", GENERATION, {**OBSERVED, **DESIRED, **UPDATED}, "2 pods available, has 0"),
    ("one available", GENERATION, {**OBSERVED, **DESIRED, **UPDATED, "numberAvailable": 1}, "2 pods available, has 1"),
    ("as wanted", GENERATION, {**OBSERVED, **DESIRED, **UPDATED, "numberAvailable": 2}, ""),
    ("on more nodes", GENERATION, {**OBSERVED, "desiredNumberScheduled": 3, "updatedNumberScheduled": 3, "numberAvailable": 3}, ""),
    ("without a generation", {}, {**DESIRED, **UPDATED, "numberAvailable": 2}, ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("metadata", "status", "wants"), [row[1:] for row in DAEMONSETS], ids=[row[0] for row in DAEMONSETS]
)
def test_daemonset(metadata: dict[str, Any], status: dict[str, Any] | None, wants: str) -> None:
    item = {"metadata": {"name": PLUGIN, **metadata}, "spec": {"template": {"spec": {}}}}
    item = item if status is None else {**item, "status": status}
    state = replace(FINISHED, daemonsets={**FINISHED.daemonsets, PLUGIN: item})
    assert said(state) == ([f"DaemonSet {PLUGIN}: wants {wants}"] if wants else [])


def with_sets(state: ClusterState = FINISHED, **pods: int) -> ClusterState:
    """The cluster with further DaemonSets, rolled out on so many nodes; ``_`` in a name stands for ``-``."""
    more = {name.replace("_", "-"): cluster.daemonset(name.replace("_", "-"), count) for name, count in pods.items()}
    return replace(state, daemonsets={**state.daemonsets, **more})


def asks(**components: Any) -> ClusterState:
    return replace(FINISHED, policies=(cluster.policy(**{name: {"enabled": on} for name, on in components.items()}),))


OPERANDS: list[tuple[str, ClusterState, list[str]]] = [
    ("dcgm, of which only the exporter is there", asks(dcgm=True), ["DaemonSet nvidia-dcgm: wants to exist, has nothing"]),
    ("dcgm", with_sets(asks(dcgm=True), nvidia_dcgm=2), []),
    ("dcgm on one node", with_sets(asks(dcgm=True), nvidia_dcgm=1),
     ["DaemonSet nvidia-dcgm: wants to be scheduled on 2 GPU nodes, has 1"]),
    ("a MIG manager that no node needs", with_sets(asks(migManager=True), nvidia_mig_manager=0), []),
    ("no MIG manager", asks(migManager=True), ["DaemonSet nvidia-mig-manager: wants to exist, has nothing"]),
    ("drivers of two systems", with_sets(asks(driver=True), nvidia_driver_daemonset_a=1, nvidia_driver_daemonset_b=0), []),
    ("no driver", asks(driver=True), ["DaemonSet nvidia-driver-daemonset: wants to exist, has nothing"]),
    ("an exporter that is switched off, and its endpoints",
     replace(asks(dcgmExporter=False), endpoints=(),
             daemonsets={k: v for k, v in FINISHED.daemonsets.items() if k != "nvidia-dcgm-exporter"}), []),
]  # fmt: skip


@pytest.mark.parametrize(("state", "wants"), [row[1:] for row in OPERANDS], ids=[row[0] for row in OPERANDS])
def test_operands(state: ClusterState, wants: list[str]) -> None:
    assert said(state) == wants


def condition(kind: str, status: str | None = None, message: str = "why") -> dict[str, str]:
    return {"type": kind, "message": message, **({"status": status} if status else {})}


CONDITIONS: list[tuple[list[dict[str, str]], str]] = [
    ([], "notReady"),
    ([condition("Ready", "False")], "notReady (why)"),
    ([condition("Ready", "True")], "notReady"),
    ([condition("Error", "True")], "notReady (why)"),
    ([condition("Error", "False")], "notReady"),
    ([condition("Error")], "notReady (why)"),
    ([condition("Other", "True"), condition("Ready", "False", "later")], "notReady (later)"),
    ([condition("Ready", "False", ""), condition("Error", "True", "first")], "notReady (first)"),
]


@pytest.mark.parametrize(("conditions", "has"), CONDITIONS)
def test_the_policy_says_why_by_conditions_that_are_bad(conditions: list[dict[str, str]], has: str) -> None:
    policy = {**cluster.policy(), "status": {"state": "notReady", "conditions": conditions}}
    assert said(replace(FINISHED, policies=(policy,))) == [
        f"ClusterPolicy cluster-policy: wants state ready, has {has}"
    ]


def test_a_policy_that_nobody_looked_at_has_no_state() -> None:
    policy = {key: value for key, value in cluster.policy().items() if key != "status"}
    expected = ["ClusterPolicy cluster-policy: wants state ready, has no state"]
    assert said(replace(FINISHED, policies=(policy,))) == expected
    assert said(replace(FINISHED, policies=({**policy, "status": {"conditions": None}},))) == expected


READY = {"conditions": {"ready": True}}
#: discovery.k8s.io/v1: where ``ready`` is not said, the endpoint is to be taken for ready.
ENDPOINTS: list[tuple[list[dict[str, Any]], int]] = [
    ([{"endpoints": [READY, READY]}], 2),
    ([{"endpoints": [READY]}, {"endpoints": [READY]}], 2),
    ([{"endpoints": [READY, {"conditions": {"ready": False}}]}], 1),
    ([{"endpoints": [READY, {"conditions": {}}]}], 2),
    ([{"endpoints": [READY, {"conditions": None}]}], 2),
    ([{"endpoints": [READY, {}]}], 2),
    ([{"endpoints": None}, {"endpoints": [READY]}], 1),
    ([{}], 0),
]


@pytest.mark.parametrize(("slices", "ready"), ENDPOINTS)
def test_ready_endpoints(slices: list[dict[str, Any]], ready: int) -> None:
    missing = [f"Service nvidia-dcgm-exporter: wants 2 ready endpoints, has {ready}"]
    assert said(replace(FINISHED, endpoints=tuple(slices))) == (missing if ready < 2 else [])


NFD: list[tuple[str, ClusterState, list[str]]] = [
    ("no worker", replace(FINISHED, daemonsets={k: v for k, v in FINISHED.daemonsets.items() if k != WORKER}),
     ["DaemonSet *-node-feature-discovery-worker: wants to exist, has nothing"]),
    ("a worker on no node", with_sets(gpu_operator_node_feature_discovery_worker=0),
     [f"DaemonSet {WORKER}: wants to be scheduled on 1 GPU nodes, has 0"]),
    ("two of them", with_sets(nfd_node_feature_discovery_worker=1), []),
    ("one that reached more nodes than have labels", with_sets(nfd_node_feature_discovery_worker=4),
     ["Nodes feature.node.kubernetes.io/*: wants labels on 4 nodes, has 3"]),
    ("one of another release that is not well",
     replace(FINISHED, deployments={**FINISHED.deployments, "x-node-feature-discovery-master": {"metadata": {}, "spec": {}}}),
     ["Deployment x-node-feature-discovery-master: wants 1 pods up to date, has 0"]),
]  # fmt: skip


@pytest.mark.parametrize(("state", "wants"), [row[1:] for row in NFD], ids=[row[0] for row in NFD])
def test_node_feature_discovery(state: ClusterState, wants: list[str]) -> None:
    assert said(state) == wants


def test_somebody_elses_node_feature_discovery_is_not_waited_for() -> None:
    bare = replace(FINISHED, deployments={"gpu-operator": FINISHED.deployments["gpu-operator"]})
    assert waiting(bare, Expect(nfd=False)) == ()
    assert len(waiting(bare, Expect())) == 1


OWNERS: list[tuple[str, dict[str, Any], dict[str, Any], bool]] = [
    ("ours by helm", {"meta.helm.sh/release-namespace": "gpu-operator"}, {}, True),
    ("another's by helm", {"meta.helm.sh/release-namespace": "other"}, {"namespace": "gpu-operator"}, False),
    ("ours by the operator", {}, {"namespace": "gpu-operator"}, True),
    ("another's by the operator", {}, {"namespace": "other"}, False),
    ("nobody's", {}, {}, True),
]


@pytest.mark.parametrize(("notes", "status", "waits"), [row[1:] for row in OWNERS], ids=[row[0] for row in OWNERS])
@pytest.mark.parametrize("empty", [{}, None])
def test_a_removal_waits_for_the_policy_that_is_ours(
    notes: dict[str, Any], status: dict[str, Any], waits: bool, empty: Any
) -> None:
    metadata = {"name": "cluster-policy", "annotations": notes or empty}
    policy = {"metadata": metadata, "status": status or empty}
    left = [str(each) for each in remaining(ClusterState(policies=(policy,)), "gpu-operator")]
    assert left == (["ClusterPolicy cluster-policy: wants to be gone, has still there"] if waits else [])


def test_a_removal_waits_for_the_operands_and_no_other_daemonset() -> None:
    sets = {name: {} for name in ("calico", PLUGIN, WORKER)}
    left = [str(each) for each in remaining(ClusterState(daemonsets=sets), "gpu-operator")]
    assert left == [f"DaemonSet {name}: wants to be gone, has still there" for name in (PLUGIN, WORKER)]
