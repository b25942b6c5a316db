# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The GPUs of a node from all three sources, compared."""

from __future__ import annotations

from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import health as nvidia_health
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import PciDevice
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.proc import KernelModule
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.smi import SmiReport


def facts(devices: tuple[PciDevice, ...], module: KernelModule, report: SmiReport) -> dict[str, Any]:
    """What the module returns; ``report`` already completed with ``module``."""
    health = nvidia_health.judge(devices, module, report)
    nodes = {device.address: device.numa_node for device in devices}
    gpus = [{**gpu.to_dict(), "numa_node": nodes.get(gpu.pci_address or "")} for gpu in report.gpus]
    return {
        **report.to_dict(),
        "gpus": gpus,
        "gpu_count": len(gpus),
        "pci_gpus": [device.to_dict() for device in devices if device.is_gpu],
        "nvswitch_count": sum(device.is_nvswitch for device in devices),
        "gpus_missing_from_driver": [device.address for device in nvidia_health.unseen(devices, report.gpus)],
        "kernel_module": {
            "loaded": module.loaded,
            "version": module.version,
            "kernel_modules": module.kernel_modules,
            "flavour": module.kernel_modules,
            "params": dict(module.params),
        },
        "healthy": not health,
        "faults": [str(fault) for fault in health],
        "health": [fault.to_dict() for fault in health],
        "topology": None,
    }
