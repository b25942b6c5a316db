# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell from objects alone whether the GPU operator works. A pure predicate.

Nothing here waits or asks the API server: ``waiting(state, expect)`` names whatever is not as it should be yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import labels
from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import (
    Expect,
    Waiting,
    gpu_nodes,
    nodes_waiting,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator.operands import (
    DRIVER,
    OPERANDS,
    enabled,
    left_over,
    of_policy,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState, Object

#: Only nodes whose GPUs can be partitioned run it, and only nodes without a host driver run the other.
_SOME_NODES = {"nvidia-mig-manager", DRIVER}


def _deployment(name: str, item: Object | None) -> Iterable[Waiting]:
    if item is None:
        yield Waiting("Deployment", name, "to exist", "nothing")
        return
    wanted = item["spec"].get("replicas", 1)
    status = item.get("status") or {}
    if status.get("observedGeneration", 0) < item["metadata"].get("generation", 0):
        yield Waiting("Deployment", name, "its latest change observed", "an older one")
    elif status.get("updatedReplicas", 0) < wanted:
        yield Waiting("Deployment", name, f"{wanted} pods up to date", str(status.get("updatedReplicas", 0)))
    elif status.get("availableReplicas", 0) < wanted:
        yield Waiting("Deployment", name, f"{wanted} available", str(status.get("availableReplicas", 0)))
    elif status.get("replicas", wanted) > wanted:  # one of them may still be the leader
        yield Waiting("Deployment", name, "the pods of its former revision to be gone", f"{status['replicas']} pods")


def _daemonset(name: str, item: Object | None, nodes: int) -> Iterable[Waiting]:
    """Compare a DaemonSet with what it should be; it must be wanted on at least ``nodes`` nodes."""
    if item is None:
        yield Waiting("DaemonSet", name, "to exist", "nothing")
        return
    status = item.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    if status.get("observedGeneration", 0) < item["metadata"].get("generation", 0):
        yield Waiting("DaemonSet", name, "its latest change observed", "an older one")
    elif wanted < nodes:
        yield Waiting("DaemonSet", name, f"to be scheduled on {nodes} GPU nodes", str(wanted))
    elif status.get("updatedNumberScheduled", 0) < wanted:
        yield Waiting("DaemonSet", name, f"{wanted} pods up to date", str(status.get("updatedNumberScheduled", 0)))
    elif status.get("numberAvailable", 0) < wanted:
        yield Waiting("DaemonSet", name, f"{wanted} pods available", str(status.get("numberAvailable", 0)))


def _nfd(state: ClusterState) -> Iterable[Waiting]:
    """Look at node feature discovery: its name begins with the release's, so it is known by its end."""
    ending = "node-feature-discovery-master"
    masters = [name for name in state.deployments if name.endswith(ending)]
    for name in masters or [f"*-{ending}"]:
        yield from _deployment(name, state.deployments.get(name))
    ending = "node-feature-discovery-worker"
    workers = [name for name in state.daemonsets if name.endswith(ending)]
    for name in workers or [f"*-{ending}"]:
        yield from _daemonset(name, state.daemonsets.get(name), 1 if state.nodes else 0)
    reached = max([(state.daemonsets[n].get("status") or {}).get("desiredNumberScheduled", 0) for n in workers] or [0])
    labelled = sum(any(k.startswith("feature.node.kubernetes.io/") for k in labels(n)) for n in state.nodes.values())
    if labelled < reached:
        yield Waiting("Nodes", "feature.node.kubernetes.io/*", f"labels on {reached} nodes", str(labelled))


def _operands(state: ClusterState) -> Iterable[Waiting]:
    count = len(gpu_nodes(state))
    if not count:  # the operator makes its DaemonSets when the first GPU node comes
        return
    for name, (component, default) in OPERANDS.items():
        if not enabled(state.policy, component, default):
            continue
        present = [n for n in state.daemonsets if n == name or (name in _SOME_NODES and n.startswith(f"{name}-"))]
        for each in present or [name]:
            yield from _operand(state, each, component, 0 if name in _SOME_NODES else count)
    yield from left_over(state)


def _operand(state: ClusterState, name: str, component: str, nodes: int) -> Iterable[Waiting]:
    """Look at one operand: rolled out, and by the present ClusterPolicy. Pods of an older one need not be counted first."""
    item = state.daemonsets.get(name)
    stale = list(of_policy(name, item, state.policy, component)) if item and state.policy else []
    yield from stale or _daemonset(name, item, nodes)


def _policy(state: ClusterState) -> Iterable[Waiting]:
    if state.policy is None:
        yield Waiting("ClusterPolicy", "cluster-policy", "to exist", "nothing")
    for item in state.policies:
        status = item.get("status") or {}
        found = status.get("state", "no state")
        if found != "ready":
            yield Waiting("ClusterPolicy", item["metadata"]["name"], "state ready", _why(found, status))


def _why(state: str, status: Mapping[str, Any]) -> str:
    bad = {"Error": "True", "Ready": "False"}
    conditions = [c for c in status.get("conditions") or [] if c.get("status", "True") == bad.get(c.get("type"))]
    told = [c["message"] for c in conditions if c.get("message")]
    return f"{state} ({told[0]})" if told else state


def _exporter(state: ClusterState) -> Iterable[Waiting]:
    """Look where the exporter's Service leads: one ready address for each GPU node."""
    if not enabled(state.policy, "dcgmExporter", True):
        return
    wanted = len(gpu_nodes(state))
    conditions = [e.get("conditions") or {} for s in state.endpoints for e in s.get("endpoints") or []]
    ready = sum(c.get("ready", True) is not False for c in conditions)
    if ready < wanted:
        yield Waiting("Service", "nvidia-dcgm-exporter", f"{wanted} ready endpoints", str(ready))


def waiting(state: ClusterState, expect: Expect) -> tuple[Waiting, ...]:
    """Return what is not ready yet; () if the operator works."""
    found = list(_deployment("gpu-operator", state.deployments.get("gpu-operator")))
    if expect.nfd:
        found.extend(_nfd(state))
    found.extend(_policy(state))
    if state.policy is not None:
        found.extend(_operands(state))
        found.extend(_exporter(state))
    found.extend(nodes_waiting(state, expect))
    return tuple(found)


def _of(policy: Object) -> str:
    """Return the namespace of the ClusterPolicy's operator, as the operator or helm noted it; "" if nobody did."""
    noted = (policy["metadata"].get("annotations") or {}).get("meta.helm.sh/release-namespace")
    return noted or (policy.get("status") or {}).get("namespace") or ""


def remaining(state: ClusterState, namespace: str) -> tuple[Waiting, ...]:
    """Return what the operator has left behind after a removal and the cluster's garbage collection has not yet taken."""
    found = [
        Waiting("ClusterPolicy", item["metadata"]["name"], "to be gone", "still there")
        for item in state.policies
        if _of(item) in ("", namespace)
    ]
    left = [name for name in state.daemonsets if name in OPERANDS or name.endswith("node-feature-discovery-worker")]
    found.extend(Waiting("DaemonSet", name, "to be gone", "still there") for name in left)
    return tuple(found)
