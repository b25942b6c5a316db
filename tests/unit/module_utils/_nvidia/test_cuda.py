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
    (refused(802), "failed", "CUDA_ERROR_SYSTEM_NOT_READY (802) from cuInit: the NVSwitch fabric is not up"),
    (refused(100), "failed", "CUDA_ERROR_NO_DEVICE (100) from cuInit: the module is not loaded"),
    (refused(803), "failed", "different versions"),
    (refused(719, call="cuCtxSynchronize"), "failed", "(719) from cuCtxSynchronize: a kernel known to be right broke off"),
    (refused(999), "failed", "nvidia_uvm"),
    (refused(221), "failed", "libnvidia-ptxjitcompiler"),
    (refused(998, "CUDA_ERROR_NEW"), "failed", "CUDA_ERROR_NEW (998) from cuInit: see `dmesg"),
    (refused(997), "failed", "an error unknown to this collection (997)"),
    (Outcome({"call": "dlopen", "missing": "libcuda.so.1: cannot open"}), "failed", "compute libraries"),
    (Outcome({"call": "cuInit"}, "signal", 11), "failed", "crashed (signal 11) in cuInit"),
    (Outcome({"call": "cuInit"}, "killed", 9), "timeout", "no end within 60 s, in cuInit. The driver hangs"),
    (Outcome({}, "killed", 9), "timeout", "in the start of the check"),
    (Outcome({"call": "cuInit"}, "stuck", None, 77, "D"), "timeout", "process 77 cannot be killed (state D"),
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


def test_a_sentence_names_the_gpu(gpu: Gpu) -> None:
    said = cuda.sentence(cuda.judge(gpu, refused(100), 60))
    assert said.startswith(f"GPU 0 (0000:00:06.0, {UUID}): CUDA_ERROR_NO_DEVICE (100)")
