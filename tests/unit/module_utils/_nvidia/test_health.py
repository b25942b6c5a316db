"""The one judge of a GPU's health: sound nodes, one fault at a time, and what makes two readings the same fault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import health
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import smi as nvidia_smi
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.gpu import Gpu
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import Fault, GpuId, judge, judge_gpu, unseen
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import PciDevice
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.proc import KernelModule
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.smi import SmiReport

ADDRESS, OTHER = "0000:00:06.0", "0000:00:07.0"
DEVICE = PciDevice(ADDRESS, "10de", "2335", "030200", "nvidia")
MODULE = KernelModule(True, "580.159.04", "open")
UUID = "GPU-00000000-0000-4000-8000-000000000001"


@pytest.fixture
def h200(fixtures: Path) -> SmiReport:
    return nvidia_smi.parse((fixtures / "h200-sxm-580-open/nvidia-smi-q.xml").read_text())


def test_the_capture_is_sound(h200: SmiReport) -> None:
    assert judge((DEVICE,), MODULE, h200) == ()


GPU_FAULTS = [
    # what is different, [(code, severity, words)]
    ({}, []),
    ({"ecc_uncorrected_count": 3}, [("ecc_uncorrected", "error", "3 uncorrected memory errors")]),
    ({"ecc_uncorrected_count": 0, "ecc_corrected_count": 3, "ecc_aggregate_uncorrected_count": 5}, []),
    ({"remapped_rows_failure": True}, [("row_remap_failure", "error", "could not be remapped")]),
    ({"remapped_rows_pending": True}, [("memory_retirement_pending", "warning", "waits to be retired")]),
    ({"retired_pages_pending": True, "remapped_rows_pending": True}, [("memory_retirement_pending", "warning", "")]),
    ({"recovery_action": "Reset"}, [("recovery_action", "error", "the recovery action Reset")]),
    ({"recovery_action": None}, []),
    ({"recovery_action": "N/A"}, []),
    ({"mig_mode_current": False, "mig_mode_pending": True}, [("mig_change_pending", "warning", "(on after a reset)")]),
    ({"mig_mode_current": True, "mig_mode_pending": False}, [("mig_change_pending", "warning", "(off after a reset)")]),
    ({"mig_mode_current": None, "mig_mode_pending": True}, []),
    ({"lost": True}, [("gpu_lost", "error", "has stopped answering")]),
    (
        {"recovery_action": "Reboot", "ecc_uncorrected_count": 1},
        [("ecc_uncorrected", "error", ""), ("recovery_action", "error", "Reboot")],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), GPU_FAULTS)
def test_one_gpu(h200: SmiReport, changes: dict[str, Any], expected: list[tuple[str, str, str]]) -> None:
    found = list(judge_gpu(replace(h200.gpus[0], **changes)))
    assert [(fault.code, fault.severity) for fault in found] == [row[:2] for row in expected]
    assert all(words in fault.evidence for fault, (_code, _severity, words) in zip(found, expected))
    assert {fault.gpu for fault in found} <= {GpuId(0, ADDRESS, UUID)}


NOT_SEEN = [
    # beside the GPU that is seen, what the bus has; addresses that are missed
    ({}, [OTHER]),
    ({"driver": "vfio-pci"}, [OTHER]),
    ({"virtual_function": True}, []),
    ({"class_id": "040300"}, []),
    ({"class_id": "068000"}, []),
]


@pytest.mark.parametrize(("changes", "missed"), NOT_SEEN)
def test_gpus_of_the_bus_that_the_driver_does_not_show(
    h200: SmiReport, changes: dict[str, Any], missed: list[str]
) -> None:
    devices = (DEVICE, replace(DEVICE, address=OTHER, **changes))
    assert [device.address for device in unseen(devices, h200.gpus)] == missed
    found = judge(devices, MODULE, h200)
    assert [(fault.code, fault.gpu) for fault in found] == [("gpu_not_in_driver", GpuId(pci_address=a)) for a in missed]


@pytest.mark.parametrize("status", sorted(set(nvidia_smi.MEANINGS) - {"ok"}))
@pytest.mark.parametrize(
    ("module", "loaded"),
    [(KernelModule(False), "no kernel module"), (MODULE, "kernel module 580.159.04 (open) is loaded")],
)
def test_a_driver_that_does_not_answer_is_one_fault_with_all_that_was_found(
    status: str, module: KernelModule, loaded: str
) -> None:
    (fault,) = judge((DEVICE,), module, SmiReport(status, "its words"))
    assert (fault.code, fault.severity, fault.gpu) == (f"smi_{status}", "error", None)
    for words in (nvidia_smi.MEANINGS[status], "its words", loaded, f"{ADDRESS} (2335, bound to nvidia)"):
        assert words in fault.evidence
    assert fault.remedy == nvidia_smi.REMEDIES[status]


def test_an_answer_that_is_whole_but_for_its_status_keeps_both(h200: SmiReport) -> None:
    found = judge(
        (DEVICE, replace(DEVICE, address=OTHER)), MODULE, replace(h200, status="failed", found="exit status 3")
    )
    assert [fault.code for fault in found] == ["smi_failed", "gpu_not_in_driver"]


def test_a_lost_gpu_is_that_gpus_fault_alone(fixtures: Path) -> None:
    report = nvidia_smi.parse((fixtures / "derived-h200-x2-gpu-lost-580/nvidia-smi-q.xml").read_text())
    (lost,) = [gpu for gpu in report.gpus if gpu.lost]
    devices = [replace(DEVICE, address=str(gpu.pci_address)) for gpu in report.gpus]
    (fault,) = judge(devices, MODULE, report)
    assert fault.key == ("gpu_lost", lost.pci_address)


FAULT = Fault("ecc_uncorrected", health.ERROR, "3 errors", "reset it", GpuId(0, ADDRESS, UUID))


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (FAULT, f"GPU 0 ({ADDRESS}, {UUID}): 3 errors. Next: reset it."),
        (replace(FAULT, gpu=GpuId(2)), "GPU 2: 3 errors. Next: reset it."),
        (replace(FAULT, gpu=GpuId(pci_address=ADDRESS)), f"GPU at {ADDRESS}: 3 errors. Next: reset it."),
        (replace(FAULT, gpu=None), "3 errors. Next: reset it."),
    ],
)
def test_the_sentence(fault: Fault, sentence: str) -> None:
    assert str(fault) == sentence
    assert fault.to_dict()["message"] == sentence
    assert Fault.of(fault.to_dict()) == fault


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (replace(FAULT, evidence="4 errors", severity="warning"), True),
        (replace(FAULT, gpu=GpuId(5, ADDRESS, None)), True),
        (replace(FAULT, gpu=GpuId(0, OTHER, UUID)), False),
        (replace(FAULT, gpu=None), False),
        (replace(FAULT, code="gpu_lost"), False),
    ],
)
def test_the_same_fault_is_the_same_code_of_the_same_gpu(other: Fault, same: bool) -> None:
    assert (other.key == FAULT.key) is same


@pytest.mark.parametrize("capture", ["h200-sxm-580-open", "derived-a100-mig-535", "derived-h200-x2-gpu-lost-580"])
def test_a_gpu_survives_its_dictionary(fixtures: Path, capture: str) -> None:
    report = nvidia_smi.parse((fixtures / capture / "nvidia-smi-q.xml").read_text())
    assert tuple(Gpu.of(gpu.to_dict(), 9) for gpu in report.gpus) == report.gpus
    assert Gpu.of({}, 9).index == 9


FABRIC_STATES = [
    ({}, []),
    ({"fabric_state": "Completed", "fabric_status": "Success"}, []),
    ({"fabric_state": "Completed"}, []),
    ({"fabric_state": "In Progress"}, ["fabric_incomplete"]),
    ({"fabric_state": "Not Started", "fabric_status": "Success"}, ["fabric_incomplete"]),
    ({"fabric_state": "Completed", "fabric_status": "Unknown Error"}, ["fabric_status"]),
]


@pytest.mark.parametrize(("changes", "codes"), FABRIC_STATES)
def test_a_gpus_part_in_the_fabric(fixtures: Path, changes: dict[str, Any], codes: list[str]) -> None:
    """Whether or not the switches are seen from here."""
    gpu: Gpu = replace(nvidia_smi.parse((fixtures / "h100-cuda-check/nvidia-smi-q.xml").read_text()).gpus[0], **changes)
    found = list(judge_gpu(gpu))
    assert [fault.code for fault in found] == codes
    assert all(fault.may_pass == (fault.code == "fabric_incomplete") for fault in found)
    assert all(fault.gpu is not None and fault.gpu.pci_address == "0000:00:06.0" for fault in found)
