# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Name the GPU nodes that are not as their hardware, sharing and MIG configuration make them. A pure predicate."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import labels
from ansible_collections.t9k.gpu.plugins.module_utils._operator.policy import enabled
from ansible_collections.t9k.gpu.plugins.module_utils._operator.shapes import CONTAINER, workload
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState, Object
from ansible_collections.t9k.gpu.plugins.module_utils._operator.waits import Waiting
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.documents import (
    CONFIG_LABEL,
    MIG_LABEL,
    MIG_STATE_LABEL,
    expected_resources,
)

GPU = "nvidia.com/gpu"
DISABLED = "all-disabled"
OPERANDS_LABEL = "nvidia.com/gpu.deploy.operands"
PCI_LABEL = "feature.node.kubernetes.io/pci-10de.present"
_QUANTITY = re.compile(r"(\d+)(k|M|Ki|Mi|)")
_SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "Ki": 2**10, "Mi": 2**20}
_PROFILE = re.compile(r"all-(\d+g\.\d+gb.*)")


@dataclass(frozen=True)
class Expect:
    """What the chosen options lead one to expect."""

    nfd: bool = True
    #: Sharing config name → document of the device plugin.
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: node → name of its sharing config, as the inventory wishes it.
    sharing: Mapping[str, str] = field(default_factory=dict)
    #: node → MIG configuration.
    mig: Mapping[str, str] = field(default_factory=dict)
    #: Nodes that are known to have GPUs. If none of them shows one, nothing works.
    gpu_nodes: tuple[str, ...] = ()
    #: Whether the operator works by a GPUCluster instead of a ClusterPolicy.
    gpu_cluster: bool = False
    #: How many GPU nodes, or which share of them, may be out of order for a reason of their own.
    tolerated: str = "0"
    #: Nodes on which an earlier part of this run has failed.
    failed: tuple[str, ...] = ()

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Expect:
        """Read what ``to_dict`` has written; what is missing is as by default."""
        known = {each.name for each in fields(cls)}
        found: dict[str, Any] = {}
        for name in known & set(given):
            if given[name] is not None:
                found[name] = tuple(given[name]) if isinstance(given[name], list) else given[name]
        return cls(**found)

    def to_dict(self) -> dict[str, Any]:
        """Return it as a module returns it."""
        return asdict(self)


def is_gpu_node(node: Object) -> bool:
    """Tell whether the node has GPUs and takes part."""
    found = labels(node)
    has = found.get(PCI_LABEL) == "true" or found.get(f"{GPU}.present") == "true"
    return has and found.get(OPERANDS_LABEL) != "false"


def gpu_nodes(state: ClusterState) -> dict[str, Object]:
    return {name: node for name, node in state.nodes.items() if is_gpu_node(node)}


def offered(node: Object, resource: str) -> int:
    """Return how many of a resource the node can give to pods."""
    return quantity(((node.get("status") or {}).get("allocatable") or {}).get(resource, 0))


def quantity(value: Any) -> int:
    """Read a whole quantity as Kubernetes may write it: a thousand is ``1k``."""
    match = _QUANTITY.fullmatch(str(value))
    return int(match[1]) * _SUFFIXES[match[2]] if match else 0


def _gpus(node: Object) -> int | None:
    found = labels(node).get(f"{GPU}.count", "")
    return int(found) if found.isdigit() else None


def _document(state: ClusterState, name: str, node: Object, expect: Expect) -> Mapping[str, Any] | None:
    """Return what the node's plugin shares by: the inventory's word, else the node's label, else the policy's default.

    None where a config is named that is not ours: then nothing is known of its effect.
    """
    plugin = ((state.policy or {}).get("spec") or {}).get("devicePlugin") or {}
    default = (plugin.get("config") or {}).get("default") or ""
    chosen = expect.sharing.get(name) or labels(node).get(CONFIG_LABEL) or default
    return expect.configs.get(chosen) if chosen else {}


def _resources(state: ClusterState, name: str, node: Object, expect: Expect) -> Iterable[Waiting]:
    """Prove that the node gives its GPUs to pods, in the way that its shape has."""
    if expect.gpu_cluster:
        yield from _slices(state, name)
    elif workload(state, node) != CONTAINER:
        yield from _devices(name, node)
    elif enabled(state.policy, "devicePlugin", True):
        yield from _plugin_resources(state, name, node, expect)


def _slices(state: ClusterState, name: str) -> Iterable[Waiting]:
    """Ask for the DRA driver's word: it publishes a node's GPUs as ResourceSlices, and no resource (kubernetes.io, Dynamic Resource
    Allocation; k8s-dra-driver-gpu, cmd/gpu-kubelet-plugin)."""
    if name not in state.slices:
        yield Waiting("Node", name, "GPUs in a ResourceSlice of gpu.nvidia.com", "none")


def _devices(name: str, node: Object) -> Iterable[Waiting]:
    """Ask for any device: those for virtual machines are called by their model (kubevirt-gpu-device-plugin, README)."""
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    plain = (GPU, f"{GPU}.shared")
    if not any(
        key.startswith("nvidia.com/") and key not in plain and quantity(allocatable[key]) for key in allocatable
    ):
        yield Waiting("Node", name, "GPUs for virtual machines (nvidia.com/MODEL)", "none")


def _plugin_resources(state: ClusterState, name: str, node: Object, expect: Expect) -> Iterable[Waiting]:
    """Prove that allocatable is what GPUs and sharing make of it, and that nothing of the other kind is left."""
    gpus = _gpus(node)
    if gpus is None:
        yield Waiting("Node", name, f"label {GPU}.count", "no such label (gpu-feature-discovery sets it)")
        return
    document = _document(state, name, node, expect)
    if document is None or _is_partitioned(node) or expect.mig.get(name, DISABLED) != DISABLED:
        return  # the number of devices follows the partition; see _partitions
    wanted = {GPU: 0, f"{GPU}.shared": 0, **expected_resources(document, gpus)}
    for resource, count in wanted.items():
        if offered(node, resource) != count:
            yield Waiting("Node", name, f"{count} {resource} from {gpus} GPUs", str(offered(node, resource)))


def _is_partitioned(node: Object) -> bool:
    return labels(node).get(MIG_LABEL, DISABLED) != DISABLED


def _mig(state: ClusterState, name: str, node: Object, wanted: str) -> Iterable[Waiting]:
    """Ask for the MIG manager's word, then for what it stands for. It clears no state of before itself; our patch does."""
    found = labels(node)
    has = f"{found.get(MIG_LABEL, 'none')}, state {found.get(MIG_STATE_LABEL, 'none')}"
    asked = f"MIG configuration {wanted} with state success"
    if found.get(MIG_LABEL) == wanted and found.get(MIG_STATE_LABEL) == "failed":
        why = f"{has}: the log of the pod nvidia-mig-manager on this node says why"
        yield Waiting("Node", name, asked, why, final=True)
    elif found.get(MIG_LABEL) != wanted or found.get(MIG_STATE_LABEL) != "success":
        yield Waiting("Node", name, asked, has)
    elif wanted != DISABLED:
        yield from _partitions(state, name, node, wanted)


def _partitions(state: ClusterState, name: str, node: Object, wanted: str) -> Iterable[Waiting]:
    """Prove that the device plugin offers the partitions: by the strategy as mig-*, or as GPUs (k8s-device-plugin, README)."""
    policy = ((state.policy or {}).get("spec") or {}).get("mig") or {}
    strategy = labels(node).get("nvidia.com/mig.strategy") or policy.get("strategy") or "single"
    allocatable = (node.get("status") or {}).get("allocatable") or {}
    profile = _PROFILE.fullmatch(wanted)
    if strategy != "mixed":
        resources = [GPU, f"{GPU}.shared"]
    elif profile:
        resources = [f"nvidia.com/mig-{profile[1].replace('+', '.')}"]
        resources.append(f"{resources[0]}.shared")
    else:
        resources = [key for key in allocatable if key.startswith("nvidia.com/mig-")] or ["nvidia.com/mig-*"]
    if not any(offered(node, resource) for resource in resources):
        yield Waiting("Node", name, f"{resources[0]} of MIG configuration {wanted}", "0")


def _may_take_part(node: Object | None) -> bool:
    return node is not None and labels(node).get(OPERANDS_LABEL) != "false"


def none_found(state: ClusterState, expect: Expect) -> Iterable[Waiting]:
    """Say so if no node shows a GPU although some must have one."""
    known = [name for name in expect.gpu_nodes if _may_take_part(state.nodes.get(name))]
    if known and not any(is_gpu_node(state.nodes[name]) for name in known):
        shown = ", ".join(known[:3]) + (f" and {len(known) - 3} more" if len(known) > 3 else "")
        yield Waiting("Nodes", shown, f"label {PCI_LABEL} on those of them with GPUs", "no node of the cluster with it")


def nodes_waiting(state: ClusterState, expect: Expect) -> Iterable[Waiting]:
    """Name the nodes that are not as they should be."""
    for name, node in state.nodes.items():
        asked = name in expect.sharing or name in expect.mig
        if not is_gpu_node(node):
            if asked and labels(node).get(OPERANDS_LABEL) != "false":
                yield Waiting("Node", name, f"label {PCI_LABEL}", "none (no NVIDIA device was found on it)")
            continue
        yield from _resources(state, name, node, expect)
        if name in expect.mig:
            yield from _mig(state, name, node, expect.mig[name])
