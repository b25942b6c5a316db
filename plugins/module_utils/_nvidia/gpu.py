# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read one GPU as ``nvidia-smi -q -x`` describes it, up to schema v13."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import architecture, normal_address
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.xml import bare, flag, number, text, whole

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_LOST = "gpu is lost"


@dataclass(frozen=True)
class MigDevice:
    """One MIG device of a GPU."""

    index: int | None
    gpu_instance_id: int | None
    compute_instance_id: int | None
    uuid: str | None
    multiprocessor_count: int | None
    memory_total_mib: int | None
    memory_used_mib: int | None


@dataclass(frozen=True)
class Gpu:
    """One GPU. None: this driver, GPU or moment does not say. The plain ECC counts are those since the driver was
    loaded (NVIDIA's "volatile"), the aggregate ones those of the GPU's life."""

    index: int
    product_name: str | None
    architecture: str | None
    uuid: str | None
    serial: str | None
    minor_number: int | None
    vbios_version: str | None
    pci_address: str | None
    pci_device_id: str | None
    memory_total_mib: int | None
    memory_used_mib: int | None
    persistence_enabled: bool | None
    mig_mode_current: bool | None
    mig_mode_pending: bool | None
    mig_devices: tuple[MigDevice, ...]
    ecc_enabled: bool | None
    ecc_pending: bool | None
    ecc_corrected_count: int | None
    ecc_uncorrected_count: int | None
    ecc_aggregate_corrected_count: int | None
    ecc_aggregate_uncorrected_count: int | None
    remapped_rows_pending: bool | None
    remapped_rows_failure: bool | None
    retired_pages_pending: bool | None
    gsp_firmware_version: str | None
    gsp_enabled: bool | None
    virtualization_mode: str | None
    recovery_action: str | None
    fabric_state: str | None
    fabric_status: str | None
    pcie_link_width_max: int | None
    pcie_link_width_current: int | None
    compute_mode: str | None
    process_count: int | None
    compute_process_count: int | None
    utilization_percent: int | None
    temperature_c: int | None
    power_draw_w: float | None
    power_limit_w: float | None
    lost: bool

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "mig_devices": [asdict(device) for device in self.mig_devices]}

    @classmethod
    def of(cls, told: Mapping[str, Any], position: int) -> Gpu:
        """Read what ``to_dict`` wrote, by this or another version: what is not told is None."""
        known: dict[str, Any] = {name: told.get(name) for name in cls.__dataclass_fields__}
        told_slices = known["mig_devices"] if isinstance(known["mig_devices"], (list, tuple)) else ()
        slices = [MigDevice(*map(each.get, MigDevice.__dataclass_fields__)) for each in told_slices]
        index = position if known["index"] is None else known["index"]
        return cls(**{**known, "index": index, "mig_devices": tuple(slices), "lost": known["lost"] is True})


def read_gpu(index: int, gpu: Element) -> Gpu:
    """Return the GPU of one ``<gpu>`` element; nothing in it is required."""
    device_id = _device_id(text(gpu, "pci/pci_device_id"))
    return Gpu(
        index=index,
        product_name=text(gpu, "product_name"),
        architecture=_architecture(text(gpu, "product_architecture"), device_id),
        uuid=text(gpu, "uuid"),
        serial=text(gpu, "serial"),
        minor_number=whole(gpu, "minor_number"),
        vbios_version=text(gpu, "vbios_version"),
        pci_address=normal_address(text(gpu, "pci/pci_bus_id") or gpu.get("id") or ""),
        pci_device_id=device_id,
        memory_total_mib=whole(gpu, "fb_memory_usage/total", "MiB", "MB"),
        memory_used_mib=whole(gpu, "fb_memory_usage/used", "MiB", "MB"),
        persistence_enabled=flag(gpu, "persistence_mode"),
        mig_mode_current=flag(gpu, "mig_mode/current_mig"),
        mig_mode_pending=flag(gpu, "mig_mode/pending_mig"),
        mig_devices=tuple(_mig_device(device) for device in gpu.iterfind("mig_devices/mig_device")),
        ecc_enabled=flag(gpu, "ecc_mode/current_ecc"),
        ecc_pending=flag(gpu, "ecc_mode/pending_ecc"),
        ecc_corrected_count=_ecc_count(gpu, "volatile", corrected=True),
        ecc_uncorrected_count=_ecc_count(gpu, "volatile", corrected=False),
        ecc_aggregate_corrected_count=_ecc_count(gpu, "aggregate", corrected=True),
        ecc_aggregate_uncorrected_count=_ecc_count(gpu, "aggregate", corrected=False),
        remapped_rows_pending=flag(gpu, "remapped_rows/remapped_row_pending"),
        remapped_rows_failure=flag(gpu, "remapped_rows/remapped_row_failure"),
        retired_pages_pending=_first(
            flag(gpu, f"retired_pages/pending_{word}") for word in ("retirement", "blacklist")
        ),
        gsp_firmware_version=text(gpu, "gsp_firmware_version"),
        gsp_enabled=_gsp_enabled(gpu),
        virtualization_mode=text(gpu, "gpu_virtualization_mode/virtualization_mode"),
        recovery_action=text(gpu, "gpu_recovery_action"),
        fabric_state=text(gpu, "fabric/state"),
        fabric_status=_fabric_status(gpu),
        pcie_link_width_max=_lanes(gpu, "max"),
        pcie_link_width_current=_lanes(gpu, "current"),
        compute_mode=text(gpu, "compute_mode"),
        process_count=_process_count(gpu),
        compute_process_count=_process_count(gpu, computing=True),
        utilization_percent=whole(gpu, "utilization/gpu_util", "%"),
        temperature_c=whole(gpu, "temperature/gpu_temp", "C"),
        power_draw_w=_power(gpu, "power_draw", "instant_power_draw", "average_power_draw"),
        power_limit_w=_power(gpu, "current_power_limit", "enforced_power_limit", "power_limit"),
        lost=any(bare(element.text) == _LOST for element in gpu.iter()),
    )


def _lanes(gpu: Element, which: str) -> int | None:
    return whole(gpu, f"pci/pci_gpu_link_info/link_widths/{which}_link_width", "x")


def _first(values: Iterable[Any]) -> Any:
    return next((value for value in values if value is not None), None)


def _device_id(combined: str | None) -> str | None:
    """Return the device's half of ``233510DE`` or ``0x233510DE``: device, then vendor."""
    found = re.fullmatch(r"(?:0[xX])?([0-9a-fA-F]{4})10[dD][eE]", combined or "")
    return found.group(1).lower() if found else None


def _architecture(said: str | None, device_id: str | None) -> str | None:
    if said is None:
        return architecture(device_id or "")
    return "Ada" if said == "Ada Lovelace" else said


def _gsp_enabled(gpu: Element) -> bool | None:
    """Tell whether GSP runs. A version: on. N/A in a schema that has the field: off. Anything else says nothing."""
    if text(gpu, "gsp_firmware_version") is not None:
        return True
    return False if bare(gpu.findtext("gsp_firmware_version")) == "n/a" else None


def _ecc_count(gpu: Element, lifetime: str, corrected: bool) -> int | None:
    """Add up the memories a schema tells apart: single and double bits, or SRAM and DRAM, or SRAM by its code."""
    counts = gpu.find(f"ecc_errors/{lifetime}")
    if counts is None:
        return None
    old = whole(counts, f"{'single' if corrected else 'double'}_bit/total")
    tags = [child.tag for child in counts if "correctable" in child.tag and ("uncorrectable" in child.tag) != corrected]
    known = [value for value in (old, *(whole(counts, tag) for tag in tags)) if value is not None]
    return sum(known) if known else None


def _fabric_status(gpu: Element) -> str | None:
    """Return ``Success`` or the error's words, "Unknown Error" among them, which elsewhere means that nothing is known."""
    raw = gpu.findtext("fabric/status")
    return "Unknown Error" if bare(raw) == "unknown error" else text(gpu, "fabric/status")


def _process_count(gpu: Element, computing: bool = False) -> int | None:
    """Types are C (compute), G (graphics), C+G, and M+C for a client of MPS."""
    processes = gpu.find("processes")
    if processes is None or (processes.text or "").strip():
        return None
    types = [process.findtext("type") or "" for process in processes.findall("process_info")]
    return len([each for each in types if "C" in each or not computing])


def _power(gpu: Element, *names: str) -> float | None:
    blocks = ("gpu_power_readings", "power_readings")
    return _first(number(gpu, f"{block}/{name}", "W") for block in blocks for name in names)


def _mig_device(device: Element) -> MigDevice:
    return MigDevice(
        index=whole(device, "index"),
        gpu_instance_id=whole(device, "gpu_instance_id"),
        compute_instance_id=whole(device, "compute_instance_id"),
        uuid=text(device, "uuid"),
        multiprocessor_count=whole(device, "device_attributes/shared/multiprocessor_count"),
        memory_total_mib=whole(device, "fb_memory_usage/total", "MiB", "MB"),
        memory_used_mib=whole(device, "fb_memory_usage/used", "MiB", "MB"),
    )
