# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare the GPUs of a node with what they were before a change, and excuse what was wrong already. Pure.

It is kept on the node until a proof holds, not in the run's memory: else the run after a failed one would take a loss for how
things always were. What NVIDIA says of the fields: the maximum of the link width is that of GPU and system together, while the
current one "may be reduced when the GPU is not in use" (nvidia-smi(1)); MIG devices do not outlast a boot, and the MIG mode does
on Ampere alone, so somebody must make them again (MIG User Guide); ECC and MIG modes that were pending take effect at a reset.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import health as nvidia_health
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.gpu import Gpu
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import ERROR, WARNING, Fault, GpuId

#: What MIG's geometry may wait for; an older driver has it no more than a newer one.
MIG_CODES = frozenset(("mig_mode_differs", "mig_devices_differ"))
_AGAIN = f"if that is meant to be, remove {driver_files.BEFORE} and run again"
_GPU_KEYS = (
    "index",
    "pci_address",
    "uuid",
    "memory_total_mib",
    "mig_mode_current",
    "mig_mode_pending",
    "mig_devices",
    "ecc_enabled",
    "ecc_pending",
    "pcie_link_width_max",
    "pcie_link_width_current",
)


@dataclass(frozen=True)
class Before:
    """Hold the GPUs, and the faults of single ones that were there already."""

    gpus: tuple[Gpu, ...]
    faults: tuple[Fault, ...]

    def knew(self, fault: Fault) -> bool:
        return fault.key in {each.key for each in self.faults}


def render(state: NodeState) -> str:
    """Write what the node has now, as the text of its file."""
    shown = [{key: told for key, told in gpu.to_dict().items() if key in _GPU_KEYS} for gpu in state.smi.gpus]
    unseen = [{"pci_address": device.address} for device in nvidia_health.unseen(state.pci, state.smi.gpus)]
    health = nvidia_health.judge(state.pci, state.kernel_module, state.smi)
    told = {"gpus": [*shown, *unseen], "faults": [fault.to_dict() for fault in health if fault.hardware]}
    return json.dumps(told, indent=1) + "\n"


def read(state: NodeState) -> Before | None:
    """Read the node's file. None: no change is under way. One that cannot be read compares and excuses nothing."""
    text = state.files[driver_files.BEFORE]
    if text is None:
        return None
    try:
        told = json.loads(text)
        gpus = tuple(Gpu.of(gpu, position) for position, gpu in enumerate(told["gpus"]))
        return Before(gpus, tuple(Fault.of(fault) for fault in told["faults"]))
    except (ValueError, TypeError, KeyError, AttributeError):
        return Before((), ())


def compare(before: Before, state: NodeState) -> Iterator[Fault]:
    """Find what is not as it was: GPUs gone, exchanged or moved, and their modes and links."""
    bus = {device.address for device in state.gpus}
    by_name = {name: gpu for gpu in state.smi.gpus for name in (gpu.pci_address, gpu.uuid) if name}
    for gpu in before.gpus:
        now = by_name.get(gpu.uuid or "") or by_name.get(gpu.pci_address or "")
        if now is not None:
            yield from _same_place(gpu, now)
        elif gpu.pci_address not in bus:
            found = "it was there before the change and is not on the PCI bus any more"
            yield Fault("gpu_gone", ERROR, found, f"look at the kernel log and the hardware; {_AGAIN}", _who(gpu))


def _same_place(gpu: Gpu, now: Gpu) -> Iterator[Fault]:
    if gpu.uuid and now.uuid and gpu.uuid != now.uuid:
        yield Fault("gpu_exchanged", ERROR, f"{gpu.uuid} was in its place before the change", _AGAIN, _who(now))
        return
    if gpu.pci_address != now.pci_address:
        found = f"it was at {gpu.pci_address} before the change"
        yield Fault("gpu_moved", WARNING, found, "see whether anything names it by its address", _who(now))
    yield from _modes(gpu, now)
    yield from _link(gpu, now)


def _modes(gpu: Gpu, now: Gpu) -> Iterator[Fault]:
    ecc = gpu.ecc_pending if gpu.ecc_pending is not None else gpu.ecc_enabled
    mig = gpu.mig_mode_pending if gpu.mig_mode_pending is not None else gpu.mig_mode_current
    if None not in (ecc, now.ecc_enabled) and ecc != now.ecc_enabled:
        found = f"ECC is {_switch(now.ecc_enabled)}, and was to be {_switch(ecc)}"
        yield Fault("ecc_mode_differs", ERROR, found, f"nvidia-smi -e and a reset; {_AGAIN}", _who(now))
    remake = f"have it made again (nvidia-mig-parted, or the operator's MIG manager) and run again; {_AGAIN}"
    if None not in (mig, now.mig_mode_current) and mig != now.mig_mode_current:
        found = f"MIG is {_switch(now.mig_mode_current)}, and was to be {_switch(mig)}"
        yield Fault("mig_mode_differs", ERROR, found, remake, _who(now), may_pass=True)
    elif gpu.mig_mode_current and now.mig_mode_current and _slices(gpu) != _slices(now):
        found = f"MIG devices: {_shown(now)}, and before the change {_shown(gpu)}"
        yield Fault("mig_devices_differ", ERROR, found, remake, _who(now), may_pass=True)


def _link(gpu: Gpu, now: Gpu) -> Iterator[Fault]:
    could, can = gpu.pcie_link_width_max, now.pcie_link_width_max
    was, is_now = gpu.pcie_link_width_current, now.pcie_link_width_current
    if _less(could, can):
        found = f"its PCIe link can be x{can} wide, and could be x{could} before the change"
        yield Fault("pcie_width_lower", ERROR, found, f"look at seating, riser and slot; {_AGAIN}", _who(now))
    elif _less(was, is_now):
        found = f"its PCIe link is x{is_now} wide, and was x{was} before the change"
        remedy = "look again while the GPU works: an idle link may be narrower, a busy one must not"
        yield Fault("pcie_width_reduced", WARNING, found, remedy, _who(now))


def _less(then: int | None, now: int | None) -> bool:
    return then is not None and now is not None and now < then


def _slices(gpu: Gpu) -> Counter[tuple[int | None, int]]:
    """Count the MIG devices by SMs and eighths of the memory: how many MiB they have differs a little between drivers."""
    total = gpu.memory_total_mib or 0
    return Counter(
        (each.multiprocessor_count, round(8 * (each.memory_total_mib or 0) / total) if total else 0)
        for each in gpu.mig_devices
    )


def _shown(gpu: Gpu) -> str:
    counted = sorted(_slices(gpu).items(), key=str)
    return ", ".join(f"{count} of {units} SM and {part}/8 of the memory" for (units, part), count in counted) or "none"


def _switch(value: Any) -> str:
    return "on" if value else "off"


def _who(gpu: Gpu) -> GpuId:
    return GpuId(gpu.index if gpu.uuid else None, gpu.pci_address, gpu.uuid)


def excused(before: Before | None, health: Iterable[Fault], state: NodeState) -> tuple[Fault, ...]:
    """Return the faults that fail nothing: of the hardware of single GPUs, and there before the change, where there was one.

    A driver that does not answer, that shows no sound GPU, or that is not as wanted is never excused.
    """
    if not any(not gpu.lost for gpu in state.smi.gpus):
        return ()
    return tuple(fault for fault in health if fault.hardware and (before is None or before.knew(fault)))
