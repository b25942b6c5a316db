"""Virtual machines without a machine: command lines, pretended boards, packages, what a missing program is called."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._linux import modprobe
from tests.lab import spec
from tests.lab.hosts import lifecycle, machine
from tests.lab.hosts.vm import image, packages, qemu
from tests.lab.hosts.vm import lifecycle as virtual
from tests.lab.log import LabError
from tests.lab.state import Lab


def profile(**hardware: object) -> dict[str, object]:
    host = spec.Host(name="vm-01", os="debian-12", kind="vm", gpus="a100-gsp", hardware=dict(hardware))
    return {"lab": "x", "host": host.name, **host.profile()}


@pytest.mark.parametrize(
    ("hardware", "starts"),
    [
        ({"count": 2}, ["18 00 20f1 030200 1 GPU-", "3b 00 20f1 030200 1 GPU-"]),
        ({"count": 9, "gsp_default": False}, ["18 00 20f1 030200 0 GPU-"] + [""] * 7 + ["18 01 20f1 030200 0 GPU-"]),
        ({"count": 0, "nvswitches": 1}, ["c0 0 22a3 068000 0 - NVSwitch"]),
    ],
)
def test_each_board_is_a_line_for_the_kernel_module(hardware: dict[str, object], starts: list[str]) -> None:
    rows = qemu.boards(profile(**hardware)).splitlines()
    assert len(rows) == len(starts)
    assert all(row.startswith(start) for row, start in zip(rows, starts))


@pytest.mark.parametrize("accelerated", [False, True])
def test_the_loader_starts_first_and_grubs_first_drive_is_the_root(tmp_path: Path, accelerated: bool) -> None:
    files = qemu.Files(tmp_path)
    files.boards.write_text("18 0 20f1 030200 1 GPU-1 A100\n")
    words = qemu.command(files, image.at(Path("/image")), 2201, accelerated)
    drives = [word for word in words if word.startswith("virtio-blk-pci")]
    assert [drive.split(",")[1] for drive in drives] == ["drive=root", "drive=esp", "drive=host"]
    assert [drive.rpartition("bootindex=")[2] for drive in drives[:2]] == ["1", "0"]
    assert ("kvm" in words) is accelerated
    assert "user,id=net,hostfwd=tcp:127.0.0.1:2201-:22" in words


@pytest.mark.parametrize("secure", [False, True])
def test_with_secure_boot_the_firmware_checks_what_it_starts(tmp_path: Path, secure: bool) -> None:
    files = qemu.Files(tmp_path)
    files.boards.touch()
    if secure:
        files.secure.touch()
    words = qemu.command(files, image.at(Path("/image")), 2201, accelerated=False)
    code = [word for word in words if word.startswith("if=pflash") and "readonly=on" in word]
    assert [word.rpartition("/")[2] for word in code] == ["OVMF_CODE_4M.secboot.fd" if secure else "OVMF_CODE_4M.fd"]
    assert ("smm=on" in words) is secure


def test_secure_boot_is_for_virtual_machines() -> None:
    with pytest.raises(LabError, match="secure_boot: wanted a host of kind vm, found container"):
        spec.Host(name="c-01", os="debian-12", secure_boot=True)


LISTED = """\
./boot/vmlinuz-6.1.0-55-cloud-amd64
./boot/vmlinuz-6.1.0-55-amd64
./srv/kernels/next/linux-headers-6.1.0-56-amd64_6.1.192-2_amd64.deb
./srv/kernels/next/linux-image-amd64_6.1.192-2_amd64.deb
./srv/kernels/next/linux-image-6.1.0-56-amd64_6.1.192-2_amd64.deb
"""


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (LISTED, ["6.1.0-55-amd64", "6.1.0-56-amd64"]),
        (
            LISTED.replace("6.1.0-5", "6.12.5").replace("-amd64_", "+deb13-amd64_"),
            ["6.12.55-amd64", "6.12.56+deb13-amd64"],
        ),
    ],
)
def test_the_kernels_are_those_of_the_base(listed: str, expected: list[str]) -> None:
    assert [found for pattern in image.KERNELS_THERE for found in pattern.findall(listed)] == expected


def test_without_its_programs_the_lab_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        machine, "_there", lambda what: what not in ("qemu-system-x86_64", "/usr/share/OVMF/OVMF_CODE_4M.fd")
    )
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(LabError, match="the lab needs qemu-system-x86, ovmf; there is no apt-get here"):
        machine.install_missing_packages(["vm"])
    machine.install_missing_packages(["container"])  # who wants no virtual machine needs none of it


def test_taking_a_lab_down_removes_what_is_the_labs_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T9K_GPU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(lifecycle.podman, "installed", lambda: False)
    lab, other = Lab("one"), Lab("two")
    for folder in (lab.machines / "vm-01", other.machines / "vm-01", tmp_path / "foreign"):
        folder.mkdir(parents=True)
        (folder / "file").write_text("")
    lifecycle.down(lab)
    left = {path.parent for path in tmp_path.rglob("file")}
    assert left == {other.machines / "vm-01", tmp_path / "foreign"}


#: In the place of QEMU: says its lines one start after the other, then stays.
PRETENDED = """\
import itertools, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
start = next(at for at in itertools.count() if not (folder / f"start-{at}").exists())
(folder / f"start-{start}").touch()
pathlib.Path(sys.argv[2]).write_text("")
assert sys.stdin.readline() == '{"execute": "qmp_capabilities"}\\n'
ends = sys.argv[3:sys.argv.index("-action") - 1]
for reason in ends[start:start + 1]:
    print('{"return": {}}\\n{"event": "SHUTDOWN", "data": {"guest": true, "reason": "%s"}}' % reason)
    sys.exit()
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("ends", "starts", "stays"),
    [
        (["guest-reset", "guest-reset"], 3, True),
        (["guest-reset", "guest-shutdown"], 2, False),
        (["guest-panic"], 1, False),
    ],
)
def test_a_machine_that_resets_itself_comes_back(tmp_path: Path, ends: list[str], starts: int, stays: bool) -> None:
    files = qemu.Files(tmp_path / "vm-01")
    files.folder.mkdir()
    qemu.power_on(files, [sys.executable, "-c", PRETENDED, str(tmp_path), str(files.qemu), *ends, f"{files.disk}"])
    try:
        until = time.monotonic() + 20
        while len(list(tmp_path.glob("start-*"))) < starts or (not stays and qemu.running(files)):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert qemu.running(files) is stays
    finally:
        qemu.power_cut(files)
    assert not qemu.running(files)
    assert len(list(tmp_path.glob("start-*"))) == starts


def test_a_machine_that_does_not_start_says_why(tmp_path: Path) -> None:
    files = qemu.Files(tmp_path)
    with pytest.raises(LabError, match="QEMU does not start: no such option"):
        qemu.power_on(files, [sys.executable, "-c", "import sys; sys.exit('no such option')"])


def test_a_machine_that_left_no_process_is_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T9K_GPU_CACHE", str(tmp_path))
    lab = Lab("one")
    folder = virtual.files_of(lab, "vm-01").folder
    folder.mkdir(parents=True)
    (folder / "pid").write_text("1\n")  # somebody else's process by now
    assert virtual.status(lab) == [("vm-01", "off")]
    virtual.remove(lab, "vm-01")
    assert virtual.names(lab) == []


@pytest.mark.parametrize("release", sorted(packages.DRIVERS))
@pytest.mark.parametrize("modules", packages.FLAVOURS, ids=lambda each: each.module)
def test_debians_names_lead_to_the_files_that_dkms_builds(release: str, modules: packages.Modules) -> None:
    number = packages.upstream(packages.DRIVERS[release][-1])
    configuration = modprobe.Config(modprobe.parse(packages.modprobe_configuration(modules.module), "nvidia.conf"))
    built = packages.driver_source(modules, number)["dkms.conf"]
    for name in ("nvidia", "nvidia-modeset", "nvidia-uvm", "nvidia-drm"):
        assert f'"{configuration.real_name(name)}"' in built
    assert f"DRIVER_VERSION={number}" in built
    assert ("OPEN_MODULES=1" in built) == modules.module.endswith("open")


def test_every_package_is_in_the_component_that_debian_has_it_in() -> None:
    found = {package.name: package.component for package in packages.packages("bookworm")}
    assert found["nvidia-kernel-dkms"] == found["libcuda1"] == "non-free"
    assert found["nvidia-open-kernel-dkms"] == found["nvidia-persistenced"] == "contrib"
    assert found["firmware-nvidia-gsp"] == "non-free-firmware"


@pytest.mark.parametrize("system", image.RELEASES)
def test_the_files_of_each_system_can_be_made(system: str) -> None:
    """The disk itself takes minutes, and is made by the slow tests alone."""
    kernel = "6.1.0-40-amd64"
    files = image.content(system, (kernel, "6.1.0-41-amd64"))
    of_the_kernel = [path for path in files if f"linux-modules-nvidia-535-server-{kernel}_" in path]
    assert {path.split("/")[0] for path in files} >= {"etc", "srv", "usr"}
    assert bool(of_the_kernel) == (system == "ubuntu-like")
