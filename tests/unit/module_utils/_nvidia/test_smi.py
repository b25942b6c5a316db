"""What nvidia-smi says, on the real capture and on documents derived from it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from smi_documents import CAPTURE, DOCUMENTS, H200, edited, load

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import smi as nvidia_smi
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.gpu import Gpu
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.proc import GpuInformation, KernelModule
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.xml import NO_VALUE

REPORTS = [
    # folder, schema, driver, CUDA, GPUs, status
    (CAPTURE, "v13", "580.159.04", "13.0", 1, "ok"),
    ("h100-cuda-check", "v13", "580.159.04", "13.0", 1, "ok"),
    ("derived-a40-x7-525", "v12", "525.147.05", "12.0", 7, "ok"),
    ("derived-a100-mig-535", "v12", "535.183.06", "12.2", 1, "ok"),
    ("derived-t4-v11-515", "v11", "515.105.01", "11.7", 1, "ok"),
    ("derived-v100-x2-v10-470", "v10", "470.223.02", "11.4", 2, "ok"),
    ("derived-gtx1080-nodtd-418", None, None, None, 1, "ok"),
    ("derived-h200-x2-gpu-lost-580", "v13", "580.159.04", "13.0", 2, "gpu_lost"),
]


def test_every_document_is_in_the_table() -> None:
    assert sorted(row[0] for row in REPORTS) == DOCUMENTS


@pytest.mark.parametrize(("name", "schema", "driver", "cuda", "count", "status"), REPORTS)
def test_report(name: str, schema: str | None, driver: str | None, cuda: str | None, count: int, status: str) -> None:
    report = load(name)
    assert (report.schema, report.driver_version, report.cuda_version) == (schema, driver, cuda)
    assert (report.status, len(report.gpus), report.warnings) == (status, count, ())
    assert [gpu.index for gpu in report.gpus] == list(range(count))
    assert len({gpu.uuid for gpu in report.gpus}) == len({gpu.pci_address for gpu in report.gpus}) == count
    assert json.loads(json.dumps(report.to_dict())) == report.to_dict()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_no_text_stands_for_no_value(name: str) -> None:
    def leaves(value: Any) -> list[Any]:
        if isinstance(value, dict):
            value = list(value.values())
        return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]

    texts = [leaf.lower() for leaf in leaves(load(name).to_dict()["gpus"]) if isinstance(leaf, str)]
    assert texts
    assert not [text for text in texts if text.strip("[]") in NO_VALUE]


def test_the_capture() -> None:
    assert load(CAPTURE).gpus == (
        Gpu(
            index=0,
            product_name="NVIDIA H200",
            architecture="Hopper",
            uuid="GPU-00000000-0000-4000-8000-000000000001",
            serial="1650000000000",
            minor_number=0,
            vbios_version="96.00.A5.00.1A",
            pci_address="0000:00:06.0",
            pci_device_id="2335",
            memory_total_mib=143771,
            memory_used_mib=0,
            persistence_enabled=True,
            mig_mode_current=False,
            mig_mode_pending=False,
            mig_devices=(),
            ecc_enabled=True,
            ecc_pending=True,
            ecc_corrected_count=0,
            ecc_uncorrected_count=0,
            ecc_aggregate_corrected_count=0,
            ecc_aggregate_uncorrected_count=0,
            remapped_rows_pending=False,
            remapped_rows_failure=False,
            retired_pages_pending=None,
            gsp_firmware_version="580.159.04",
            gsp_enabled=True,
            virtualization_mode="Pass-Through",
            recovery_action="None",
            fabric_state=None,
            fabric_status=None,
            pcie_link_width_max=16,
            pcie_link_width_current=16,
            compute_mode="Default",
            process_count=0,
            compute_process_count=0,
            utilization_percent=0,
            temperature_c=41,
            power_draw_w=133.87,
            power_limit_w=700.0,
            lost=False,
        ),
    )


VALUES = [
    # folder, GPU, field, value
    ("derived-a40-x7-525", 0, "architecture", "Ampere"),
    ("derived-a40-x7-525", 0, "pci_address", "0000:1b:00.0"),
    ("derived-a40-x7-525", 6, "uuid", "GPU-5246cdd0-db79-cea0-eaf5-d067784e4648"),
    ("derived-a40-x7-525", 0, "gsp_enabled", False),
    ("derived-a40-x7-525", 0, "gsp_firmware_version", None),
    ("derived-a40-x7-525", 0, "mig_mode_current", None),
    ("derived-a40-x7-525", 0, "power_draw_w", 78.31),
    ("derived-a40-x7-525", 0, "power_limit_w", 300.0),
    ("derived-a40-x7-525", 0, "virtualization_mode", "None"),
    ("derived-a40-x7-525", 0, "recovery_action", None),
    ("derived-a40-x7-525", 0, "ecc_uncorrected_count", 0),
    ("derived-v100-x2-v10-470", 0, "architecture", "Volta"),  # by its device id: the schema has no such field
    ("derived-v100-x2-v10-470", 0, "gsp_enabled", None),
    ("derived-v100-x2-v10-470", 0, "persistence_enabled", False),
    ("derived-v100-x2-v10-470", 1, "ecc_corrected_count", 3),
    ("derived-v100-x2-v10-470", 1, "ecc_uncorrected_count", 1),
    ("derived-v100-x2-v10-470", 1, "ecc_aggregate_corrected_count", 7),
    ("derived-v100-x2-v10-470", 1, "ecc_aggregate_uncorrected_count", 2),
    ("derived-v100-x2-v10-470", 0, "retired_pages_pending", False),
    ("derived-v100-x2-v10-470", 1, "retired_pages_pending", True),
    ("derived-v100-x2-v10-470", 1, "remapped_rows_pending", None),
    ("derived-v100-x2-v10-470", 0, "process_count", 0),
    ("derived-v100-x2-v10-470", 1, "process_count", 2),
    ("h100-cuda-check", 0, "compute_process_count", 1),
    ("derived-v100-x2-v10-470", 0, "power_draw_w", 25.61),
    ("derived-v100-x2-v10-470", 0, "power_limit_w", 250.0),
    ("derived-gtx1080-nodtd-418", 0, "architecture", "Pascal"),
    ("derived-gtx1080-nodtd-418", 0, "serial", None),
    ("derived-gtx1080-nodtd-418", 0, "ecc_enabled", None),
    ("derived-gtx1080-nodtd-418", 0, "ecc_uncorrected_count", None),
    ("derived-gtx1080-nodtd-418", 0, "process_count", None),
    ("derived-gtx1080-nodtd-418", 0, "power_draw_w", None),
    ("derived-gtx1080-nodtd-418", 0, "power_limit_w", None),
    ("derived-gtx1080-nodtd-418", 0, "memory_used_mib", 561),
    ("derived-t4-v11-515", 0, "gsp_enabled", True),
    ("derived-t4-v11-515", 0, "gsp_firmware_version", "515.105.01"),
    ("derived-t4-v11-515", 0, "ecc_corrected_count", 5),
    ("derived-t4-v11-515", 0, "ecc_uncorrected_count", 3),
    ("derived-t4-v11-515", 0, "ecc_aggregate_corrected_count", 0),  # DRAM's part is N/A
    ("derived-t4-v11-515", 0, "ecc_aggregate_uncorrected_count", 9),
    ("derived-a100-mig-535", 0, "mig_mode_current", True),
    ("derived-a100-mig-535", 0, "remapped_rows_pending", True),
    ("derived-a100-mig-535", 0, "remapped_rows_failure", False),
    ("derived-a100-mig-535", 0, "utilization_percent", None),
    ("derived-h200-x2-gpu-lost-580", 0, "lost", False),
    ("derived-h200-x2-gpu-lost-580", 1, "lost", True),
    ("derived-h200-x2-gpu-lost-580", 1, "persistence_enabled", None),
    ("derived-h200-x2-gpu-lost-580", 1, "gsp_enabled", None),
    ("derived-h200-x2-gpu-lost-580", 1, "memory_total_mib", None),
]


@pytest.mark.parametrize(("name", "index", "field", "wanted"), VALUES)
def test_value(name: str, index: int, field: str, wanted: object) -> None:
    found = getattr(load(name).gpus[index], field)
    assert (type(found), found) == (type(wanted), wanted)


def test_mig_devices() -> None:
    devices = load("derived-a100-mig-535").gpus[0].mig_devices
    assert [(device.index, device.gpu_instance_id, device.compute_instance_id) for device in devices] == [
        (0, 1, 0),
        (1, 5, 0),
        (2, 13, 0),
    ]
    assert [device.memory_total_mib for device in devices] == [19968, 9856, 4864]
    assert [device.multiprocessor_count for device in devices] == [42, 28, 14]
    assert devices[0].uuid is None


@pytest.mark.parametrize(
    ("value", "version", "enabled"),
    [
        ("580.159.04", "580.159.04", True),
        ("N/A", None, False),
        ("[N/A]", None, False),
        ("Unknown Error", None, None),
        ("Requested functionality has been deprecated", None, None),
        ("Not Supported", None, None),
    ],
)
def test_gsp(value: str, version: str | None, enabled: bool | None) -> None:
    field = "<gsp_firmware_version>{}</gsp_firmware_version>"
    gpu = edited((field.format("580.159.04"), field.format(value))).gpus[0]
    assert (gpu.gsp_firmware_version, gpu.gsp_enabled) == (version, enabled)


@pytest.mark.parametrize(
    "value", ["N/A", "[N/A]", "Unknown Error", "[Unknown Error]", "ERR!", "Not Supported", "", "GiB"]
)
def test_numbers_that_are_none(value: str) -> None:
    assert edited(("<total>143771 MiB</total>", f"<total>{value}</total>")).gpus[0].memory_total_mib is None


@pytest.mark.parametrize(
    ("value", "wanted"), [("140 GiB", None), ("8119 MB", 8119), ("143771", 143771), ("1e5 MiB", None)]
)
def test_units(value: str, wanted: int | None) -> None:
    assert edited(("<total>143771 MiB</total>", f"<total>{value}</total>")).gpus[0].memory_total_mib == wanted


def test_uncorrectable_errors_by_code_are_summed() -> None:
    old = "<sram_uncorrectable_{}>0</sram_uncorrectable_{}>"
    new = "<sram_uncorrectable_{}>{}</sram_uncorrectable_{}>"
    changes = [
        (old.format(code, code), new.format(code, count, code)) for code, count in (("parity", 2), ("secded", 4))
    ]
    gpu = edited(*changes).gpus[0]
    assert (gpu.ecc_uncorrected_count, gpu.ecc_aggregate_uncorrected_count, gpu.ecc_corrected_count) == (6, 6, 0)


def test_ada_lovelace_is_ada_as_in_the_device_ids() -> None:
    assert edited(("<product_architecture>Hopper", "<product_architecture>Ada Lovelace")).gpus[0].architecture == "Ada"


def test_an_empty_gpu_has_only_nulls() -> None:
    gpu = nvidia_smi.parse("<nvidia_smi_log><gpu/></nvidia_smi_log>").gpus[0].to_dict()
    assert {key: value for key, value in gpu.items() if value is not None} == {
        "index": 0,
        "mig_devices": [],
        "lost": False,
    }


def test_one_call() -> None:
    calls: list[tuple[list[str], int | None]] = []

    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        calls.append((argv, timeout_s))
        return Result(tuple(argv), 0, H200, "")

    assert nvidia_smi.query(run, 7).status == "ok"
    assert calls == [(["nvidia-smi", "-q", "-x"], 7)]


COMPLETED = [
    # GSP by nvidia-smi, by the kernel module, the result
    (None, GpuInformation("x", "GPU-1", "515.1"), True, "515.1"),
    (None, GpuInformation("x", "GPU-1", None), False, None),
    (None, GpuInformation("x", None, None), None, None),
    (None, None, None, None),
    (False, GpuInformation("x", "GPU-1", "515.1"), False, None),
]


@pytest.mark.parametrize(("said", "information", "enabled", "version"), COMPLETED)
def test_complete(
    said: bool | None, information: GpuInformation | None, enabled: bool | None, version: str | None
) -> None:
    report = load(CAPTURE)
    report = replace(report, gpus=(replace(report.gpus[0], gsp_enabled=said, gsp_firmware_version=None),))
    known = {"0000:00:06.0": information} if information else {}
    gpu = nvidia_smi.complete(report, KernelModule(True, "1.2", "open", {}, known)).gpus[0]
    assert (gpu.gsp_enabled, gpu.gsp_firmware_version) == (enabled, version)


@pytest.mark.parametrize(
    ("state", "status", "expected"),
    [
        ("Completed", "Success", ("Completed", "Success")),
        ("In Progress", "N/A", ("In Progress", None)),
        ("Completed", "Unknown Error", ("Completed", "Unknown Error")),
        ("N/A", "N/A", (None, None)),
    ],
)
def test_fabric(state: str, status: str, expected: tuple[str | None, str | None]) -> None:
    was = "<state>N/A</state>\n\t\t\t<status>N/A</status>"
    gpu = edited((was, f"<state>{state}</state><status>{status}</status>")).gpus[0]
    assert (gpu.fabric_state, gpu.fabric_status) == expected


@pytest.mark.parametrize(("kind", "computes"), [("C", 1), ("G", 0), ("C+G", 1), ("M+C", 1)])
def test_which_processes_compute(kind: str, computes: int) -> None:
    gpu = edited(("<processes>", f"<processes><process_info><type>{kind}</type></process_info>")).gpus[0]
    assert (gpu.process_count, gpu.compute_process_count) == (1, computes)
