"""GPUs before and after a change: each thing that may differ, and what is meant to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from node_builder import A40, finished_node

from ansible_collections.t9k.gpu.plugins.module_utils._driver import before as driver_before
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import smi as nvidia_smi
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.gpu import Gpu, MigDevice

ADDRESSES = ("0000:18:00.0", "0000:3b:00.0")
SLICE = MigDevice(0, 1, 0, "MIG-1", 42, 20096, 0)
SMALL = MigDevice(1, 2, 0, "MIG-2", 14, 9856, 0)


def node(*gpus: dict[str, Any], bus: tuple[str, ...] = ADDRESSES) -> NodeState:
    """A node whose driver shows these GPUs, and whose bus has these addresses."""
    sound = finished_node("525.147.05")
    made = tuple(
        replace(
            sound.smi.gpus[0],
            **{"index": index, "pci_address": ADDRESSES[index], "uuid": f"GPU-{index}", "memory_total_mib": 40960,
               "ecc_enabled": True, "ecc_pending": True, "pcie_link_width_max": 16, "pcie_link_width_current": 16, **each},
        )
        for index, each in enumerate(gpus)
    )  # fmt: skip
    return replace(sound, smi=replace(sound.smi, gpus=made), pci=tuple(replace(A40, address=each) for each in bus))


def compared(before: NodeState, now: NodeState) -> list[str]:
    now = replace(now, files={**now.files, driver_files.BEFORE: driver_before.render(before)})
    read = driver_before.read(now)
    assert read is not None
    return [f"{fault.severity} {fault.code} {fault.gpu}" for fault in driver_before.compare(read, now)]


FIRST = f"GPU 0 ({ADDRESSES[0]}, GPU-0)"
SECOND = f"GPU 1 ({ADDRESSES[1]}, GPU-1)"
MIG: dict[str, Any] = {"mig_mode_current": True, "mig_mode_pending": True, "mig_devices": (SLICE, SMALL)}
TABLE = [
    # the two GPUs before; after; what differs
    (node({}, {}), node({}, {}), []),
    (node({}, {}), node({}, bus=ADDRESSES[:1]), [f"error gpu_gone {SECOND}"]),
    (node({}, {}), node(bus=()), [f"error gpu_gone {FIRST}", f"error gpu_gone {SECOND}"]),
    (node({}, {}), node({}), []),  # on the bus still: that the driver does not show it is another fault
    (node({}, bus=ADDRESSES), node({}, bus=ADDRESSES[:1]), [f"error gpu_gone GPU at {ADDRESSES[1]}"]),
    (node({}), node({}, {}), []),
    (node({}, {}), node({}, {"uuid": "GPU-9"}), [f"error gpu_exchanged GPU 1 ({ADDRESSES[1]}, GPU-9)"]),
    (node({}, {}), node({"uuid": "GPU-1"}, {"uuid": "GPU-0"}),
     [f"warning gpu_moved GPU 1 ({ADDRESSES[1]}, GPU-0)", f"warning gpu_moved GPU 0 ({ADDRESSES[0]}, GPU-1)"]),
    (node({}), node({"ecc_enabled": False}), [f"error ecc_mode_differs {FIRST}"]),
    (node({"ecc_pending": False}), node({"ecc_enabled": False}), []),
    (node({"ecc_pending": False}), node({}), [f"error ecc_mode_differs {FIRST}"]),
    (node({}), node({"ecc_enabled": None}), []),
    (node({"ecc_enabled": None, "ecc_pending": None}), node({}), []),
    (node(MIG), node(MIG), []),
    (node(MIG), node({**MIG, "mig_devices": (replace(SMALL, index=0, uuid="MIG-8"), SLICE)}), []),
    (node(MIG), node({**MIG, "mig_devices": (replace(SLICE, memory_total_mib=19968), SMALL)}), []),
    (node(MIG), node({**MIG, "mig_devices": (SLICE, replace(SMALL, memory_total_mib=20096))}), [f"error mig_devices_differ {FIRST}"]),
    (node(MIG), node({**MIG, "mig_devices": (SMALL,)}), [f"error mig_devices_differ {FIRST}"]),
    (node(MIG), node({**MIG, "mig_devices": ()}), [f"error mig_devices_differ {FIRST}"]),
    (node(MIG), node({**MIG, "mig_mode_current": False, "mig_devices": ()}), [f"error mig_mode_differs {FIRST}"]),
    (node({**MIG, "mig_mode_pending": False}), node({"mig_mode_current": False}), []),
    (node({}), node({"pcie_link_width_max": 8, "pcie_link_width_current": 8}), [f"error pcie_width_lower {FIRST}"]),
    (node({}), node({"pcie_link_width_current": 8}), [f"warning pcie_width_reduced {FIRST}"]),
    (node({"pcie_link_width_current": 8}), node({}), []),
    (node({}), node({"pcie_link_width_max": None, "pcie_link_width_current": None}), []),
]  # fmt: skip


@pytest.mark.parametrize(("before", "now", "expected"), TABLE)
def test_what_differs(before: NodeState, now: NodeState, expected: list[str]) -> None:
    assert compared(before, now) == expected


def test_only_what_mig_lost_may_come_back_by_itself() -> None:
    before, now = node(MIG), node({**MIG, "mig_devices": (), "ecc_enabled": False})
    told = driver_before.Before(before.smi.gpus, ())
    assert {fault.code: fault.may_pass for fault in driver_before.compare(told, now)} == {
        "ecc_mode_differs": False,
        "mig_devices_differ": True,
    }


@pytest.mark.parametrize("capture", ["h200-sxm-580-open", "derived-a100-mig-535", "derived-a40-x7-525"])
def test_a_capture_is_as_it_was(fixtures: Path, capture: str) -> None:
    report = nvidia_smi.parse((fixtures / capture / "nvidia-smi-q.xml").read_text())
    state = replace(node(bus=tuple(str(gpu.pci_address) for gpu in report.gpus)), smi=report)
    assert report.gpus and compared(state, state) == []


def test_nothing_of_a_running_gpus_load_is_remembered() -> None:
    text = driver_before.render(node({"temperature_c": 77}))
    assert "temperature" not in text and set(driver_before._GPU_KEYS) <= set(Gpu.__dataclass_fields__)
