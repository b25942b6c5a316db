"""What is wrong with a node that has a driver: a sound one, and one fault at a time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from node_builder import A40, bare_node, finished_node

from ansible_collections.t9k.gpu.plugins.module_utils._driver.proof import faults, gsp_faults, prove
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._gsp.verdict import Verdict
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import smi as nvidia_smi
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.fabric import Fabric
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import ERROR, Fault

V525 = "525.147.05"
SOUND = finished_node(V525)


def gpu(**fields: Any) -> NodeState:
    return replace(SOUND, smi=replace(SOUND.smi, gpus=(replace(SOUND.smi.gpus[0], **fields),)))


def plugged(address: str, **fields: Any) -> NodeState:
    return replace(SOUND, pci=(A40, replace(A40, address=address, **fields)))


def driver(**fields: Any) -> NodeState:
    assert SOUND.driver is not None
    return replace(SOUND, driver=replace(SOUND.driver, **fields))


@pytest.mark.parametrize(
    ("state", "wanted", "expected"),
    [
        (SOUND, Wanted(), []),
        (gpu(recovery_action="Drain and Reset"), Wanted(), [("recovery_action", "recovery action Drain and Reset")]),
        (gpu(ecc_uncorrected_count=3), Wanted(), [("ecc_uncorrected", "3 uncorrected memory errors")]),
        (gpu(remapped_rows_failure=True), Wanted(), [("row_remap_failure", "could not be remapped")]),
        (gpu(persistence_enabled=False), Wanted(), [("persistence_off", "persistence mode is off on GPU 0")]),
        (gpu(persistence_enabled=False), Wanted(persistence=False), []),
        (gpu(persistence_enabled=None), Wanted(), []),
        (plugged("0000:af:00.0"), Wanted(), [("gpu_not_in_driver", "GPU at 0000:af:00.0: it is on the bus")]),
        (plugged("0000:18:00.4", virtual_function=True), Wanted(), []),
        (driver(library_version="525.105.17"), Wanted(),
         [("versions_differ", f"package {V525}, library 525.105.17, loaded module {V525}")]),
        (driver(fabric_manager_version="525.105.17"), Wanted(), [("versions_differ", "fabric manager 525.105.17")]),
        (driver(library_version=None), Wanted(), []),
        (driver(kernel_modules="open"), Wanted(),
         [("kernel_modules_differ", "proprietary kernel modules are loaded, open ones are installed")]),
        (replace(SOUND, kernel_module=replace(SOUND.kernel_module, version="525.1")), Wanted(),
         [("versions_differ", "loaded module 525.1")]),
        (replace(SOUND, driver=None), Wanted(), []),
        (bare_node(), Wanted(), [("smi_not_installed", "libnvidia-ml is not installed")]),
        (bare_node(), Wanted(state="absent"), []),
        (gpu(fabric_state="In Progress"), Wanted(), [("fabric_incomplete", "fabric state is In Progress")]),
        (gpu(fabric_state="In Progress"), Wanted(fabric_manager="absent"), [("fabric_incomplete", "802")]),
        (replace(SOUND, fabric=Fabric("NVSwitch", True)), Wanted(), [("fabric_manager_not_running", "no fabric manager")]),
        (replace(SOUND, fabric=Fabric("NVSwitch", True)), Wanted(fabric_manager="absent"), []),
        (replace(SOUND, fabric=Fabric("NVSwitch", True, companions={"libnvsdm": V525})), Wanted(fabric_manager="absent"), []),
        (replace(SOUND, fabric=Fabric("NVSwitch", True, companions={"libnvsdm": "525.1"})), Wanted(fabric_manager="absent"),
         [("fabric_versions_differ", f"the driver is {V525}, and of another version are libnvsdm 525.1")]),
        (gpu(recovery_action="Reboot", ecc_uncorrected_count=1, persistence_enabled=False), Wanted(),
         [("ecc_uncorrected", "1 uncorrected"), ("recovery_action", "Reboot"), ("persistence_off", "GPU 0")]),
    ],
)  # fmt: skip
def test_faults(state: NodeState, wanted: Wanted, expected: list[tuple[str, str]]) -> None:
    found = faults(state, wanted)
    assert [fault.code for fault in found] == [code for code, _words in expected]
    assert all(words in str(fault) for (_code, words), fault in zip(expected, found))


@pytest.mark.parametrize(
    ("capture", "expected"),
    [("h200-sxm-580-open", "ok"), ("derived-h200-x2-gpu-lost-580", "gpu_lost")],
)
def test_captures(fixtures: Path, capture: str, expected: str) -> None:
    """The H200 says ``None`` for its recovery action, which is no fault; a lost GPU is one."""
    report = nvidia_smi.parse((fixtures / capture / "nvidia-smi-q.xml").read_text())
    pci = tuple(replace(A40, address=each.pci_address) for each in report.gpus if each.pci_address)
    found = faults(replace(SOUND, driver=None, smi=report, pci=pci), Wanted())
    assert report.status == expected
    assert len(found) == (expected != "ok")


SECOND = replace(SOUND.smi.gpus[0], index=1, persistence_enabled=False, lost=True)
PAIR = replace(SOUND, smi=replace(SOUND.smi, gpus=(replace(SOUND.smi.gpus[0], persistence_enabled=False), SECOND)))
SEE_XID = "look for Xid messages in the kernel log, or set driver_gpus_expected to what the node has"


@pytest.mark.parametrize(
    ("state", "wanted", "expected"),
    [
        (SOUND, Wanted(gpus_expected=1), None),
        (SOUND, Wanted(gpus_expected=2),
         Fault("gpu_count", ERROR, "1 GPUs answer, 2 are expected", SEE_XID, may_pass=True)),
        (PAIR, Wanted(gpus_expected=2),
         Fault("gpu_count", ERROR, "1 GPUs answer, 2 are expected", SEE_XID, may_pass=True)),
        (PAIR, Wanted(gpus_expected=1), None),
        (PAIR, Wanted(gpus_expected=0), None),
        (PAIR, Wanted(), Fault("persistence_off", ERROR, "persistence mode is off on GPU 0, 1",
                               "see systemctl status nvidia-persistenced", may_pass=True)),
        (driver(kernel_modules="open"), Wanted(),
         Fault("kernel_modules_differ", ERROR, "proprietary kernel modules are loaded, open ones are installed",
               "reboot, and see which modules the kernel finds")),
        (replace(SOUND, smi=replace(SOUND.smi, driver_version="525.2")), Wanted(),
         Fault("versions_differ", ERROR, f"driver versions differ: package {V525}, library {V525}, loaded module {V525}, nvidia-smi 525.2",
               "run again with the version that is wanted, and reboot")),
    ],
)  # fmt: skip
def test_what_a_fault_says(state: NodeState, wanted: Wanted, expected: Fault | None) -> None:
    """Which is severe, which may pass by itself, what was found and what to do: the proof waits and fails by these."""
    found = {fault.code: fault for fault in faults(state, wanted)}
    if expected is None:
        assert "gpu_count" not in found
    else:
        assert found[expected.code] == expected


@pytest.mark.parametrize(
    ("gsp", "effective", "said"),
    [
        ("disabled", False, True),
        ("enabled", False, True),
        ("disabled", True, False),
        ("disabled", None, False),
        ("auto", False, False),
    ],
)
def test_gsp_is_part_of_the_proof_where_it_was_asked_for(gsp: str, effective: bool | None, said: bool) -> None:
    verdict = Verdict("none", "0", "nvidia", "", effective=effective, reboot_reason="a boot would not help")
    fault = Fault(
        "gsp_not_as_wanted",
        ERROR,
        f"GSP firmware is not {gsp} as wanted: a boot would not help",
        "see docs/driver.md on driver_gsp, or set it to auto",
    )
    assert gsp_faults(verdict, Wanted(gsp=gsp)) == ((fault,) if said else ())
    assert (fault in prove(SOUND, Wanted(gsp=gsp), verdict).health) is said
    assert fault not in prove(SOUND, Wanted(gsp=gsp), None).health
