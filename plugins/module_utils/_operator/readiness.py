# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell from objects alone whether the GPU operator works. A pure predicate.

Nothing here waits or asks the API server: ``waiting(state, expect)`` names whatever is not as it should be yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import labels
from ansible_collections.t9k.gpu.plugins.module_utils._operator.left_out import LeftOut, judge, out_of_order, why_out
from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import (
    Expect,
    gpu_nodes,
    nodes_waiting,
    none_found,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator.operands import left_over, of_drivers, of_policy, why
from ansible_collections.t9k.gpu.plugins.module_utils._operator.policy import section
from ansible_collections.t9k.gpu.plugins.module_utils._operator.shapes import (
    ALL,
    CONTAINER,
    DRIVER,
    asked_for,
    driver_sets,
    goes_to,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState, Object
from ansible_collections.t9k.gpu.plugins.module_utils._operator.waits import Waiting

CONTROLLER = "nvidia-dra-driver-controller"
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


def _daemonset(name: str, item: Object | None, nodes: int, slack: int) -> Iterable[Waiting]:
    """Compare a DaemonSet with what it should be: wanted on at least ``nodes`` nodes, and there but for ``slack`` of its pods."""
    if item is None:
        yield Waiting("DaemonSet", name, "to exist", "nothing", missing=1 + 3 * nodes)
        return
    status = item.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    updated, available = status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0)
    if status.get("observedGeneration", 0) < item["metadata"].get("generation", 0):
        yield Waiting("DaemonSet", name, "its latest change observed", "an older one")
    elif wanted < nodes:
        yield Waiting(
            "DaemonSet", name, f"to be scheduled on {nodes} GPU nodes", str(wanted), missing=3 * nodes - wanted
        )
    elif updated < wanted - slack:
        yield Waiting(
            "DaemonSet", name, f"{wanted - slack} pods up to date", str(updated), missing=2 * wanted - updated
        )
    elif available < wanted - slack:
        yield Waiting("DaemonSet", name, f"{wanted - slack} pods available", str(available), missing=wanted - available)


def _nfd(state: ClusterState, out: LeftOut) -> Iterable[Waiting]:
    """Look at node feature discovery: its name begins with the release's, so it is known by its end."""
    ending = "node-feature-discovery-master"
    masters = [name for name in state.deployments if name.endswith(ending)]
    for name in masters or [f"*-{ending}"]:
        yield from _deployment(name, state.deployments.get(name))
    ending, slack = "node-feature-discovery-worker", len(out.nodes) + len(out.others)
    workers = [name for name in state.daemonsets if name.endswith(ending)]
    for name in workers or [f"*-{ending}"]:
        yield from _daemonset(name, state.daemonsets.get(name), 1 if state.nodes else 0, slack)
    reached = max([(state.daemonsets[n].get("status") or {}).get("desiredNumberScheduled", 0) for n in workers] or [0])
    labelled = sum(any(k.startswith("feature.node.kubernetes.io/") for k in labels(n)) for n in state.nodes.values())
    if labelled < reached - slack:
        missing = reached - slack - labelled
        yield Waiting(
            "Nodes",
            "feature.node.kubernetes.io/*",
            f"labels on {reached - slack} nodes",
            str(labelled),
            missing=missing,
        )


def _operands(state: ClusterState, out: LeftOut) -> Iterable[Waiting]:
    nodes = gpu_nodes(state)
    if not nodes:  # the operator makes its DaemonSets when the first GPU node comes
        return
    for name, operand in asked_for(state).items():
        wanted = sum(goes_to(state, operand, node) for each, node in nodes.items() if each not in out.nodes)
        present = [n for n in state.daemonsets if n == name or (name in _SOME_NODES and n.startswith(f"{name}-"))]
        for each in present or ([name] if wanted or operand.workloads == (CONTAINER,) else []):
            yield from _operand(state, each, operand.component, 0 if name in _SOME_NODES else wanted, len(out.nodes))
    for name, item in driver_sets(state).items():
        if name != DRIVER and not name.startswith(f"{DRIVER}-"):
            yield from _daemonset(name, item, 0, len(out.nodes))
    yield from left_over(state)
    yield from of_drivers(state)
    if expect_controller(state):
        yield from _deployment(CONTROLLER, state.deployments.get(CONTROLLER))


def expect_controller(state: ClusterState) -> bool:
    """Tell whether a GPUCluster wants the controller of compute domains; so it is without a word (GPUCluster's CRD)."""
    domains = section(state.config, "draDriver").get("computeDomains") or {}
    return state.policy is None and bool(state.gpu_clusters) and bool(domains.get("enabled", True))


def _operand(state: ClusterState, name: str, component: str, nodes: int, slack: int) -> Iterable[Waiting]:
    """Look at one operand: rolled out, and by the present ClusterPolicy. Pods of an older one need not be counted first."""
    item = state.daemonsets.get(name)
    stale = list(of_policy(name, item, state.config, component)) if item and state.config else []
    yield from stale or _daemonset(name, item, nodes, slack)


def _config(state: ClusterState, expect: Expect) -> Iterable[Waiting]:
    """Ask what the operator says of the object that it works by."""
    kind, found = ("GPUCluster", state.gpu_clusters) if expect.gpu_cluster else ("ClusterPolicy", state.policies)
    if not found:
        yield Waiting(kind, "gpu-cluster" if expect.gpu_cluster else "cluster-policy", "to exist", "nothing")
    for item in found:
        status = item.get("status") or {}
        said = status.get("state") or "no state"
        if said != "ready":
            yield Waiting(kind, item["metadata"]["name"], "state ready", why(said, status))
    other = () if not expect.gpu_cluster else state.policies
    for item in other:  # the operator refuses to work by both
        yield Waiting(
            "ClusterPolicy", item["metadata"]["name"], "to be gone (the GPUCluster takes its place)", "still there"
        )


def _exporter(state: ClusterState, out: LeftOut) -> Iterable[Waiting]:
    """Look where the exporter's Service leads: one ready address for each GPU node that has one."""
    name = "nvidia-dcgm-exporter" if state.policy else "nvidia-dcgm-exporter-dra"
    operand = asked_for(state).get(name)
    if operand is None:
        return
    nodes = gpu_nodes(state).items()
    wanted = sum(goes_to(state, operand, node) for each, node in nodes if each not in out.nodes)
    slices = [each for each in state.endpoints if labels(each).get("kubernetes.io/service-name", name) == name]
    conditions = [e.get("conditions") or {} for s in slices for e in s.get("endpoints") or []]
    ready = sum(c.get("ready", True) is not False for c in conditions)
    if ready < wanted:
        yield Waiting("Service", name, f"{wanted} ready endpoints", str(ready), missing=wanted - ready)


@dataclass(frozen=True)
class Judgement:
    """What is waited for, and which nodes are not."""

    waiting: tuple[Waiting, ...]
    out: LeftOut = field(default_factory=LeftOut)
    #: What is not as it should be, and is put up with because of those nodes.
    excused: tuple[Waiting, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self.out.notes, *(f"put up with, because of those nodes: {each}" for each in self.excused))


def _left_out(state: ClusterState, expect: Expect, faulty: Collection[str]) -> LeftOut:
    """Find the nodes that are excused by their own state: those that lack something, or on which no pod can start."""
    nodes = gpu_nodes(state)
    known = {name: node for name, node in state.nodes.items() if name in nodes or name in faulty}
    suspects = {name: why_out(node) for name, node in known.items() if name in faulty or out_of_order(node)}
    failed = {name: "failed earlier in this run" for name in expect.failed if name in known}
    others = [name for name, node in state.nodes.items() if name not in known and out_of_order(node)]
    return judge({name: told for name, told in suspects.items() if told}, failed, others, expect.tolerated, len(nodes))


def assess(state: ClusterState, expect: Expect) -> Judgement:
    """Tell what is not ready yet, and what is put up with."""
    of_nodes = list(nodes_waiting(state, expect))
    out = _left_out(state, expect, {each.name for each in of_nodes})
    found = list(_deployment("gpu-operator", state.deployments.get("gpu-operator")))
    if expect.nfd:
        found.extend(_nfd(state, out))
    if state.config is not None:
        found.extend(_operands(state, out))
        found.extend(_exporter(state, out))
    found.extend(none_found(state, expect))
    found.extend(each for each in of_nodes if each.name not in out.nodes)
    if out.too_many:
        asked = f"at most {out.allowed} GPU nodes out of order (gpu_operator_nodes_tolerated)"
        names = ", ".join(f"{name} {told}" for name, told in sorted(out.too_many.items())[:5])
        found.append(
            Waiting("Nodes", "out of order", asked, f"{len(out.too_many)}: {names}", missing=len(out.too_many))
        )
    said = [*_config(state, expect)]
    excused = [each for each in said if out.nodes and not found and _by_operands(state, each)]
    found.extend(each for each in said if each not in excused)
    hidden = [each for each in of_nodes if each.name in out.nodes]
    return Judgement(tuple(found), out, (*excused, *hidden))


def _by_operands(state: ClusterState, waiting: Waiting) -> bool:
    """Tell whether the operator waits for pods only, which nodes out of order keep it from; older ones give no reason."""
    for item in (*state.policies, *state.gpu_clusters):
        if item["metadata"]["name"] == waiting.name and (item.get("status") or {}).get("state") == "notReady":
            conditions = (item.get("status") or {}).get("conditions") or []
            reasons = {c.get("reason") for c in conditions if c.get("type") == "Error" and c.get("status") == "True"}
            return reasons <= {"OperandNotReady", "DriverNotReady"}
    return False


def waiting(state: ClusterState, expect: Expect) -> tuple[Waiting, ...]:
    """Return what is not ready yet; () if the operator works."""
    return assess(state, expect).waiting


def _of(policy: Object) -> str:
    """Return the namespace of the ClusterPolicy's operator, as the operator or helm noted it; "" if nobody did."""
    noted = (policy["metadata"].get("annotations") or {}).get("meta.helm.sh/release-namespace")
    return noted or (policy.get("status") or {}).get("namespace") or ""


def remaining(state: ClusterState, namespace: str) -> tuple[Waiting, ...]:
    """Return what the operator has left behind after a removal and the cluster's garbage collection has not yet taken."""
    found = [
        Waiting(kind, item["metadata"]["name"], "to be gone", "still there")
        for kind, items in (("ClusterPolicy", state.policies), ("GPUCluster", state.gpu_clusters))
        for item in items
        if _of(item) in ("", namespace)
    ]
    left = [name for name in state.daemonsets if name in ALL or name.endswith("node-feature-discovery-worker")]
    left += [name for name in driver_sets(state) if name not in left]
    found.extend(Waiting("DaemonSet", name, "to be gone", "still there") for name in left)
    return tuple(found)
