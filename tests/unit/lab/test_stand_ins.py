"""The stand-ins of the driver with faults switched on, read back by the collection's own readers."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import pci, smi
from tests.lab.hosts.image import HERE
from tests.lab.spec import profiles

FIXTURES = Path(__file__).parents[1] / "fixtures"
MODULE = {"version": "580.159.04", "flavour": "open", "gsp": True, "params": {}}
Lab = SimpleNamespace


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, HERE / "stand_ins" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lab]]:
    """A host of a profile that has booted with these faults; the stand-ins' paths are below a folder of the test."""
    faults, state = tmp_path / "faults", tmp_path / "state"
    faults.mkdir()
    (state / "faults").mkdir(parents=True)
    (state / "boot_id").touch()

    def build(profile: str, **switched: str) -> Lab:
        hardware = load("hardware")
        for path, place in {"FAULTS": faults, "STATE": state, "BOOTED_WITH": state / "faults"}.items():
            monkeypatch.setattr(hardware, path, place)
        monkeypatch.setattr(hardware, "KERNEL_LOG", state / "kernel-log")
        monkeypatch.setattr(hardware, "CAPTURES", FIXTURES)
        monkeypatch.setattr(hardware, "host", lambda: {**profiles()[profile], "host": "h", "lab": "l"})
        monkeypatch.setattr(hardware, "loaded_module", lambda: MODULE)
        monkeypatch.setattr(hardware, "library_version", lambda: MODULE["version"])
        for folder in (faults, state / "faults"):
            for name, value in switched.items():
                (folder / name.replace("_", "-")).write_text(f"{value}\n")
        program, boot, dmesg = load("nvidia_smi"), load("boot"), load("dmesg")
        manager = subprocess.CompletedProcess([], int((state / "no-fabric-manager").exists()))
        monkeypatch.setattr(program.subprocess, "run", lambda *_argv, **_more: manager)
        monkeypatch.setattr(boot, "BUS", tmp_path / "pci")
        boot.pci_tree(hardware.host())
        return Lab(hardware=hardware, smi=program, boot=boot, dmesg=dmesg, bus=tmp_path / "pci", state=state)

    yield build
    for name in ("hardware", "nvidia_smi", "boot", "dmesg"):
        sys.modules.pop(name, None)


def report(lab: Lab) -> smi.SmiReport:
    """What the collection reads from the stand-in's document."""
    return smi.parse(lab.smi.answer(["-q", "-x"]))


def test_without_a_fault_all_gpus_are_well(host: Callable[..., Lab]) -> None:
    lab = host("a40-x7")
    assert report(lab).status == "ok"
    assert len(report(lab).gpus) == len(list(lab.bus.iterdir())) == 7
    assert {gpu.fabric_state for gpu in report(lab).gpus} <= {None, "N/A"}


@pytest.mark.parametrize(("fault", "on_bus"), [({"gpu_missing": "2"}, 6), ({"gpu_off_bus": "2"}, 7)])
def test_a_gpu_that_is_gone_since_boot(host: Callable[..., Lab], fault: dict[str, str], on_bus: int) -> None:
    """The driver counts on without a gap, and the others keep their addresses."""
    lab = host("a40-x7", **fault)
    seen = report(lab).gpus
    assert (len(list(lab.bus.iterdir())), [gpu.index for gpu in seen]) == (on_bus, list(range(6)))
    fitted = [gpu.address for gpu in lab.hardware.fitted(lab.hardware.host())]
    assert [gpu.pci_address for gpu in seen] == [*fitted[:2], *fitted[3:]]


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ({"gpu_lost": "3"}, 15, "Unable to determine the device handle for GPU3: 0000:86:00.0: GPU is lost"),
        ({"smi": "no-devices"}, 6, "No devices were found"),
    ],
)
def test_answers_instead_of_a_document(host: Callable[..., Lab], fault: dict[str, str], status: int, said: str) -> None:
    lab = host("a40-x7", **fault)
    with pytest.raises(lab.smi.EarlyAnswerError) as answer:
        lab.smi.answer(["-q", "-x"])
    assert (answer.value.status, said in answer.value.said) == (status, True)


def test_a_document_that_ends_in_its_middle(host: Callable[..., Lab]) -> None:
    assert report(host("a40-x7", smi="malformed")).status == "malformed"


def test_one_gpu_s_row_remapping_failed(host: Callable[..., Lab]) -> None:
    document = host("a40-x7", row_remap_failure="5").smi.answer(["-q", "-x"])
    failed = ["<remapped_row_failure>Yes" in block for block in document.split("<gpu id=")[1:]]
    assert failed == [index == 5 for index in range(7)]


@pytest.mark.parametrize(
    ("fault", "manager", "wanted"),
    [
        ({}, True, ("Completed", "Success")),
        ({}, False, ("In Progress", "N/A")),
        ({"fabric_in_progress": "forever"}, True, ("In Progress", "N/A")),
        ({"fabric_in_progress": "300"}, True, ("In Progress", "N/A")),
        ({"fabric_in_progress": "0"}, True, ("Completed", "Success")),
    ],
)
def test_fabric(
    host: Callable[..., Lab], tmp_path: Path, fault: dict[str, str], manager: bool, wanted: tuple[str, str]
) -> None:
    if not manager:
        (tmp_path / "state" / "no-fabric-manager").touch()
    document = host("hgx-h200", **fault).smi.answer(["-q", "-x"])
    state, status = wanted
    assert document.count(f"<state>{state}</state>\n\t\t\t<status>{status}</status>") == 8


def test_virtual_functions_point_to_their_physical_one(host: Callable[..., Lab]) -> None:
    lab = host("a40-x7", sriov="6")
    root = lab.bus.parent / "root"
    (root / "sys/bus/pci").mkdir(parents=True)
    (root / "sys/bus/pci/devices").symlink_to(lab.bus)
    virtual = [device.address for device in pci.scan(str(root)) if device.virtual_function]
    assert virtual == [f"0000:18:00.{number}" for number in (4, 5, 6, 7)] + ["0000:18:01.0", "0000:18:01.1"]
    assert (lab.bus / "0000:18:00.0/virtfn5").resolve() == (lab.bus / "0000:18:01.1").resolve()


@pytest.mark.parametrize(
    ("xid", "said"),
    [
        ("79 0", "NVRM: Xid (PCI:0000:18:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."),
        ("119 4", "NVRM: Xid (PCI:0000:af:00): 119, pid=4071838, name=python, Timeout after 45s of waiting for RPC "),
    ],
)
def test_xid_in_the_kernel_s_log(
    host: Callable[..., Lab], capsys: pytest.CaptureFixture[str], xid: str, said: str
) -> None:
    host("a40-x7", xid=xid).dmesg.main()
    assert said in capsys.readouterr().out


def test_the_driver_names_itself_in_the_kernel_s_log_as_in_proc(
    host: Callable[..., Lab], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lab = host("a40-x7")
    monkeypatch.setattr(lab.boot, "modprobe_settings", lambda: {"blacklist": []})
    monkeypatch.setattr(lab.boot, "module_to_load", lambda *_of: MODULE)
    monkeypatch.setattr(lab.boot, "run", lambda *_argv: None)
    for name in ("MODULES", "PROC"):
        monkeypatch.setattr(lab.boot, name, tmp_path / name)
    for name in ("MODULE", "CUDA_DEVICES"):
        monkeypatch.setattr(lab.hardware, name, tmp_path / name)
    lab.boot.load(lab.hardware.host())
    lab.dmesg.main()
    name = (tmp_path / "PROC/nvidia/version").read_text().splitlines()[0].removeprefix("NVRM version: ")
    assert f"NVRM: loading {name}" in capsys.readouterr().out
