# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which NVIDIA driver dpkg has installed, judged from package names and versions alone.

Names follow Ubuntu's families (``nvidia-dkms-535-server``, ``linux-modules-nvidia-535-server-open-<abi>``), Debian's
(``nvidia-kernel-dkms``, ``nvidia-tesla-535-kernel-dkms``) and NVIDIA's own repository (``nvidia-kernel-open-dkms`` for
Debian; from 590 on ``nvidia-dkms``, ``nvidia-dkms-open``).
Private: subject to change without notice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package, is_nvidia

_DKMS = re.compile(
    r"^nvidia(?:-tesla-\d+)?(?:-kernel|-open-kernel|-kernel-open)?-dkms(?:-(?P<branch>\d+))?(?P<server>-server)?(?P<open>-open)?$"
)
_PREBUILT = re.compile(r"^linux-modules-nvidia-(?P<branch>\d+)(?P<server>-server)?(?P<open>-open)?-(?P<abi>\d.*)$")
#: Packages that carry the user space library which nvidia-smi compares with the loaded module.
_LIBRARY = re.compile(r"^(libnvidia-compute-\d+(-server)?|libnvidia-compute|libnvidia-ml1)$")
_FABRIC_MANAGER = re.compile(r"^nvidia-fabricmanager(-\d+)?$")


@dataclass(frozen=True)
class InstalledDriver:
    """The driver as packages describe it. Versions are upstream ones, such as ``535.247.01``."""

    driver_version: str
    library_version: str | None
    kernel_modules: str  # "open" or "proprietary"
    module_build: str  # "dkms" or "prebuilt"
    kernel_releases: tuple[str, ...]  # for which pre-built modules are installed; empty with dkms
    server: bool
    fabric_manager_version: str | None

    @property
    def branch(self) -> str:
        return self.driver_version.split(".", 1)[0]

    def serves(self, kernel_release: str) -> bool:
        """Whether this kernel gets its module: dkms builds it, pre-built ones must be for this very release."""
        return self.module_build == "dkms" or kernel_release in self.kernel_releases


def upstream(version: str | None) -> str:
    """``1:535.247.01-1~deb12u1`` → ``535.247.01``: what ``/proc/driver/nvidia/version`` shows."""
    return (version or "").rsplit("-", 1)[0].split(":", 1)[-1]


def find(packages: Iterable[Package]) -> InstalledDriver | None:
    """None if no package brings a kernel module."""
    installed = [package for package in packages if package.installed]
    dkms = [(package, found) for package in installed if (found := _DKMS.match(package.name))]
    prebuilt = [(package, found) for package in installed if (found := _PREBUILT.match(package.name))]
    modules = dkms or prebuilt
    if not modules:
        return None
    package, match = modules[0]
    return InstalledDriver(
        driver_version=_module_version(package, installed),
        library_version=_version_of(_LIBRARY, installed),
        kernel_modules="open" if "-open" in package.name else "proprietary",
        module_build="dkms" if dkms else "prebuilt",
        kernel_releases=() if dkms else tuple(found["abi"] for _package, found in prebuilt),
        server=bool(match["server"]),
        fabric_manager_version=_version_of(_FABRIC_MANAGER, installed),
    )


#: Ubuntu's packages of which there is one for each flavour of the kernel modules; the two conflict.
_FLAVOURED = re.compile(
    r"^nvidia-(?:kernel-source|dkms|driver|headless|headless-no-dkms)-\d+(?:-server)?(?P<open>-open)?$"
)
_BRANCH_IN_NAME = re.compile(r"-(\d{3})(?=-|$)")


def leaving(packages: Iterable[Package], staying: Iterable[str]) -> tuple[str, ...]:
    """What must go for another driver to come: other branches by the number in their names, and other kernel modules.

    apt removes what conflicts by itself, but not what is held, so these are named. ``staying``: the names of the new set.
    """
    names = set(staying)
    branches = {match[1] for name in names for match in [_BRANCH_IN_NAME.search(name)] if match}
    kinds = {_prebuilt_kind(name) for name in names}
    flavours = {match["open"] for name in names for match in [_FLAVOURED.match(name)] if match}

    def leaves(package: Package) -> bool:
        match = _BRANCH_IN_NAME.search(package.name)
        other_branch = bool(branches) and match is not None and match[1] not in branches
        flavoured = _FLAVOURED.match(package.name)
        other_flavour = bool(flavours) and flavoured is not None and flavoured["open"] not in flavours
        kind = _prebuilt_kind(package.name)  # the same modules for another kernel stay: it may be booted again
        other_kind = kind is not None and kind not in kinds
        return other_branch or other_flavour or other_kind or bool(_DKMS.match(package.name))

    candidates = (p for p in packages if p.installed and p.name not in names and is_nvidia(p.name))
    return tuple(sorted(package.label for package in candidates if leaves(package)))


def _prebuilt_kind(name: str) -> tuple[str | None, ...] | None:
    """Branch, family and flavour of a package of pre-built modules, its kernel left out."""
    match = _PREBUILT.match(name)
    return (match["branch"], match["server"], match["open"]) if match else None


def _module_version(package: Package, installed: list[Package]) -> str:
    """Pre-built module packages carry the kernel's version, so there the library's version speaks."""
    if _PREBUILT.match(package.name):
        return _version_of(_LIBRARY, installed) or upstream(package.version or "")
    return upstream(package.version or "")


def _version_of(pattern: re.Pattern[str], installed: list[Package]) -> str | None:
    return next((upstream(package.version or "") for package in installed if pattern.match(package.name)), None)
