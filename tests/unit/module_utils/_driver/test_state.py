"""A node's state from its files: trees made of captures, and one fact at a time."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from node_tree import DRIVER, HOUR, KERNEL, Tree, bare_debian, h200_node

from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import state as driver_state
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._linux import modprobe as linux_modprobe


@pytest.fixture
def debian(tmp_path: Path, fixtures: Path) -> Tree:
    return bare_debian(tmp_path, fixtures)


def read(tree: Tree) -> NodeState:
    state = driver_state.read(tree.run, 5, root=str(tree.root))
    assert state is not None
    return state


@pytest.mark.parametrize("kind", [None, "0x068000"])
def test_no_gpu_means_nothing_else_is_looked_at(tmp_path: Path, fixtures: Path, kind: str | None) -> None:
    tree = Tree(tmp_path, fixtures)  # no dpkg database: reading on would raise
    if kind:
        tree.plug("0000:01:00.0", "0x22a3", kind)
    assert driver_state.read(tree.run, 5, root=str(tmp_path)) is None
    assert tree.calls == []


def test_no_gpu_where_there_were_or_should_be_some_is_looked_at(debian: Tree) -> None:
    """A node whose only GPU fell off the bus must not pass for one that never had any."""
    shutil.rmtree(debian.root / "sys/bus/pci/devices/0000:18:00.0")
    assert driver_state.read(debian.run, 5, root=str(debian.root)) is None
    expecting = driver_state.read(debian.run, 5, root=str(debian.root), expected=True)
    assert expecting is not None and expecting.gpus == ()
    debian.write(driver_files.BEFORE, "{}")
    assert driver_state.read(debian.run, 5, root=str(debian.root)) is not None


def test_bare_debian(debian: Tree) -> None:
    state = read(debian)
    system = state.system
    assert (system.os_id, system.os_version, system.codename) == ("debian", "12", "bookworm")
    assert system.os_name == "Debian GNU/Linux 12 (bookworm)"
    assert (system.kernel_release, system.boot_id) == ("6.1.0-30-amd64", "the-boot")
    assert (system.secure_boot.on, system.initramfs_mtime, system.apt_lists_mtime) == (None, None, None)
    assert (system.secure_boot.key, system.kubelet) == ("missing", False)
    assert system.free_mib > 0
    assert [gpu.device_id for gpu in state.gpus] == ["2235"]
    assert state.nvswitches == ()
    assert (state.driver, state.persistenced, state.foreign_driver, state.rival_bound) == (None, None, None, None)
    assert state.smi.status == "not_installed"
    assert not state.kernel_module.loaded
    assert state.gsp_facts.module_name == "nvidia-current"
    assert set(state.files) == {*driver_files.OURS, driver_files.CORDON_MARK, driver_files.BEFORE}
    assert set(state.files.values()) == {None}
    assert debian.calls == [["nvidia-smi", "-q", "-x"]]


def test_h200_with_the_open_driver(tmp_path: Path, fixtures: Path) -> None:
    state = read(h200_node(tmp_path, fixtures))
    assert state.driver is not None
    assert (state.driver.driver_version, state.driver.kernel_modules, state.driver.server) == (
        "580.159.04",
        "open",
        True,
    )
    assert (state.kernel_module.version, state.kernel_module.kernel_modules) == ("580.159.04", "open")
    assert (state.smi.status, state.smi.driver_version) == ("ok", "580.159.04")
    assert [gpu.pci_address for gpu in state.smi.gpus] == [gpu.address for gpu in state.gpus]
    assert state.smi.gpus[0].gsp_enabled is True
    assert (state.gsp_facts.params_value, state.gsp_facts.running_gsp) == ("18", True)
    assert state.persistenced is not None
    assert state.persistenced_enabled
    assert {package.name for package in state.packages if package.held} == set(DRIVER)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/usr/bin/nvidia-uninstall", ".run installer"),
        ("/run/nvidia/driver/usr/bin/nvidia-smi", "driver container of the GPU Operator"),
    ],
)
def test_a_driver_that_is_not_from_packages(debian: Tree, path: str, expected: str) -> None:
    debian.write(path)
    found = read(debian).foreign_driver
    assert found is not None
    assert expected in found


def test_the_key_that_this_system_s_dkms_signs_with(debian: Tree) -> None:
    debian.write("/var/lib/dkms/mok.pub", b"certificate")
    assert read(debian).system.secure_boot.key == "not enrolled"


def test_a_kubelet_lives_here(debian: Tree) -> None:
    assert read(debian).system.kubelet is False
    debian.write("/var/lib/kubelet/config.yaml")
    assert read(debian).system.kubelet is True


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ({}, None),
        ({"initrd.img-6.1.0-30-amd64": 5 * HOUR}, 5 * HOUR),
        ({"initrd.img-6.1.0-30-amd64": 5 * HOUR, "initrd.img-6.1.0-28-amd64": 2 * HOUR}, 2 * HOUR),
        # dkms keeps a copy that no rebuild touches: it must not ask for a rebuild on every run
        ({"initrd.img-6.1.0-30-amd64": 5 * HOUR, "initrd.img-6.1.0-30-amd64.old-dkms": HOUR}, 5 * HOUR),
        ({"initrd.img-6.1.0-30-amd64": 5 * HOUR, "initrd.img-6.1.0-30-amd64.bak": HOUR}, 5 * HOUR),
        ({"vmlinuz-6.1.0-30-amd64": HOUR}, None),
    ],
)
def test_the_oldest_initramfs(debian: Tree, images: dict[str, float], expected: float | None) -> None:
    for name, time in images.items():
        if name.endswith("-amd64"):
            debian.write(f"/lib/modules/{name[len('initrd.img-') :]}/modules.dep", "")
        debian.write(f"/boot/{name}", time=time)
    assert read(debian).system.initramfs_mtime == expected


def test_the_newest_module_options(debian: Tree) -> None:
    assert read(debian).modprobe_mtime is None
    debian.write(linux_modprobe.BLACKLIST_PATH, time=2 * HOUR)
    debian.write("/etc/modprobe.d/someone-elses.conf", time=9 * HOUR)
    assert read(debian).modprobe_mtime == 2 * HOUR
    assert read(debian).files[linux_modprobe.BLACKLIST_PATH] == ""


@pytest.mark.parametrize(
    ("folder", "files", "expected"),
    [
        (5 * HOUR, {}, None),
        (5 * HOUR, {"lists/x_InRelease": HOUR}, 5 * HOUR),  # a list's date is its server's, the folder's is ours
        (5 * HOUR, {"lists/x_Packages": HOUR}, None),
        (5 * HOUR, {"lists/x_InRelease": HOUR, "source": 4 * HOUR}, 5 * HOUR),
        (5 * HOUR, {"lists/x_InRelease": HOUR, "source": 6 * HOUR}, None),  # not fetched since the source came
    ],
)
def test_when_apts_lists_were_fetched(
    debian: Tree, folder: float, files: dict[str, float], expected: float | None
) -> None:
    places = {"source": "/etc/apt/sources.list.d/t9k-gpu-driver.sources"}
    for name, time in files.items():
        debian.write(places.get(name, f"/var/lib/apt/{name}"), time=time)
    lists = debian.root / "var/lib/apt/lists"
    lists.mkdir(parents=True, exist_ok=True)
    os.utime(lists, (folder, folder))
    assert read(debian).system.apt_lists_mtime == expected


@pytest.mark.parametrize(
    ("driver", "expected"),
    [(None, None), ("nvidia", None), ("vfio-pci", None), ("nouveau", "nouveau"), ("NovaCore", "NovaCore"), ("nova_core", "nova_core")],
)  # fmt: skip
def test_a_rival_that_holds_a_gpu(tmp_path: Path, fixtures: Path, driver: str | None, expected: str | None) -> None:
    tree = bare_debian(tmp_path, fixtures)
    tree.plug("0000:19:00.0", "0x2235", driver=driver)
    assert read(tree).rival_bound == expected


def test_an_nvswitch(debian: Tree) -> None:
    debian.plug("0000:1a:00.0", "0x22a3", "0x068000")
    assert [device.address for device in read(debian).nvswitches] == ["0000:1a:00.0"]
    assert len(read(debian).gpus) == 1


def test_os_release_in_its_other_place(debian: Tree) -> None:
    text = (debian.root / "etc/os-release").read_text()
    (debian.root / "etc/os-release").unlink()
    assert (read(debian).system.os_id, read(debian).system.os_version) == ("unknown", "")
    debian.write("/usr/lib/os-release", text)
    assert (read(debian).system.os_id, read(debian).system.os_version) == ("debian", "12")


def test_the_kernel_names_the_driver_where_nvidia_smi_hangs(tmp_path: Path, fixtures: Path) -> None:
    tree = h200_node(tmp_path, fixtures)
    tree.smi = "garbage"
    state = read(tree)
    assert (state.smi.status, state.smi.driver_version) == ("malformed", "580.159.04")
    assert state.system.kernel_release == KERNEL
