"""Which GPUs are left alone, and what a child's words mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import cuda, smi
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.cuda_child import Outcome
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.gpu import Gpu

UUID = "GPU-00000000-0000-4000-8000-000000000001"


@pytest.fixture
def gpu(fixtures: Path) -> Gpu:
    return smi.parse((fixtures / "h200-sxm-580-open/nvidia-smi-q.xml").read_text()).gpus[0]


SKIPPED = [
    # what differs, holders, words of the reason (None: it is asked)
    ({}, (), None),
    ({"process_count": 3}, (), None),  # a display, say
    ({"compute_process_count": 2}, (), "busy: processes that compute on it: 2"),
    ({}, ("1 (x)",), None),  # nvidia-smi knows better
    ({"compute_process_count": None}, (), None),
    ({"compute_process_count": None}, ("17 (train)",), "17 (train)"),
    ({"mig_mode_current": True}, (), "MIG is on"),
    ({"mig_mode_pending": True}, (), None),
    ({"compute_mode": "Prohibited"}, (), "Prohibited"),
    ({"compute_mode": "Exclusive_Process"}, (), None),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "holders", "words"), SKIPPED)
def test_skip_reason(gpu: Gpu, changes: dict[str, Any], holders: tuple[str, ...], words: str | None) -> None:
    reason = cuda.skip_reason(replace(gpu, **changes), holders)
    assert reason is None if words is None else words in (reason or "")


FOUND = {"pci_address": "0000:00:06.0", "uuid": UUID}
DONE = {"call": "cuCtxDestroy_v2", "found": FOUND, "differing": 0, "seconds": 0.8}


def refused(number: int, name: str | None = None, call: str = "cuInit") -> Outcome:
    return Outcome({"call": call, "fault": {"call": call, "number": number, "name": name}})


JUDGED = [
    # the child's outcome, status, words of the message
    (Outcome(DONE), "ok", "computed rightly in 0.8 s"),
    (Outcome({**DONE, "differing": 4}), "failed", "computes wrongly: 4 bytes"),
    (Outcome({**DONE, "found": {**FOUND, "uuid": "GPU-1"}}), "failed", "in its place"),
    (Outcome({**DONE, "found": {**FOUND, "pci_address": "0000:00:07.0"}}), "failed", "in its place"),
    (Outcome({**DONE, "found": {**FOUND, "pci_address": "00000000:00:06.0"}}), "ok", "rightly"),
    (refused(802), "failed", "CUDA_ERROR_SYSTEM_NOT_READY (802) from cuInit. Next: the NVSwitch fabric is not up"),
    (refused(100), "failed", "CUDA_ERROR_NO_DEVICE (100) from cuInit. Next: the module is not loaded"),
    (refused(803), "failed", "different versions"),
    (refused(719, call="cuCtxSynchronize"), "failed", "(719) from cuCtxSynchronize. Next: a kernel known to be right broke off"),
    (refused(999), "failed", "nvidia_uvm"),
    (refused(221), "failed", "libnvidia-ptxjitcompiler"),
    (refused(998, "CUDA_ERROR_NEW"), "failed", "CUDA_ERROR_NEW (998) from cuInit. Next: see `dmesg"),
    (refused(997), "failed", "an error unknown to this collection (997)"),
    (Outcome({"call": "dlopen", "missing": "libcuda.so.1: cannot open"}), "failed", "compute libraries"),
    (Outcome({"call": "cuInit"}, "signal", 11), "failed", "crashed (signal 11) in cuInit"),
    (Outcome({"call": "cuInit"}, "killed", 9), "timeout", "no end within 60 s, in cuInit. Next: the driver hangs"),
    (Outcome({}, "killed", 9), "timeout", "in the start of the check"),
    (Outcome({"call": "cuInit"}, "stuck", None, 77, "D"), "timeout", "process 77 cannot be killed (state D"),
    (Outcome({"call": "cuInit"}, "stuck", None, 77, "R"), "timeout", "process 77 was killed and has not ended yet (state R)"),
    (Outcome(DONE, "stuck", None, 77, "D"), "timeout", "in cuCtxDestroy_v2; process 77"),
    (Outcome({"exception": "MemoryError: "}), "failed", "broke off: MemoryError"),
    (Outcome({}), "failed", "without a word"),
]  # fmt: skip


@pytest.mark.parametrize(("outcome", "status", "words"), JUDGED)
def test_judge(gpu: Gpu, outcome: Outcome, status: str, words: str) -> None:
    check = cuda.judge(gpu, outcome, 60.0)
    assert (check.status, check.uuid, check.pci_address, check.index) == (status, UUID, "0000:00:06.0", 0)
    assert words in check.message


def test_an_error_is_returned_with_name_number_and_call(gpu: Gpu) -> None:
    assert cuda.judge(gpu, refused(802), 60).error == {
        "call": "cuInit",
        "number": 802,
        "name": "CUDA_ERROR_SYSTEM_NOT_READY",
    }
    assert cuda.judge(gpu, Outcome(DONE), 60).error is None
    assert cuda.judge(gpu, Outcome(DONE), 60).seconds == 0.8


CODES = [
    (refused(802), "cuda_error"),
    (Outcome({**DONE, "differing": 4}), "cuda_wrong_result"),
    (Outcome({**DONE, "found": {**FOUND, "uuid": "GPU-1"}}), "cuda_other_gpu"),
    (Outcome({}, "killed", 9), "cuda_timeout"),
    (Outcome({}, "stuck", 9), "cuda_timeout"),
    (Outcome({}, "signal", 11), "cuda_crash"),
    (Outcome({}), "cuda_crash"),
    (Outcome({"missing": "x"}), "cuda_library"),
]


@pytest.mark.parametrize(("outcome", "code"), CODES)
def test_a_fault_names_the_gpu_and_what_to_do(gpu: Gpu, outcome: Outcome, code: str) -> None:
    check = cuda.judge(gpu, outcome, 60)
    assert check.fault is not None
    assert (check.fault.code, check.fault.severity) == (code, "error")
    assert str(check.fault) == f"GPU 0 (0000:00:06.0, {UUID}): {check.message}."


def test_what_is_sound_or_left_alone_has_no_fault(gpu: Gpu) -> None:
    assert cuda.judge(gpu, Outcome(DONE), 60).fault is None
    assert cuda.skipped(gpu, "busy").fault is None


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([refused(802), refused(802)], True),
        ([refused(802), Outcome(DONE)], True),
        ([refused(802), refused(719)], False),
        ([refused(802), Outcome({}, "killed", 9)], False),
        ([Outcome(DONE)], False),
        ([], False),
    ],
)
def test_only_a_fabric_may_pass(gpu: Gpu, outcomes: list[Outcome], expected: bool) -> None:
    assert cuda.may_pass([cuda.judge(gpu, outcome, 60) for outcome in outcomes]) is expected
