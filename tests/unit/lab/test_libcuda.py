"""The stand-in of libcuda answers as a real driver did, and has the faults it is told to have."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.lab.hosts import cuda

GPUS = ("0000:3b:00.0", "0000:86:00.0")
LINES = [
    f"gpu {address} GPU-0000000{index}-0000-4000-8000-00000000000{index} NVIDIA H100"
    for index, address in enumerate(GPUS)
]
ASKING = Path(__file__).parent / "cuda_answers.py"


class Library:
    """The library with a machine's GPUs, and a process that asks it."""

    def __init__(self, library: Path, folder: Path) -> None:
        self.folder, self.devices, self.fault = folder, folder / "devices", folder / "fault"
        self.environment = {
            "LD_LIBRARY_PATH": str(library.parent),
            "T9K_LAB_CUDA_DEVICES": str(self.devices),
            "T9K_LAB_CUDA_FAULT": str(self.fault),
            "T9K_LAB_CUDA_PROC": str(folder / "proc"),  # this machine may run a lab host with a fabric manager
            "T9K_LAB_CUDA_QUICK": "1",
        }

    def ask(self, code: str, **environment: str) -> Any:
        asking = f"import sys; sys.path.insert(0, {str(ASKING.parent)!r}); from cuda_answers import *\n{code}"
        argv = [sys.executable, "-c", f"{asking}\nprint(json.dumps(answer(question)))"]
        done = subprocess.run(
            argv, env={**self.environment, **environment}, capture_output=True, check=True, timeout=30
        )
        return json.loads(done.stdout)


@pytest.fixture
def library(cuda_library: Path, tmp_path: Path) -> Library:
    made = Library(cuda_library, tmp_path)
    made.devices.write_text("\n".join(["driver 580.159.04", *LINES]) + "\n")
    return made


def test_answers_are_those_of_an_h100(library: Library, fixtures: Path, tmp_path: Path) -> None:
    """One GPU, as the machine had that was asked."""
    library.devices.write_text(LINES[0] + "\n")
    argv = [sys.executable, str(ASKING), str(tmp_path / "answers.json")]
    subprocess.run(argv, env=library.environment, check=True, capture_output=True, timeout=120)
    real = json.loads((fixtures / "h100-cuda-check/answers.json").read_text())
    assert json.loads((tmp_path / "answers.json").read_text()) == real


RUN = "def question(cuda): return [cuda.cuInit(0), *stored(cuda)]"
SECOND = """
def question(cuda):
    cuda.start()
    cuda.cuDeviceGet(ctypes.byref(cuda.device), 1)
    cuda.cuCtxCreate_v2(ctypes.byref(cuda.context), 0, cuda.device)
    cuda.cuModuleLoadData(ctypes.byref(cuda.module), PTX)
    cuda.cuModuleGetFunction(ctypes.byref(cuda.kernel), cuda.module, b"t9k_store")
    host = ctypes.create_string_buffer(4)
    said = [cuda.allocate(64), cuda.launch(1, 1, cuda.memory.value), cuda.cuCtxSynchronize()]
    said.append(cuda.cuMemcpyDtoH_v2(host, cuda.memory, ctypes.c_size_t(4)))
    return [*said, host.raw[0]]
"""
INIT = "def question(cuda): return cuda.cuInit(0)"
FAULTS = [
    # file, question, answer
    ("", RUN, [0, 0, 0, 0, 0, 7]),
    ("802", INIT, 802),
    ("100", INIT, 100),
    ("803\n", INIT, 803),
    ("999 0000:86:00.0", INIT, 999),
    ("999 0000:99:00.0", INIT, 0),
    ("719 0000:86:00.0", RUN, [0, 0, 0, 0, 0, 7]),
    ("719 0000:86:00.0", SECOND, [0, 0, 719, 719, 0]),
    ("214", SECOND, [0, 0, 214, 214, 0]),
    ("2", SECOND, [2, 0, 700, 700, 0]),
    ("wrong 0000:86:00.0", RUN, [0, 0, 0, 0, 0, 7]),
    ("crash", INIT, "died, 11"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code", "expected"), FAULTS, ids=[f"{text.strip()}-{code[24:34]}" for text, code, _ in FAULTS]
)
def test_faults(library: Library, text: str, code: str, expected: object) -> None:
    library.fault.write_text(text)
    assert library.ask(code, CUDA_DEVICE_ORDER="PCI_BUS_ID") == expected


def test_one_bit_is_wrong(library: Library) -> None:
    library.fault.write_text("wrong 0000:86:00.0")
    said = library.ask(SECOND.replace("host.raw[0]", "host.raw.hex()"), CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert said == [0, 0, 0, 0, "07000100"]


@pytest.mark.parametrize(("text", "code"), [("hang", INIT), ("hang 0000:86:00.0", SECOND)])
def test_hang(library: Library, text: str, code: str) -> None:
    library.fault.write_text(text)
    alarm = "import signal; signal.alarm(1)"
    assert library.ask(f"{code.rstrip()}\nasked = question\ndef question(cuda):\n    {alarm}\n    return asked(cuda)",
                       CUDA_DEVICE_ORDER="PCI_BUS_ID") == "died, 14"  # fmt: skip


def test_order_is_the_bus_only_if_asked_for(library: Library) -> None:
    code = """
def question(cuda):
    address = ctypes.create_string_buffer(32)
    cuda.start().cuDeviceGetPCIBusId(address, 32, 0)
    return address.value.decode()
"""
    assert library.ask(code, CUDA_DEVICE_ORDER="PCI_BUS_ID") == GPUS[0]
    assert library.ask(code) == GPUS[1]


def test_no_driver_is_loaded(library: Library) -> None:
    library.devices.unlink()
    assert library.ask(INIT) == 100


FABRIC = [
    # is there a fabric manager, the fault of this boot, seconds since it, answer
    (False, None, 0, 802),
    (True, None, 0, 0),
    (True, "forever", 9999, 802),
    (True, "60", 10, 802),
    (True, "60", 90, 0),
    (False, "60", 90, 802),
]  # fmt: skip


@pytest.mark.parametrize(("manager", "slow", "age", "expected"), FABRIC)
def test_switches_want_a_fabric(library: Library, manager: bool, slow: str | None, age: int, expected: int) -> None:
    library.devices.write_text("switches\n" + LINES[0] + "\n")
    (library.folder / "boot_id").touch()
    os.utime(library.folder / "boot_id", (time.time() - age,) * 2)
    (library.folder / "faults").mkdir()
    if slow:
        (library.folder / "faults/fabric-in-progress").write_text(slow + "\n")
    (library.folder / "proc/7").mkdir(parents=True)
    (library.folder / "proc/7/comm").write_text(
        "nv-fabricmanage\n" if manager else "sshd\n"
    )  # 15 characters, as the kernel keeps them
    assert library.ask(INIT) == expected


@pytest.mark.parametrize(("version", "expected"), [("580.159.04", 0), ("535.129.03", 803)])
def test_the_version_is_in_the_library_s_name(
    library: Library, cuda_library: Path, version: str, expected: int
) -> None:
    """The kernel module's is in the list of devices; another one is error 803."""
    folder = library.folder / "lib"
    folder.mkdir()
    (folder / f"libcuda.so.{version}").symlink_to(cuda_library)
    (folder / "libcuda.so.1").symlink_to(f"libcuda.so.{version}")
    assert library.ask(INIT, LD_LIBRARY_PATH=str(folder)) == expected


def test_debian_keeps_the_version_in_a_folder_of_its_own(library: Library, cuda_library: Path) -> None:
    """Beside the link that dpkg-divert has put aside, which is no version."""
    current = library.folder / "lib/nvidia/current"
    current.mkdir(parents=True)
    (current / "libcuda.so.535.261.03").touch()
    (current / "libcuda.so.1.real").symlink_to("libcuda.so.535.261.03")
    (current / "libcuda.so.1").symlink_to(cuda_library)
    (library.folder / "lib/libcuda.so.1").symlink_to(current / "libcuda.so.1")
    assert library.ask(INIT, LD_LIBRARY_PATH=str(library.folder / "lib")) == 803
    library.devices.write_text("\n".join(["driver 535.261.03", *LINES]) + "\n")
    assert library.ask(INIT, LD_LIBRARY_PATH=str(library.folder / "lib")) == 0


def test_the_lab_tells_its_gpus_in_the_form_that_is_read(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the stand-in of the hardware writes at boot."""
    monkeypatch.syspath_prepend(str(cuda.SOURCES.parent))
    hardware = importlib.import_module("hardware")
    profile = {"count": 3, "host": "a", "lab": "b", "product_name": "NVIDIA A40"}
    gpus = [hardware.Gpu(slot, slot, f"0000:{slot:02x}:00.0", f"GPU-{slot}", 0) for slot in range(3)]
    library.devices.write_text(hardware.cuda_devices({"version": "535.1.2"}, gpus, profile))
    assert library.ask("def question(cuda): return visible(cuda, 'GPU-2,GPU-0')") == [0, 0, 2]
    library.devices.write_text(hardware.cuda_devices({"version": "535.1.2"}, gpus, {**profile, "nvswitches": 4}))
    assert library.ask(INIT) == 802
    assert isinstance(hardware.CUDA_DEVICES, Path)
