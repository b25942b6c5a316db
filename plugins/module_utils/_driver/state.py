# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read the whole driver state of a node, once, from files and one ``nvidia-smi`` call; nothing is written."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run
from ansible_collections.t9k.gpu.plugins.module_utils._debian import dpkg as debian_dpkg
from ansible_collections.t9k.gpu.plugins.module_utils._debian import os_release as os_release_file
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import foreign as driver_foreign
from ansible_collections.t9k.gpu.plugins.module_utils._driver import installed as driver_installed
from ansible_collections.t9k.gpu.plugins.module_utils._driver import next_boot as driver_next_boot
from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under
from ansible_collections.t9k.gpu.plugins.module_utils._gsp import facts as gsp_facts
from ansible_collections.t9k.gpu.plugins.module_utils._linux import modprobe, secure_boot, systemd_unit
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import fabric as nvidia_fabric
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import pci as nvidia_pci
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import proc as nvidia_proc
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import smi as nvidia_smi
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import version as driver_versions

PERSISTENCED = "nvidia-persistenced.service"
_OUR_FILES = (*driver_files.OURS, driver_files.CORDON_MARK, driver_files.BEFORE)
#: The names that sysfs has for the rivals: nova_core calls itself NovaCore there.
_RIVALS = frozenset(name.replace("_", "") for name in modprobe.RIVALS)
_MIB = 1024 * 1024


@dataclass(frozen=True)
class System:
    """The operating system around the driver."""

    os_id: str
    os_version: str
    codename: str
    os_name: str
    kernel_release: str
    boot_id: str
    secure_boot: secure_boot.SecureBoot
    free_mib: int
    kubelet: bool
    initramfs_mtime: float | None  # of the oldest image; None: there is none
    apt_lists_mtime: float | None
    initramfs_releases: tuple[str, ...] = ()
    as_root: bool = True
    dpkg_interrupted: bool = False


@dataclass(frozen=True)
class NodeState:
    """Everything the plan is made from."""

    system: System
    pci: tuple[nvidia_pci.PciDevice, ...]
    packages: tuple[debian_dpkg.Package, ...]
    driver: driver_installed.InstalledDriver | None
    kernel_module: nvidia_proc.KernelModule
    smi: nvidia_smi.SmiReport
    persistenced: systemd_unit.Unit | None
    persistenced_enabled: bool
    gsp_facts: gsp_facts.GspFacts
    modprobe_mtime: float | None
    files: dict[str, str | None]
    foreign_driver: str | None
    fabric: nvidia_fabric.Fabric = field(default_factory=nvidia_fabric.Fabric)
    kernels: driver_next_boot.Kernels | None = None

    @property
    def gpus(self) -> tuple[nvidia_pci.PciDevice, ...]:
        return tuple(device for device in self.pci if device.is_gpu)

    @property
    def nvswitches(self) -> tuple[nvidia_pci.PciDevice, ...]:
        return tuple(device for device in self.pci if device.is_nvswitch)

    @property
    def rival_bound(self) -> str | None:
        """Return the name of another module that holds a GPU, such as nouveau."""
        names = (gpu.driver for gpu in self.gpus if gpu.driver)
        return next((name for name in names if re.sub("[-_]", "", name.lower()) in _RIVALS), None)


def read(run: Run, smi_timeout_s: int, root: str = "/", expected: bool = False) -> NodeState | None:
    """Return the state; None on a host without an NVIDIA GPU on its PCI bus, unless there were or should be GPUs: nothing
    else is looked at there."""
    pci = nvidia_pci.scan(root)
    missed = expected or under(root, driver_files.BEFORE).exists()
    if not missed and not any(device.is_gpu for device in pci):
        return None
    system = _system(root)
    packages = debian_dpkg.read_status(root)
    kernel_module = nvidia_proc.read(root)
    smi = nvidia_smi.complete(nvidia_smi.query(run, smi_timeout_s), kernel_module)
    return NodeState(
        system=system,
        pci=pci,
        packages=packages,
        driver=driver_installed.find(packages),
        kernel_module=kernel_module,
        smi=smi,
        persistenced=systemd_unit.load(PERSISTENCED, root),
        persistenced_enabled=under(root, f"/etc/systemd/system/multi-user.target.wants/{PERSISTENCED}").is_symlink(),
        gsp_facts=gsp_facts.collect(
            pci, kernel_module, smi, modprobe.load(root), gsp_facts.Host(system.os_id, system.kernel_release, root)
        ),
        modprobe_mtime=_newest(under(root, path) for path in (modprobe.BLACKLIST_PATH, gsp_facts.DEFAULT_PATH)),
        files={path: read_text(under(root, path)) for path in _OUR_FILES},
        foreign_driver=driver_foreign.origin(root, packages, kernel_module, system.kernel_release),
        fabric=nvidia_fabric.read(pci, _versions(packages), root),
        kernels=driver_next_boot.kernels(system.kernel_release, root),
    )


def _versions(packages: Iterable[debian_dpkg.Package]) -> dict[str, str | None]:
    return {package.name: driver_versions.driver_version(package.version) for package in packages if package.installed}


def _system(root: str) -> System:
    os_release = os_release_file.read_os_release(root)
    kernel = (read_text(under(root, "/proc/sys/kernel/osrelease")) or os.uname().release).strip()
    images = _initramfs_images(root)
    return System(
        os_id=os_release.get("ID", "unknown"),
        os_version=os_release.get("VERSION_ID", ""),
        codename=os_release.get("VERSION_CODENAME", ""),
        os_name=os_release.get("PRETTY_NAME", "an unknown operating system"),
        kernel_release=kernel,
        boot_id=(read_text(under(root, "/proc/sys/kernel/random/boot_id")) or "").strip(),
        secure_boot=secure_boot.read(os_release.get("ID", "unknown"), root),
        free_mib=shutil.disk_usage(under(root, "/")).free // _MIB,
        kubelet=under(root, "/var/lib/kubelet").is_dir(),
        initramfs_mtime=min((path.stat().st_mtime for path in images), default=None),
        apt_lists_mtime=_apt_lists_mtime(root),
        initramfs_releases=tuple(_release(path) for path in images),
        as_root=root != "/" or os.geteuid() == 0,
        dpkg_interrupted=debian_dpkg.interrupted(root),
    )


def _initramfs_images(root: str) -> list[Path]:
    """Return those of kernels that are installed; dkms and others leave copies with further suffixes beside them."""
    images = under(root, "/boot").glob("initrd.img-*")
    return sorted(path for path in images if under(root, f"/lib/modules/{_release(path)}").is_dir())


def _release(image: Path) -> str:
    return image.name[len("initrd.img-") :]


def _apt_lists_mtime(root: str) -> float | None:
    """Tell when the lists were fetched; None if there are none, or none of what the sources say now.

    A list has the date that its server gives it, so the folder tells the time.
    """
    folder = under(root, "/var/lib/apt/lists")
    lists = _newest((folder, *folder.glob("*Release"))) if any(folder.glob("*Release")) else None
    parts = under(root, "/etc/apt/sources.list.d")
    sources = _newest((under(root, "/etc/apt/sources.list"), *parts.glob("*.list"), *parts.glob("*.sources")))
    return None if lists is None or (sources is not None and sources > lists) else lists


def _newest(paths: Iterable[Path]) -> float | None:
    return max((path.stat().st_mtime for path in paths if path.exists()), default=None)
