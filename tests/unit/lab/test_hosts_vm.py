"""Virtual machines without a machine: command lines, pretended boards, packages, what a missing program is called."""

from __future__ import annotations

import shutil
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
    files = qemu.Files(tmp_path, tmp_path / "monitor")
    files.boards.write_text("18 0 20f1 030200 1 GPU-1 A100\n")
    words = qemu.command(files, image.at(Path("/image")), 2201, accelerated)
    drives = [word for word in words if word.startswith("virtio-blk-pci")]
    assert [drive.split(",")[1] for drive in drives] == ["drive=root", "drive=esp", "drive=host"]
    assert [drive.rpartition("bootindex=")[2] for drive in drives[:2]] == ["1", "0"]
    assert ("kvm" in words) is accelerated
    assert "user,id=net,hostfwd=tcp:127.0.0.1:2201-:22" in words


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
    for folder in (
        lab.machines / "vm-01",
        other.machines / "vm-01",
        lab.monitors,
        other.monitors,
        tmp_path / "foreign",
    ):
        folder.mkdir(parents=True)
        (folder / "file").write_text("")
    lifecycle.down(lab)
    left = {path.parent for path in tmp_path.rglob("file")}
    assert left == {other.machines / "vm-01", other.monitors, tmp_path / "foreign"}


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
