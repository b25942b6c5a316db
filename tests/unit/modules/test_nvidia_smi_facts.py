"""The module, with a stand-in for nvidia-smi on PATH and a folder for sysfs and procfs."""

from __future__ import annotations

import json
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.t9k.gpu.plugins.module_utils import _command
from ansible_collections.t9k.gpu.plugins.modules import nvidia_smi_facts


class Node:
    """A made-up node: ``root`` stands for its file system, ``bin`` is first on PATH."""

    def __init__(self, root: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.fixtures, self.capsys = root, fixtures, capsys
        self.bin = root / "bin"
        self.bin.mkdir()

    def plug(self, address: str, device: str, kind: str = "0x030200", driver: str = "nvidia") -> None:
        folder = self.root / "sys/bus/pci/devices" / address
        folder.mkdir(parents=True)
        for name, text in {"vendor": "0x10de", "device": device, "class": kind, "numa_node": "1"}.items():
            (folder / name).write_text(text + "\n")
        (folder / "driver").symlink_to(f"/nowhere/{driver}")

    def load(self, capture: str, address: str | None = None) -> None:
        proc = self.root / "proc/driver/nvidia"
        proc.mkdir(parents=True)
        (proc / "version").write_text((self.fixtures / capture / "proc-driver-nvidia-version.txt").read_text())
        if address:
            (proc / "gpus" / address).mkdir(parents=True)
            text = (self.fixtures / capture / "proc-driver-nvidia-gpu-information.txt").read_text()
            (proc / "gpus" / address / "information").write_text(text)

    def answer(self, script: str) -> None:
        """A stand-in for nvidia-smi that notes its arguments, then runs ``script``."""
        program = self.bin / "nvidia-smi"
        program.write_text(f'#!/bin/sh\necho "$@" >> {self.root}/calls\n{script}\n')
        program.chmod(0o755)

    def answer_with(self, capture: str) -> None:
        folder = self.fixtures / capture
        self.answer(f'case "$1" in -q) cat {folder}/nvidia-smi-q.xml;; topo) cat {folder}/nvidia-smi-topo-m.txt;; esac')

    @property
    def calls(self) -> list[str]:
        return (self.root / "calls").read_text().splitlines()

    def run(self, **arguments: Any) -> dict[str, Any]:
        with patch_module_args(arguments), pytest.raises(SystemExit):
            nvidia_smi_facts.main()
        result: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return result

    def facts(self, **arguments: Any) -> dict[str, Any]:
        result = self.run(**arguments)
        assert result["changed"] is False
        found: dict[str, Any] = result["ansible_facts"]["nvidia_smi"]
        return found


@pytest.fixture
def node(tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Node:
    monkeypatch.setattr(nvidia_smi_facts, "read", partial(nvidia_smi_facts.read, root=str(tmp_path)))
    made = Node(tmp_path, fixtures, capsys)
    monkeypatch.setenv("PATH", f"{made.bin}:/usr/bin:/bin")
    return made


@pytest.fixture
def h200(node: Node) -> Node:
    node.plug("0000:00:06.0", "0x2335")
    node.load("h200-sxm-580-open", "0000:00:06.0")
    node.answer_with("h200-sxm-580-open")
    return node


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_capture(h200: Node, check_mode: bool) -> None:
    facts = h200.facts(_ansible_check_mode=check_mode)
    assert (facts["status"], facts["healthy"], facts["faults"], facts["warnings"]) == ("ok", True, [], [])
    assert (facts["driver_version"], facts["cuda_version"], facts["schema"]) == ("580.159.04", "13.0", "v13")
    assert (facts["gpu_count"], facts["nvswitch_count"], facts["gpus_missing_from_driver"]) == (1, 0, [])
    assert facts["kernel_module"]["kernel_modules"] == facts["kernel_module"]["flavour"] == "open"
    assert facts["gpus"][0]["numa_node"] == 1
    assert facts["pci_gpus"][0]["driver"] == "nvidia"
    assert facts["topology"] is None
    assert h200.calls == ["-q -x"]


def test_again_is_the_same(h200: Node) -> None:
    assert h200.facts() == h200.facts()


def test_every_returned_key_is_documented(h200: Node) -> None:
    import yaml

    documented = yaml.safe_load(nvidia_smi_facts.RETURN)["ansible_facts"]["contains"]["nvidia_smi"]["contains"]
    facts = h200.facts()
    assert set(documented) == set(facts)
    assert set(documented["gpus"]["sample"][0]) == set(facts["gpus"][0])
    assert set(documented["pci_gpus"]["sample"][0]) == set(facts["pci_gpus"][0])
    assert set(documented["kernel_module"]["contains"]) == set(facts["kernel_module"])


def test_topology(node: Node) -> None:
    node.answer_with("derived-a40-x7-525")
    facts = node.facts(topology=True)
    assert node.calls == ["-q -x", "topo -m"]
    assert facts["topology"]["kinds"][0][1] == "nvlink"
    assert facts["gpu_count"] == 7


def test_topology_that_is_not_there_is_a_warning(h200: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    h200.answer(f'[ "$1" = -q ] && cat {h200.fixtures}/h200-sxm-580-open/nvidia-smi-q.xml')
    result = h200.run(topology=True)
    assert result["ansible_facts"]["nvidia_smi"]["topology"] is None
    assert "topo -m" in warnings[0]


def test_no_topology_is_asked_of_a_driver_that_does_not_answer(node: Node) -> None:
    node.answer("echo 'No devices were found'; exit 6")
    assert node.facts(topology=True)["status"] == "no_devices"
    assert node.calls == ["-q -x"]


def test_gpus_missing_from_the_driver(h200: Node) -> None:
    h200.plug("0000:00:07.0", "0x2335", driver="vfio-pci")
    h200.plug("0000:00:08.0", "0x22a3", kind="0x068000")
    h200.plug("0000:00:07.1", "0x2335")
    (h200.root / "sys/bus/pci/devices/0000:00:07.1/physfn").mkdir()
    facts = h200.facts()
    assert facts["gpus_missing_from_driver"] == ["0000:00:07.0"]
    assert (facts["nvswitch_count"], len(facts["pci_gpus"]), facts["gpu_count"]) == (1, 3, 1)
    assert facts["healthy"] is False
    assert "GPU at 0000:00:07.0: it is on the bus (2335, bound to vfio-pci)" in facts["faults"][0]


def test_gsp_from_the_kernel_module_where_nvidia_smi_is_silent(node: Node) -> None:
    node.load("derived-a40-x7-525", "0000:3b:00.0")
    node.answer_with("derived-v100-x2-v10-470")
    assert [gpu["gsp_enabled"] for gpu in node.facts()["gpus"]] == [False, None]


BROKEN = [
    # what nvidia-smi does, status
    ("echo \"it couldn't communicate with the NVIDIA driver.\"; exit 9", "driver_not_loaded"),
    ("echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18", "version_mismatch"),
    ("echo 'No devices were found'; exit 6", "no_devices"),
    ("echo 'Unable to determine the device handle for GPU 0000:09:00.0: GPU is lost.'; exit 15", "gpu_lost"),
    ("head -c 9000 $0 /dev/zero | tr '\\0' x", "malformed"),
    ("sleep 60", "timeout"),
    ("exit 77", "failed"),
]  # fmt: skip


@pytest.mark.parametrize(("script", "status"), BROKEN, ids=[status for _script, status in BROKEN])
def test_a_broken_driver_is_a_fact(node: Node, script: str, status: str) -> None:
    node.plug("0000:00:06.0", "0x2335")
    node.answer(script)
    facts = node.facts(timeout_s=1)
    assert (facts["status"], facts["healthy"], facts["gpus"]) == (status, False, [])
    assert facts["gpus_missing_from_driver"] == ["0000:00:06.0"]
    assert [fault["code"] for fault in facts["health"]] == [f"smi_{status}"]
    assert facts["faults"] == [fault["message"] for fault in facts["health"]]
    assert "0000:00:06.0 (2335, bound to nvidia)" in facts["faults"][0]


def test_bare_host(node: Node) -> None:
    facts = node.facts()
    assert (facts["status"], facts["pci_gpus"], facts["gpus"]) == ("not_installed", [], [])
    assert facts["kernel_module"] == {
        "loaded": False,
        "version": None,
        "kernel_modules": None,
        "flavour": None,
        "params": {},
    }


def test_a_program_that_cannot_be_ended(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that waits inside the kernel outlives SIGKILL. Here it stops the ``timeout`` above it instead, which
    looks the same from further above: neither ends."""
    monkeypatch.setattr(_command, "KILL_AFTER_S", 0)
    monkeypatch.setattr(_command, "GIVE_UP_AFTER_S", 1)
    node.answer(f"echo $PPID $$ > {node.root}/pids; kill -STOP $PPID; exec sleep 60")
    start = time.monotonic()
    facts = node.facts(timeout_s=1)
    elapsed = time.monotonic() - start
    for pid in (node.root / "pids").read_text().split():
        os.kill(int(pid), signal.SIGKILL)
    assert facts["status"] == "timeout"
    assert "cannot be ended" in facts["message"]
    assert elapsed < 10


def test_refuse(h200: Node) -> None:
    assert "failed" not in h200.run(fail_on_fault=True)
    h200.answer("echo 'No devices were found'; exit 6")
    result = h200.run(fail_on_fault=True)
    assert result["failed"] is True
    assert result["ansible_facts"]["nvidia_smi"]["status"] == "no_devices"
    for word in ("Wanted: ", "No devices were found", "0000:00:06.0 (2335, bound to nvidia)", "Next: "):
        assert word in result["msg"]


def test_unknown_option_is_refused(node: Node) -> None:
    assert "timeout" in node.run(timeout=3)["msg"]


def test_reading_costs_little_besides_nvidia_smi(h200: Node, fixtures: Path) -> None:
    """A bus of 200 devices of others and 8 GPUs, nvidia-smi's answer at hand."""
    for number in range(200):
        folder = h200.root / f"sys/bus/pci/devices/0000:80:{number // 8:02x}.{number % 8}"
        folder.mkdir()
        (folder / "vendor").write_text("0x8086\n")
    text = (fixtures / "h200-sxm-580-open/nvidia-smi-q.xml").read_text()

    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> _command.Result:
        return _command.Result(tuple(argv), 0, text, "")

    elapsed = []
    for _attempt in range(5):
        start = time.process_time()
        nvidia_smi_facts.read(run, False, 30)
        elapsed.append(time.process_time() - start)
    print(f"{min(elapsed) * 1000:.1f} ms")
    assert min(elapsed) < 0.05
