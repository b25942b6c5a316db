"""What is wrong with a node that has a driver: a sound one, and one fault at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from node_builder import A40, bare_node, finished_node

from ansible_collections.t9k.gpu.plugins.module_utils._driver.proof import problems
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import smi as nvidia_smi

V525 = "525.147.05"
SOUND = finished_node(V525)


def gpu(**fields: Any) -> NodeState:
    return replace(SOUND, smi=replace(SOUND.smi, gpus=(replace(SOUND.smi.gpus[0], **fields),)))


def driver(**fields: Any) -> NodeState:
    assert SOUND.driver is not None
    return replace(SOUND, driver=replace(SOUND.driver, **fields))


@pytest.mark.parametrize(
    ("state", "wanted", "expected"),
    [
        (SOUND, Wanted(), []),
        (gpu(recovery_action="None"), Wanted(), []),
        (gpu(recovery_action="Drain and Reset"), Wanted(), ["asks for recovery: Drain and Reset"]),
        (gpu(ecc_uncorrected_count=0), Wanted(), []),
        (gpu(ecc_uncorrected_count=3), Wanted(), ["counts 3 uncorrected ECC errors"]),
        (gpu(persistence_enabled=False), Wanted(), ["persistence mode is off on GPU 0"]),
        (gpu(persistence_enabled=False), Wanted(persistence=False), []),
        (gpu(persistence_enabled=None), Wanted(), []),
        (replace(SOUND, pci=(A40, replace(A40, address="0000:af:00.0"))), Wanted(), ["PCI 0000:af:00.0 is not seen"]),
        (driver(library_version="525.105.17"), Wanted(), [f"package {V525}, library 525.105.17, loaded module {V525}"]),
        (driver(fabric_manager_version="525.105.17"), Wanted(), ["fabric manager 525.105.17"]),
        (driver(library_version=None), Wanted(), []),
        (replace(SOUND, kernel_module=replace(SOUND.kernel_module, version="525.1")), Wanted(), ["loaded module 525.1"]),
        (replace(SOUND, driver=None), Wanted(), []),
        (bare_node(), Wanted(), ["nvidia-smi: nvidia-smi or its library libnvidia-ml is not installed"]),
        (bare_node(), Wanted(state="absent"), []),
        (gpu(recovery_action="Reboot", ecc_uncorrected_count=1, persistence_enabled=False), Wanted(), ["persistence", "ECC", "recovery"]),
    ],
)  # fmt: skip
def test_problems(state: NodeState, wanted: Wanted, expected: list[str]) -> None:
    found = problems(state, wanted)
    assert len(found) == len(expected)
    assert all(part in problem for part, problem in zip(expected, found))


@pytest.mark.parametrize(
    ("capture", "expected"),
    [("h200-sxm-580-open", "ok"), ("derived-h200-x2-gpu-lost-580", "gpu_lost")],
)
def test_captures(fixtures: Path, capture: str, expected: str) -> None:
    """The H200 says ``None`` for its recovery action, which is no fault; a lost GPU is one."""
    report = nvidia_smi.parse((fixtures / capture / "nvidia-smi-q.xml").read_text())
    pci = tuple(replace(A40, address=each.pci_address) for each in report.gpus if each.pci_address)
    found = problems(replace(SOUND, driver=None, smi=report, pci=pci), Wanted())
    assert report.status == expected
    assert len(found) == (expected != "ok")
