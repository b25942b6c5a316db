# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one judge of whether a node's GPUs are well: what was read goes in, typed faults come out. Pure.

The role's proof, ``nvidia_smi_facts`` and the report print these faults and judge nothing themselves, so they cannot disagree.

What the flags mean is NVIDIA's word ("GPU Memory Error Management", docs.nvidia.com/deploy/a100-gpu-mem-error-mgmt): with a
row remapping pending work goes on unharmed until the next reset, a remapping that failed is a matter for the warranty, and a
recovery action is set for errors that were not corrected. A GPU's part in an NVSwitch fabric: the fields of ``nvmlGpuFabricInfo_t`` in
the NVML reference (state, and status once it is complete).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.gpu import Gpu
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import PciDevice
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.proc import KernelModule
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.smi import MEANINGS, REMEDIES, SmiReport

#: The driver or the GPU is not to be relied on.
ERROR = "error"
#: It works; somebody should act when there is time.
WARNING = "warning"

FABRIC_SERVICE = "nvidia-fabricmanager.service"
_NO_ACTION = ("none", "n/a")
_COMPLETED, _SUCCESS = "completed", "success"


@dataclass(frozen=True)
class GpuId:
    """Which GPU, as far as it is known. One that is not in the driver has an address alone."""

    index: int | None = None
    pci_address: str | None = None
    uuid: str | None = None

    def __str__(self) -> str:
        names = ", ".join(name for name in (self.pci_address, self.uuid) if name)
        if self.index is None:
            return f"GPU at {names}"
        return f"GPU {self.index} ({names})" if names else f"GPU {self.index}"


@dataclass(frozen=True)
class Fault:
    """Something a person must act on. ``code`` is stable; ``gpu`` is None where it is the driver's or the node's.

    ``hardware``: of one GPU, whatever the driver. ``may_pass``: by itself, as while a driver starts.
    """

    code: str
    severity: str
    evidence: str
    remedy: str
    gpu: GpuId | None = None
    hardware: bool = False
    may_pass: bool = False

    @property
    def key(self) -> tuple[str, str | int | None]:
        """What makes it the same fault in another reading: code and GPU. Addresses outlast a boot, indices may not."""
        gpu = self.gpu or GpuId()
        return self.code, gpu.pci_address or gpu.uuid or gpu.index

    def __str__(self) -> str:
        about = f"{self.gpu}: " if self.gpu else ""
        return f"{about}{self.evidence}. Next: {self.remedy}."

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "message": str(self)}

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Fault:
        """Read what ``to_dict`` wrote."""
        gpu = told.get("gpu")
        code, severity, evidence, remedy = (str(told.get(key)) for key in ("code", "severity", "evidence", "remedy"))
        who = GpuId(**{key: gpu.get(key) for key in GpuId.__dataclass_fields__}) if gpu else None
        return cls(code, severity, evidence, remedy, who, told.get("hardware") is True, told.get("may_pass") is True)


def judge(devices: Iterable[PciDevice], module: KernelModule, report: SmiReport) -> tuple[Fault, ...]:
    """Every fault of the driver and of each GPU; empty where all GPUs of the bus are seen and sound."""
    missing = unseen(devices, report.gpus)
    if not report.gpus:
        return (_silent(missing, module, report),)  # that it shows no GPU says it for each of them
    by_gpu = (fault for gpu in report.gpus for fault in judge_gpu(gpu))
    told = report.status == "ok" or any(gpu.lost for gpu in report.gpus)
    return (*(() if told else (_silent((), module, report),)), *map(_not_in_driver, missing), *by_gpu)


def unseen(devices: Iterable[PciDevice], gpus: Iterable[Gpu]) -> tuple[PciDevice, ...]:
    """GPUs of the bus that nvidia-smi does not list. A host's driver never lists virtual functions: they are not missed."""
    seen = {gpu.pci_address for gpu in gpus}
    wanted = (device for device in devices if device.is_gpu and not device.virtual_function)
    return tuple(device for device in wanted if device.address not in seen)


def judge_gpu(gpu: Gpu) -> Iterator[Fault]:
    """What is wrong with one GPU by its own account."""
    who = GpuId(gpu.index, gpu.pci_address, gpu.uuid)
    if gpu.lost:
        yield Fault("gpu_lost", ERROR, MEANINGS["gpu_lost"], REMEDIES["gpu_lost"], who, hardware=True)
    if gpu.ecc_uncorrected_count:
        count = f"{gpu.ecc_uncorrected_count} uncorrected memory errors since the driver was loaded"
        yield Fault("ecc_uncorrected", ERROR, count, "reset the GPU", who, hardware=True)
    if gpu.remapped_rows_failure:
        failed = "a memory row could not be remapped"
        yield Fault("row_remap_failure", ERROR, failed, "have the GPU replaced", who, hardware=True)
    if gpu.remapped_rows_pending or gpu.retired_pages_pending:
        waits = "memory waits to be retired"
        yield Fault(
            "memory_retirement_pending", WARNING, waits, "reset the GPU or reboot when it is idle", who, hardware=True
        )
    if str(gpu.recovery_action or "None").lower() not in _NO_ACTION:
        action = f"the driver asks for the recovery action {gpu.recovery_action}"
        yield Fault(
            "recovery_action", ERROR, action, "drain the node and do what the driver asks for", who, hardware=True
        )
    if None not in (gpu.mig_mode_current, gpu.mig_mode_pending) and gpu.mig_mode_current != gpu.mig_mode_pending:
        change = f"MIG mode change is pending ({'on' if gpu.mig_mode_pending else 'off'} after a reset)"
        yield Fault("mig_change_pending", WARNING, change, "reset the GPU when it is idle", who)
    yield from _in_fabric(gpu, who)


def _in_fabric(gpu: Gpu, who: GpuId) -> Iterator[Fault]:
    """Judge its part in the fabric, which it may have although no switch is seen: in a guest, whose host has them.

    Before Hopper, and where there is none, the driver says nothing of it.
    """
    if gpu.fabric_state is None:
        return
    if gpu.fabric_state.lower() != _COMPLETED:
        found = f"its fabric state is {gpu.fabric_state}, so CUDA answers 802"
        remedy = f"see journalctl -u {FABRIC_SERVICE}; fabric manager must run, be of the driver's version, and know the switches"
        yield Fault("fabric_incomplete", ERROR, found, remedy, who, may_pass=True)
    elif (gpu.fabric_status or _SUCCESS).lower() != _SUCCESS:
        found = f"it is in the fabric with the status {gpu.fabric_status}"
        remedy = f"see journalctl -u {FABRIC_SERVICE} and the NVLinks (nvidia-smi nvlink -s)"
        yield Fault("fabric_status", ERROR, found, remedy, who)


def _silent(missing: tuple[PciDevice, ...], module: KernelModule, report: SmiReport) -> Fault:
    """nvidia-smi does not answer as it should: one fault, with all that was found beside it."""
    kind = f" ({module.kernel_modules})" if module.kernel_modules else ""
    loaded = f"kernel module {module.version}{kind} is loaded" if module.loaded else "no kernel module is loaded"
    bus = [f"on the bus: {', '.join(map(_described, missing))}"] if missing else []
    found = "; ".join([*([report.found] if report.found else []), loaded, *bus])
    evidence = f"{MEANINGS[report.status]} (found: {found})"
    may_pass = report.status not in ("not_installed", "version_mismatch")
    return Fault(f"smi_{report.status}", ERROR, evidence, REMEDIES[report.status], may_pass=may_pass)


def _not_in_driver(device: PciDevice) -> Fault:
    return Fault(
        "gpu_not_in_driver",
        ERROR,
        f"it is on the bus ({_kind(device)}), but not in the driver",
        "look for Xid messages in the kernel log, and for what else has claimed it",
        GpuId(pci_address=device.address),
        hardware=True,
        may_pass=True,
    )


def _described(device: PciDevice) -> str:
    return f"{device.address} ({_kind(device)})"


def _kind(device: PciDevice) -> str:
    return f"{device.device_id}, {f'bound to {device.driver}' if device.driver else 'bound to no driver'}"
