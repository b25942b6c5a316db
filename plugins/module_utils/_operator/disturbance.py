# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say what a step takes from those who use the GPUs, and on which nodes. Pure.

Sources: an operator's driver container unloads the driver when its pod ends, and with ``driver.upgradePolicy.autoUpgrade`` (true by
default) its upgrade controller evicts a node's GPU pods before it exchanges the container (NVIDIA/gpu-operator,
controllers/upgrade_controller.go); the clients of an MPS control daemon end with it (k8s-device-plugin, README, "With CUDA MPS"); the
MIG manager needs idle GPUs, and stops the operator's own pods itself (mig-parted, deployments/container, reconfigure-mig.sh).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import labels
from ansible_collections.t9k.gpu.plugins.module_utils._operator import values
from ansible_collections.t9k.gpu.plugins.module_utils._operator.left_out import few
from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import gpu_nodes
from ansible_collections.t9k.gpu.plugins.module_utils._operator.policy import enabled, section
from ansible_collections.t9k.gpu.plugins.module_utils._operator.shapes import driver_sets
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.documents import CONFIG_LABEL, MIG_LABEL

if TYPE_CHECKING:
    from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState
    from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wanted
    from ansible_collections.t9k.gpu.plugins.module_utils._step import Step


@dataclass(frozen=True)
class Disturbance:
    """What is felt, in a sentence; ``interrupts``: running pods lose their GPUs, so that somebody must consent."""

    sentence: str = ""
    interrupts: bool = False

    @property
    def data(self) -> dict[str, Any]:
        """Return what a step says of it beside the sentence."""
        return {"interrupts": True} if self.interrupts else {}


PLUGIN_PODS = Disturbance("the device plugin's pods restart; running GPU pods keep their GPUs")
OPERAND_PODS = Disturbance("the operator's own pods on GPU nodes restart; running GPU pods keep their GPUs")


def _driver_pods(state: ClusterState) -> int:
    """Count the driver containers; none run where the nodes' drivers are the hosts' own."""
    return sum((item.get("status") or {}).get("desiredNumberScheduled", 0) for item in driver_sets(state).values())


def of_release(state: ClusterState, wanted: Wanted) -> Disturbance:
    """Tell what a new chart or new values do to the GPU nodes."""
    if state.config is None:
        return Disturbance()
    pods = _driver_pods(state)
    if not enabled(state.policy, "driver", True) or not pods:
        return OPERAND_PODS
    nodes = few(gpu_nodes(state))
    if wanted.driver != "operator":
        told = f"the driver containers go, and the driver with them: GPU pods on {nodes} lose their GPUs"
        return Disturbance(told, interrupts=True)
    if not _driver_changes(state, wanted):
        return OPERAND_PODS
    policy = (wanted.values.get("driver") or {}).get("upgradePolicy") or {}
    if not policy.get("autoUpgrade", True):
        return Disturbance("driver containers change only where somebody deletes their pods (autoUpgrade is off)")
    told = f"driver containers are exchanged node by node (driver.upgradePolicy.autoUpgrade): GPU pods on {nodes} are evicted"
    return Disturbance(told, interrupts=True)


def _driver_changes(state: ClusterState, wanted: Wanted) -> bool:
    release = state.release
    if release is None:
        before, version = state.inventory.get("values") or {}, state.inventory.get("version", "")
    else:
        before, version = release.values, release.chart_version
    return values.plain(version) != values.plain(wanted.version) or before.get("driver") != wanted.values.get("driver")


def of_labels(state: ClusterState, wanted: Wanted, changes: Mapping[str, Mapping[str, Any]]) -> Disturbance:
    """Tell what other labels of nodes do to them."""
    mig = [node for node, found in changes.items() if MIG_LABEL in found]
    mps = [node for node, found in changes.items() if CONFIG_LABEL in found and _uses_mps(state, wanted, node, found)]
    told = [f"GPUs of {few(mig)} are partitioned anew; no pod may hold one"] if mig else []
    told += [f"clients of the MPS control daemon on {few(mps)} end"] if mps else []
    if not told:
        return PLUGIN_PODS
    return Disturbance("; ".join(told), interrupts=bool(mps))


def of_partitions(state: ClusterState, nodes: Iterable[str]) -> Disturbance:
    """Tell what other partitions take from those who hold the GPUs."""
    pods = {node: state.holders.get(node, ()) for node in nodes}
    hit = [f"{node} ({few(found)})" for node, found in sorted(pods.items()) if found]
    if not hit:
        return Disturbance("nodes that an interrupted run has left take pods again")
    told = f"GPU pods are evicted, some nodes at a time, which take others once they are partitioned: {few(hit)}"
    return Disturbance(told, interrupts=True)


def _uses_mps(state: ClusterState, wanted: Wanted, node: str, found: Mapping[str, Any]) -> bool:
    before = labels(state.nodes[node]).get(CONFIG_LABEL)
    return any(
        "mps" in (wanted.sharing.get(name or "") or {}).get("sharing", {}) for name in (before, found[CONFIG_LABEL])
    )


def of_sharing(state: ClusterState, before: Mapping[str, str], after: Mapping[str, str]) -> Disturbance:
    """Tell what changed sharing configs do to the nodes that use them. MPS is told by its section's name in the text."""
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    mps = {name for name in changed if "mps:" in before.get(name, "")}
    nodes = [name for name, node in state.nodes.items() if labels(node).get(CONFIG_LABEL) in mps]
    if nodes:
        return Disturbance(f"clients of the MPS control daemon on {few(nodes)} end", interrupts=True)
    if not changed:
        return PLUGIN_PODS
    default = (section(state.policy, "devicePlugin").get("config") or {}).get("default")
    users = [name for name, node in gpu_nodes(state).items() if (labels(node).get(CONFIG_LABEL) or default) in changed]
    told = f"the device plugin's pods on {few(users)} restart, some nodes at a time; running GPU pods keep their GPUs"
    return Disturbance(told) if users else Disturbance()


def consent_faults(steps: Iterable[Step], wanted: Wanted) -> Iterable[str]:
    """Refuse steps that take GPUs from running pods unless somebody has agreed to it."""
    if wanted.interrupt:
        return
    for step in steps:
        if step.data.get("interrupts"):
            yield str(
                GpuError(
                    f"consent to step {step.name} ({step.reason})",
                    step.disturbs,
                    "the plan",
                    "move the work elsewhere if you must, then set gpu_operator_interrupt: true",
                )
            )
