"""The loaded kernel module, from procfs and sysfs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import proc as nvidia_proc
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.proc import GpuInformation, KernelModule

OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build  (builder@host)  \n"
ARM = "NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  570.124.06  Release Build  (b@h)  Wed 2025\n"
PROPRIETARY = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  525.147.05  Wed Oct 25 20:27:35 UTC 2023\nGCC version: 9\n"
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (OPEN, ("580.159.04", "open")),
        (ARM, ("570.124.06", "open")),
        (PROPRIETARY, ("525.147.05", "proprietary")),
        ("NVRM version: something else 1.2.3\n", ("1.2.3", None)),
        ("GCC version:  gcc version 15.3.0 (GCC)\n", (None, None)),
        ("", (None, None)),
    ],
)
def test_version(text: str, wanted: tuple[str | None, str | None]) -> None:
    assert nvidia_proc.parse_version(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted", "gsp"),
    [
        ("Model: \t A40\nGPU UUID: \t GPU-1\nGPU Firmware: \t 535.1\n", GpuInformation("A40", "GPU-1", "535.1"), True),
        ("Model: \t A40\nGPU UUID: \t GPU-1\nGPU Firmware: \t N/A\n", GpuInformation("A40", "GPU-1", None), False),
        ("Model: \t A40\nGPU UUID: \t GPU-1\n", GpuInformation("A40", "GPU-1", None), False),
        ("Model: \t A40\nGPU UUID: \t GPU-????-??\n", GpuInformation("A40", None, None), None),
        ("Model: \t Unknown\nno colon here\n: x\n", GpuInformation("Unknown", None, None), None),
        ("", GpuInformation(None, None, None), None),
    ],
)
def test_information(text: str, wanted: GpuInformation, gsp: bool | None) -> None:
    found = nvidia_proc.parse_information(text)
    assert found == wanted
    assert found.gsp_enabled is gsp


def test_captures(fixtures: Path) -> None:
    h200, a40 = fixtures / "h200-sxm-580-open", fixtures / "derived-a40-x7-525"
    assert nvidia_proc.parse_version((h200 / "proc-driver-nvidia-version.txt").read_text()) == ("580.159.04", "open")
    assert nvidia_proc.parse_version((a40 / "proc-driver-nvidia-version.txt").read_text())[1] == "proprietary"
    information = nvidia_proc.parse_information((h200 / "proc-driver-nvidia-gpu-information.txt").read_text())
    assert information == GpuInformation("NVIDIA H200", "GPU-00000000-0000-4000-8000-000000000001", "580.159.04")
    assert (
        nvidia_proc.parse_information((a40 / "proc-driver-nvidia-gpu-information.txt").read_text()).gsp_enabled is False
    )
    params = nvidia_proc.parse_colon_lines((h200 / "proc-driver-nvidia-params.txt").read_text())
    assert params["EnableGpuFirmware"] == "18"
    assert params["RegistryDwords"] == ""


def test_not_loaded(tmp_path: Path) -> None:
    assert nvidia_proc.read(str(tmp_path)) == KernelModule(loaded=False)


def test_loaded(tmp_path: Path, fixtures: Path) -> None:
    proc = tmp_path / "proc/driver/nvidia"
    (proc / "gpus/0000:00:06.0").mkdir(parents=True)
    (proc / "gpus/0000:00:07.0").mkdir()  # its information is gone: skipped
    for name in ("version", "params"):
        (proc / name).write_text((fixtures / f"h200-sxm-580-open/proc-driver-nvidia-{name}.txt").read_text())
    information = (fixtures / "h200-sxm-580-open/proc-driver-nvidia-gpu-information.txt").read_text()
    (proc / "gpus/0000:00:06.0/information").write_text(information)
    module = nvidia_proc.read(str(tmp_path))
    assert (module.loaded, module.version, module.kernel_modules) == (True, "580.159.04", "open")
    assert module.params["EnableGpuFirmware"] == "18"
    assert list(module.gpus) == ["0000:00:06.0"]
    assert module.to_dict()["gpus"]["0000:00:06.0"]["firmware_version"] == "580.159.04"


def test_loaded_with_sysfs_only(tmp_path: Path) -> None:
    (tmp_path / "sys/module/nvidia").mkdir(parents=True)
    assert nvidia_proc.read(str(tmp_path)) == KernelModule(loaded=True)
    (tmp_path / "sys/module/nvidia/version").write_text("525.147.05\n")
    assert nvidia_proc.read(str(tmp_path)) == KernelModule(loaded=True, version="525.147.05")
