# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell which NVIDIA driver dpkg has installed, what holds it, and what of it must go, from package names and versions. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.t9k.gpu.plugins.module_utils._debian import dpkg
from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import parse_relations
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import version as driver_versions


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
        """Tell whether this kernel gets its module: dkms builds it, pre-built ones must be for this very release."""
        return self.module_build == "dkms" or kernel_release in self.kernel_releases


def find(packages: Iterable[Package], kernel_release: str = "") -> InstalledDriver | None:
    """Return the installed driver; None if no package brings a kernel module.

    Pre-built modules of several kinds may be there, of another kernel each: those of the running one speak.
    """
    installed = [package for package in packages if package.installed]
    dkms = [(package, found) for package in installed if (found := names.DKMS.match(package.name))]
    prebuilt = [(package, found) for package in installed if (found := names.PREBUILT.match(package.name))]
    prebuilt.sort(key=lambda each: each[1]["abi"] != kernel_release)
    modules = dkms or prebuilt
    if not modules:
        return None
    package, match = modules[0]
    return InstalledDriver(
        driver_version=_module_version(package, installed),
        library_version=_version_of(names.LIBRARY, installed),
        kernel_modules="open" if "-open" in package.name else "proprietary",
        module_build="dkms" if dkms else "prebuilt",
        kernel_releases=() if dkms else tuple(found["abi"] for _package, found in prebuilt),
        server=bool(match["server"]),
        fabric_manager_version=_version_of(names.FABRIC_MANAGER, installed),
    )


def flavour(driver: InstalledDriver, os_id: str, source_kind: str) -> str | None:
    """Return server or desktop; None where package names do not tell."""
    if not names.names_flavour(os_id, source_kind):
        return None
    return "server" if driver.server else "desktop"


def hold_set(packages: Iterable[Package], kernel_release: str, kernels: bool = False) -> tuple[str, ...]:
    """Return what must be held so that no part of the installed driver moves alone, as dpkg's labels.

    Where the kernel modules are pre-built, a new kernel would come without them: then the kernel they are for, the
    running one, and the metapackages that would bring the next one belong to the set. ``kernels``: with dkms too, since the
    kernel moves with the driver only.
    """
    present = [p for p in packages if p.present]
    chosen = {p.label for p in present if names.is_driver(p.name)}
    prebuilt = [match for match in (names.FOR_KERNEL.fullmatch(p.name) for p in present) if match]
    if prebuilt or kernels:
        releases = {kernel_release, *(match["release"] for match in prebuilt if match["release"])}
        chosen |= dpkg.kernel_packages(present, releases, aside=names.is_driver)
    return tuple(sorted(chosen))


def leaving(packages: Iterable[Package], staying: Iterable[str], version: str) -> tuple[str, ...]:
    """Return what must go for another driver to come, which is then of ``version``. ``staying``: the names of the new set.

    apt removes what conflicts by itself, but not what is held, so these are named: other branches by the number in their
    names, the metapackages and modules of another set, and what is of the former driver's version and has no successor
    in the set, since names may lose the branch, and a set its graphics. Modules of another driver would not fit the libraries,
    whichever kernel they are for, and what leads to them wants them at one version.
    """
    there, kept = [package for package in packages if package.present], set(staying)
    branches = {match[1] for name in kept for match in [names.BRANCH.search(name)] if match}
    prebuilt = {_but_its_kernel(name) for name in kept}
    of_modules = any(names.OF_KERNEL_MODULES.match(name) or names.PREBUILT.match(name) for name in kept)
    former = find(there)

    def leaves(package: Package) -> bool:
        branch = names.BRANCH.search(package.name)
        other_branch = bool(branches) and branch is not None and branch[1] not in branches
        other_set = of_modules and names.OF_KERNEL_MODULES.match(package.name) is not None
        # The same modules for another kernel stay: it may be booted again.
        other_prebuilt = _but_its_kernel(package.name) not in (None, *prebuilt)
        own = driver_versions.driver_version(package.version)
        moved = former is not None and former.driver_version != version
        left_behind = moved and former is not None and own == former.driver_version
        leads = names.LEADS_TO_PREBUILT.fullmatch(package.name) is not None
        useless = moved and (leads or _of_other_driver(package, version))
        useless = useless or package.name.startswith(names.PINNING)
        return any((other_branch, other_set, other_prebuilt, left_behind, useless, names.DKMS.match(package.name)))

    candidates = (p for p in there if p.name not in kept and names.is_driver(p.name))
    return tuple(sorted(package.label for package in candidates if leaves(package)))


def _of_other_driver(package: Package, version: str) -> bool:
    """Tell whether it is pre-built for a driver of another version, by the lower bound on that one's common files."""
    if not names.PREBUILT.match(package.name):
        return False
    bounds = [r for group in parse_relations(package.depends) for r in group if r[0].startswith(names.KERNEL_COMMON)]
    return any(relation == ">=" and driver_versions.driver_version(at) != version for _name, relation, at in bounds)


def _but_its_kernel(name: str) -> str | None:
    """Return the name of a package of pre-built modules without the kernel they are for."""
    match = names.PREBUILT.match(name)
    return name[: match.start("abi")] if match else None


def _module_version(package: Package, installed: list[Package]) -> str:
    """Return the driver's version. Pre-built modules carry the kernel's, so there the library's version speaks."""
    library = _version_of(names.LIBRARY, installed) if names.PREBUILT.match(package.name) else None
    return library or driver_versions.driver_version(package.version) or ""


def _version_of(pattern: re.Pattern[str], installed: list[Package]) -> str | None:
    found = (driver_versions.driver_version(p.version) for p in installed if pattern.match(p.name))
    return next((version for version in found if version), None)
