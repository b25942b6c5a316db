# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The GPUs of a node from all three sources, compared. Private: subject to change without notice."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.gpu import Gpu
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import PciDevice
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.proc import KernelModule
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.smi import SmiReport


def missing_from_driver(devices: Iterable[PciDevice], gpus: Iterable[Gpu]) -> tuple[PciDevice, ...]:
    """GPUs on the bus that nvidia-smi does not list. Virtual functions are never listed, so they are not missed."""
    seen = {gpu.pci_address for gpu in gpus}
    wanted = (device for device in devices if device.is_gpu and not device.virtual_function)
    return tuple(device for device in wanted if device.address not in seen)


def faults(report: SmiReport, missing: Iterable[PciDevice]) -> list[str]:
    """Everything a person must act on, one sentence each."""
    found = [] if report.status == "ok" else [report.message]
    for device in missing:
        bound = f"bound to {device.driver}" if device.driver else "bound to no driver"
        found.append(f"The GPU at {device.address} ({device.device_id}, {bound}) is on the bus, but not in the driver.")
    for gpu in report.gpus:
        found += [f"GPU {gpu.index} ({gpu.pci_address}): {what}." for what in _gpu_faults(gpu)]
    return found


def _gpu_faults(gpu: Gpu) -> list[str]:
    found = []
    if gpu.ecc_uncorrected_count:
        found.append(
            f"{gpu.ecc_uncorrected_count} uncorrected memory errors since the driver was loaded; reset the GPU"
        )
    if gpu.remapped_rows_failure:
        found.append("a memory row could not be remapped; the GPU needs replacing")
    if gpu.remapped_rows_pending or gpu.retired_pages_pending:
        found.append("memory waits to be retired; reset the GPU or reboot")
    if gpu.recovery_action not in (None, "None"):
        found.append(f"the driver asks for the recovery action {gpu.recovery_action}")
    return found


def facts(devices: tuple[PciDevice, ...], module: KernelModule, report: SmiReport) -> dict[str, Any]:
    """What the module returns; ``report`` already completed with ``module``."""
    missing = missing_from_driver(devices, report.gpus)
    found = faults(report, missing)
    nodes = {device.address: device.numa_node for device in devices}
    gpus = [{**gpu.to_dict(), "numa_node": nodes.get(gpu.pci_address or "")} for gpu in report.gpus]
    return {
        **report.to_dict(),
        "gpus": gpus,
        "gpu_count": len(gpus),
        "pci_gpus": [device.to_dict() for device in devices if device.is_gpu],
        "nvswitch_count": sum(device.is_nvswitch for device in devices),
        "gpus_missing_from_driver": [device.address for device in missing],
        "kernel_module": {
            "loaded": module.loaded,
            "version": module.version,
            "flavour": module.flavour,
            "params": dict(module.params),
        },
        "healthy": not found,
        "faults": found,
        "topology": None,
    }
