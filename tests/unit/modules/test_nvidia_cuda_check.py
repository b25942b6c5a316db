"""The module on made-up machines: nvidia-smi's answer is a capture, libcuda.so.1 the lab's."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import cuda_kernel
from ansible_collections.t9k.gpu.plugins.modules import nvidia_cuda_check

CAPTURE = "h100-cuda-check"
GPUS = {"0000:00:06.0": 1, "0000:00:07.0": 2, "0000:00:08.0": 3}


def uuid(number: int) -> str:
    return f"GPU-00000000-0000-4000-8000-00000000000{number}"


class Machine:
    """Three H100, ``nvidia-smi`` and ``libcuda.so.1``."""

    def __init__(self, folder: Path, capture: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys
        head, block, tail = re.fullmatch(r"(.*?)(\t<gpu id.*</gpu>\n)(.*)", capture, re.DOTALL).groups()  # type: ignore[union-attr]
        idle = re.sub(r"<process_info>.*</process_info>\s*", "", block, flags=re.DOTALL)
        self.idle, self.busy, self.head, self.tail = idle, block, head, tail
        self.lines = [f"gpu {address} {uuid(number)} NVIDIA H100" for address, number in GPUS.items()]
        (folder / "devices").write_text("\n".join(self.lines) + "\n")
        (folder / "bin").mkdir()
        self.show(idle, idle, idle)

    def show(self, *blocks: str) -> None:
        """What nvidia-smi says, one block a GPU."""
        shown = [
            block.replace("00:06.0", address[5:]).replace(uuid(1), uuid(number))
            for block, (address, number) in zip(blocks, GPUS.items())
        ]
        (self.folder / "smi.xml").write_text(self.head + "".join(shown) + self.tail)
        self.answer(f"cat {self.folder}/smi.xml")

    def answer(self, script: str) -> None:
        program = self.folder / "bin" / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def fault(self, text: str) -> None:
        (self.folder / "fault").write_text(text)

    def run(self, **arguments: Any) -> dict[str, Any]:
        with patch_module_args({"fail_on_fault": False, **arguments}), pytest.raises(SystemExit):
            nvidia_cuda_check.main()
        result: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        assert result.get("changed", False) is False
        return result


@pytest.fixture
def machine(
    tmp_path: Path,
    fixtures: Path,
    cuda_library: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Machine:
    made = Machine(tmp_path, (fixtures / CAPTURE / "nvidia-smi-q.xml").read_text(), capsys)
    for name, value in {"DEVICES": tmp_path / "devices", "FAULT": tmp_path / "fault", "QUICK": "1"}.items():
        monkeypatch.setenv(f"T9K_LAB_CUDA_{name}", str(value))
    monkeypatch.setenv("PATH", f"{made.folder}/bin:/usr/bin:/bin")
    monkeypatch.setattr(cuda_kernel, "LIBRARY", str(cuda_library))
    monkeypatch.setattr(cuda_kernel, "SIZE", 1 << 20)
    return made


@pytest.mark.parametrize("check_mode", [False, True])
def test_three_sound_gpus(machine: Machine, check_mode: bool) -> None:
    result = machine.run(_ansible_check_mode=check_mode)
    assert (result["proved"], result["faults"]) == (True, [])
    found = [(gpu["index"], gpu["pci_address"], gpu["uuid"], gpu["status"], gpu["error"]) for gpu in result["gpus"]]
    assert found == [(n - 1, address, uuid(n), "ok", None) for address, n in GPUS.items()]


FAULTS = [
    # the library's fault, status of each GPU, words of the first fault
    ("802", ["failed"] * 3, "CUDA_ERROR_SYSTEM_NOT_READY (802) from cuInit"),
    ("100", ["failed"] * 3, "CUDA_ERROR_NO_DEVICE (100) from cuInit"),
    ("719 0000:00:07.0", ["ok", "failed", "ok"], f"GPU 1 (0000:00:07.0, {uuid(2)}): CUDA_ERROR_LAUNCH_FAILED (719)"),
    ("wrong 0000:00:08.0", ["ok", "ok", "failed"], "1 bytes differ"),
    ("hang 0000:00:06.0", ["timeout", "ok", "ok"], "no end within 3 s, in cuCtxSynchronize"),
    ("hang", ["timeout"] * 3, "no end within 3 s, in cuInit"),
    ("crash", ["failed"] * 3, "crashed (signal 11) in cuInit"),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "statuses", "words"), FAULTS, ids=[fault for fault, _s, _w in FAULTS])
def test_faults(machine: Machine, fault: str, statuses: list[str], words: str) -> None:
    machine.fault(fault)
    result = machine.run(timeout_s=3)
    assert [gpu["status"] for gpu in result["gpus"]] == statuses
    assert result["proved"] is False
    assert words in result["faults"][0]
    assert len(result["faults"]) == 3 - statuses.count("ok")


def test_busy_and_mig_are_left_alone(machine: Machine) -> None:
    """Although they would fail: nothing was started on them."""
    mig = machine.idle.replace("<current_mig>Disabled", "<current_mig>Enabled")
    machine.show(machine.busy, mig, machine.idle)
    machine.fault("719 0000:00:06.0\n719 0000:00:07.0")
    result = machine.run()
    assert [gpu["status"] for gpu in result["gpus"]] == ["skipped", "skipped", "ok"]
    assert (result["proved"], result["faults"]) == (True, [])
    assert "busy" in result["gpus"][0]["message"]
    assert "MIG is on" in result["gpus"][1]["message"]


def test_leave_alone(machine: Machine) -> None:
    machine.fault("719 0000:00:07.0")
    result = machine.run(leave_alone=["0000:00:07.0"])
    assert [gpu["status"] for gpu in result["gpus"]] == ["ok", "skipped", "ok"]
    assert result["proved"] is True


def test_a_fabric_that_comes_up(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second try proves it; without time to wait the first one counts."""
    machine.fault("802")
    assert machine.run()["proved"] is False
    monkeypatch.setattr(nvidia_cuda_check.time, "sleep", lambda _seconds: machine.fault(""))
    assert machine.run(ready_timeout_s=60)["proved"] is True


def test_a_fabric_that_never_comes_up(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia_cuda_check, "PAUSE_S", 0.1)
    machine.fault("802")
    start = time.monotonic()
    result = machine.run(ready_timeout_s=2)
    assert 2 <= time.monotonic() - start < 20
    assert result["health"][0]["code"] == "cuda_error"
    assert "(802)" in result["faults"][0]


def test_what_cannot_pass_is_not_waited_for(machine: Machine) -> None:
    machine.fault("802 0000:00:06.0\n719 0000:00:07.0")
    start = time.monotonic()
    machine.run(ready_timeout_s=60)
    assert time.monotonic() - start < 30


def test_nothing_is_proved_where_all_are_left_alone(machine: Machine) -> None:
    machine.show(machine.busy)
    result = machine.run()
    assert (result["proved"], result["faults"]) == (False, [])


def test_a_gpu_that_the_library_does_not_have(machine: Machine) -> None:
    (machine.folder / "devices").write_text("\n".join(machine.lines[1:]) + "\n")
    result = machine.run()
    assert [gpu["status"] for gpu in result["gpus"]] == ["failed", "ok", "ok"]


def test_the_environment_of_the_task_does_not_choose(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert machine.run()["proved"] is True


def test_a_driver_that_does_not_answer(machine: Machine) -> None:
    machine.answer("echo 'No devices were found'; exit 6")
    result = machine.run()
    assert (result["proved"], result["gpus"]) == (False, [])
    assert "No devices were found" in result["faults"][0]


def test_refuse(machine: Machine) -> None:
    assert "failed" not in machine.run(fail_on_fault=True)
    machine.fault("802")
    result = machine.run(fail_on_fault=True)
    assert result["failed"] is True
    for word in ("Wanted: ", "CUDA_ERROR_SYSTEM_NOT_READY", "Next: "):
        assert word in result["msg"]
    assert len(result["gpus"]) == 3


@pytest.mark.parametrize(("name", "status", "words"), [("idle", "ok", "0.507 s"), ("busy", "skipped", "busy: ")])
def test_the_captures_of_a_real_gpu(machine: Machine, fixtures: Path, name: str, status: str, words: str) -> None:
    """They have the keys that the module returns today."""
    captured = json.loads((fixtures / CAPTURE / f"{name}.json").read_text())
    assert [(gpu["status"], words in gpu["message"]) for gpu in captured["gpus"]] == [(status, True)]
    result = machine.run()
    assert set(captured) - {"invocation"} == set(result) - {"invocation"}  # cores from 2.21 on leave it out
    assert set(captured["gpus"][0]) == set(result["gpus"][0])
    documented = yaml.safe_load(nvidia_cuda_check.RETURN)
    assert set(documented) == set(result) - {"changed", "invocation"}
    assert set(documented["gpus"]["sample"][0]) == set(result["gpus"][0])
