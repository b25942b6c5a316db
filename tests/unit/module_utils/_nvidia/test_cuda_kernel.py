"""The check of one GPU against the lab's libcuda, which runs the PTX that it is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import cuda_kernel

UUID = "GPU-00000000-0000-4000-8000-000000000001"
CALLS = [
    "dlopen",
    "cuInit",
    "cuDeviceGet",
    "cuDeviceGetPCIBusId",
    "cuDeviceGetUuid",
    "cuCtxCreate_v2",
    "cuModuleLoadData",
]
CALLS += [
    "cuModuleGetFunction",
    "cuMemAlloc_v2",
    "cuMemAlloc_v2",
    "cuMemcpyHtoD_v2",
    "cuLaunchKernel",
    "cuCtxSynchronize",
]
CALLS += ["cuMemcpyDtoH_v2", "cuCtxDestroy_v2"]
_SMALL = 4 * cuda_kernel.PERIOD * 2 + 1000  # two periods and a part of one


@pytest.fixture
def check(cuda_library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "devices").write_text(f"gpu 0000:3b:00.0 {UUID} NVIDIA H100\n")
    for name, value in {"DEVICES": tmp_path / "devices", "FAULT": tmp_path / "fault", "QUICK": "1"}.items():
        monkeypatch.setenv(f"T9K_LAB_CUDA_{name}", str(value))
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_CACHE_DISABLE"):
        monkeypatch.setenv(name, "")  # so that it is as before afterwards
    monkeypatch.setattr(cuda_kernel, "LIBRARY", str(cuda_library))
    monkeypatch.setattr(cuda_kernel, "SIZE", _SMALL)

    def run(uuid: str = UUID) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = []
        cuda_kernel.check(uuid, told.append)
        return told

    return run


def test_a_sound_gpu(check: Any) -> None:
    told = check()
    assert [fact["call"] for fact in told if "call" in fact] == CALLS
    assert {"found": {"pci_address": "0000:3b:00.0", "uuid": UUID}} in told
    assert told[-1]["differing"] == 0
    assert 0 < told[-1]["seconds"] < 30


def test_the_whole_size(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MiB, as on a real GPU."""
    monkeypatch.setattr(cuda_kernel, "SIZE", 64 << 20)
    assert check()[-1]["differing"] == 0


MISTAKES = [
    # in the kernel: what was, what is, whether every word is wrong
    (f"{cuda_kernel.FACTOR}, {cuda_kernel.ADDEND}", f"{cuda_kernel.FACTOR}, {cuda_kernel.ADDEND + 1}", True),
    ("setp.lt.u32 %p2, %r7, 16;", "setp.lt.u32 %p2, %r7, 15;", True),
    ("add.u64 %rd7, %rd4, %rd5;", "mov.u64 %rd7, %rd4;", True),
    ("ld.global.u32 %r6, [%rd6];", "mov.u32 %r6, 1;", True),
    ("setp.ge.u32 %p1, %r5, %r1;", "setp.ge.u32 %p1, %r5, 1000;", True),
    ("setp.ge.u32 %p1, %r5, %r1;", "setp.ge.u32 %p1, %r5, 131291;", False),
]  # fmt: skip


@pytest.mark.parametrize(("was", "becomes", "many"), MISTAKES)
def test_a_kernel_with_a_mistake_computes_wrongly(
    check: Any, monkeypatch: pytest.MonkeyPatch, was: str, becomes: str, many: bool
) -> None:
    """The comparison sees everything: also the one last word that was not computed."""
    assert was in cuda_kernel.PTX
    monkeypatch.setattr(cuda_kernel, "PTX", cuda_kernel.PTX.replace(was, becomes))
    differing = check()[-1]["differing"]
    assert (differing > _SMALL // 2) if many else (0 < differing <= 4)


def test_one_bit(check: Any, tmp_path: Path) -> None:
    (tmp_path / "fault").write_text("wrong")
    assert check()[-1]["differing"] == 1


@pytest.mark.parametrize(
    ("fault", "call", "name"),
    [
        ("802", "cuInit", "CUDA_ERROR_SYSTEM_NOT_READY"),
        ("100", "cuInit", "CUDA_ERROR_NO_DEVICE"),
        ("2", "cuMemAlloc_v2", "CUDA_ERROR_OUT_OF_MEMORY"),
        ("719", "cuCtxSynchronize", "CUDA_ERROR_LAUNCH_FAILED"),
        ("4711", "cuCtxSynchronize", None),
    ],
)
def test_a_refusal(check: Any, tmp_path: Path, fault: str, call: str, name: str | None) -> None:
    (tmp_path / "fault").write_text(fault)
    assert check()[-1] == {"fault": {"call": call, "number": int(fault), "name": name}}


def test_another_gpu_is_not_there(check: Any) -> None:
    assert check("GPU-ffffffff-0000-4000-8000-000000000001")[-1]["fault"]["number"] == 100


def test_no_library(check: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cuda_kernel, "LIBRARY", str(tmp_path / "libcuda.so.1"))
    assert "libcuda.so.1" in check()[-1]["missing"]


def test_a_library_without_the_calls(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_kernel, "LIBRARY", "libc.so.6")
    assert "cuInit" in check()[-1]["missing"]


def test_the_rounds_as_one() -> None:
    factor, addend = cuda_kernel._composed()
    word = 12345
    for _round in range(cuda_kernel.ROUNDS):
        word = (word * cuda_kernel.FACTOR + cuda_kernel.ADDEND) % (1 << 32)
    assert (12345 * factor + addend) % (1 << 32) == word
