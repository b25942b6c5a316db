# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell what shape an installation has: what the operator works by, and which DaemonSets it therefore makes for which nodes. Pure.

Sources, at v26.7.0 of NVIDIA/gpu-operator: a ClusterPolicy's DaemonSets are assets/*/*daemonset.yaml; which of them it has, func
isStateEnabled in controllers/state_manager.go, with the defaults of api/nvidia/v1/clusterpolicy_types.go; with ``sandboxWorkloads`` also
those of nodes whose label names virtual machines, func getWorkloadConfig; a label of a node that is set already stays, func
addGPUStateLabels. A GPUCluster's are manifests/state-dra-* and state-dcgm*. With ``driver.useNvidiaDriverCRD`` the driver's are
NVIDIADriver's, one a pool of nodes with the same system and with names of their own (internal/state/driver.go, func getDriverAppName).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import labels
from ansible_collections.t9k.gpu.plugins.module_utils._operator.policy import enabled, section, uses_driver_crd

if TYPE_CHECKING:
    from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState, Object

PLUGIN = "nvidia-device-plugin-daemonset"
DRIVER = "nvidia-driver-daemonset"
CONTAINER, PASSTHROUGH, VGPU = "container", "vm-passthrough", "vm-vgpu"
_MACHINES = (PASSTHROUGH, VGPU)
WORKLOAD_LABEL = "nvidia.com/gpu.workload.config"
DEPLOY = "nvidia.com/gpu.deploy."


@dataclass(frozen=True)
class Operand:
    """What asks for a DaemonSet of the operator, and which nodes it goes to.

    ``component``  the section of the ClusterPolicy (or GPUCluster); "" if nothing switches it off
    ``default``    what that section is without ``enabled``
    ``deploy``     the end of the node label that its pods select by; "false" in it keeps them off a node
    ``workloads``  what the node's GPUs are for
    """

    component: str
    default: bool
    deploy: str
    workloads: tuple[str, ...] = (CONTAINER,)


OPERANDS = {
    "gpu-feature-discovery": Operand("gfd", True, "gpu-feature-discovery"),
    "nvidia-container-toolkit-daemonset": Operand("toolkit", True, "container-toolkit"),
    "nvidia-dcgm": Operand("dcgm", False, "dcgm"),
    "nvidia-dcgm-exporter": Operand("dcgmExporter", True, "dcgm-exporter"),
    PLUGIN: Operand("devicePlugin", True, "device-plugin"),
    DRIVER: Operand("driver", True, "driver"),
    "nvidia-mig-manager": Operand("migManager", True, "mig-manager"),
    "nvidia-node-status-exporter": Operand("nodeStatusExporter", False, "node-status-exporter"),
    "nvidia-operator-validator": Operand("validator", True, "operator-validator"),
}
#: With ``sandboxWorkloads.enabled``, for nodes whose GPUs go to virtual machines.
_SANDBOX = {
    "nvidia-sandbox-device-plugin-daemonset": Operand("sandboxDevicePlugin", False, "sandbox-device-plugin", _MACHINES),
    "nvidia-sandbox-validator": Operand("", True, "sandbox-validator", _MACHINES),
    "nvidia-vfio-manager": Operand("vfioManager", False, "vfio-manager", (PASSTHROUGH,)),
    "nvidia-vgpu-manager-daemonset": Operand("vgpuManager", False, "vgpu-manager", (VGPU,)),
    "nvidia-vgpu-device-manager": Operand("vgpuDeviceManager", False, "vgpu-device-manager", (VGPU,)),
}
_KATA = {
    **{name: found for name, found in _SANDBOX.items() if found.component != "sandboxDevicePlugin"},
    "nvidia-kata-sandbox-device-plugin-daemonset": Operand(
        "kataSandboxDevicePlugin", False, "kata-sandbox-device-plugin", (PASSTHROUGH,)
    ),
}
#: Of a GPUCluster; node feature discovery is all that it shares with a ClusterPolicy's.
_DRA = {
    "nvidia-dra-driver-kubelet-plugin": Operand("draDriver", True, "dra-driver"),
    "nvidia-dra-validator": Operand("", True, "dra-validator"),
    "nvidia-dcgm-exporter-dra": Operand("dcgmExporter", True, "dcgm-exporter-dra"),
    "nvidia-dcgm-dra": Operand("dcgm", False, "dcgm-dra"),
}
ALL = {**OPERANDS, **_SANDBOX, **_KATA, **_DRA}


def table(state: ClusterState) -> Mapping[str, Operand]:
    """Return the operands that the cluster's shape may have, asked for or not."""
    if state.policy is None:
        return _DRA if state.gpu_clusters else {}
    sandbox = section(state.policy, "sandboxWorkloads")
    more: Mapping[str, Operand] = {}
    if sandbox.get("enabled"):
        more = _KATA if sandbox.get("mode") == "kata" else _SANDBOX
    return {**OPERANDS, **more}


def asked_for(state: ClusterState) -> dict[str, Operand]:
    """Return the operands that must be there."""
    found = {}
    for name, operand in table(state).items():
        if operand.component and not enabled(state.config, operand.component, operand.default):
            continue
        if name != DRIVER or not uses_driver_crd(state.policy):
            found[name] = operand
    return found


def workload(state: ClusterState, node: Object) -> str:
    """Return what the node's GPUs are for."""
    sandbox = section(state.policy, "sandboxWorkloads")
    default = sandbox.get("defaultWorkload") or CONTAINER
    return (labels(node).get(WORKLOAD_LABEL) or default) if sandbox.get("enabled") else CONTAINER


def goes_to(state: ClusterState, operand: Operand, node: Object) -> bool:
    """Tell whether a GPU node shall have the operand's pod: it may be switched off there, and another workload has others."""
    if labels(node).get(DEPLOY + operand.deploy) == "false":
        return False
    return workload(state, node) in operand.workloads


def driver_sets(state: ClusterState) -> dict[str, Object]:
    """Return the DaemonSets of driver containers, the operator's own and those of NVIDIADriver."""
    return {
        name: item
        for name, item in state.daemonsets.items()
        if name.startswith(DRIVER) or labels(item).get("app.kubernetes.io/component") == "nvidia-driver"
    }
