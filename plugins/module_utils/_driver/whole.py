# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell what an installed driver lacks, from dpkg's database alone. Pure.

A module package alone is no driver: nvidia-smi, a library or the persistence daemon may be missing or of another version.
Judged without apt, so that a node where nothing is to be done costs no look into its metadata.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Available, parse_relations
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names
from ansible_collections.t9k.gpu.plugins.module_utils._driver.closure import fulfils
from ansible_collections.t9k.gpu.plugins.module_utils._driver.installed import InstalledDriver
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.version import driver_version


@dataclass(frozen=True)
class Asked:
    """What the driver is measured by: the system that names packages, and the set that is wanted."""

    os_id: str
    flavour: str
    libraries: str
    kernel_release: str


def gaps(packages: Sequence[Package], driver: InstalledDriver, asked: Asked) -> tuple[str, ...]:
    """Return what an installation must mend, one phrase each; () where the driver is whole.

    A package that dpkg left half done counts as there: repairing it is a step of its own.
    """
    family = [package for package in packages if package.present and names.is_driver(package.name)]
    working = [package for package in family if package.installed]
    broken = {package.name for package in family} - {package.name for package in working}
    return (*_parts(family, driver, asked), *_dependencies(working, broken))


def _parts(family: Sequence[Package], driver: InstalledDriver, asked: Asked) -> list[str]:
    """Return what the nearest naming misses: one system may have the distribution's names or NVIDIA's."""
    there = {package.name: package for package in family}
    found = [
        [*_missing(there, driver, [fill(name) for name in naming.parts[asked.libraries]])]
        for naming in names.namings(asked.os_id, asked.flavour, "mirror")
        for fill in [_filler(driver, asked.kernel_release)]
        if {fill(naming.dkms.get(driver.kernel_modules, "")), fill(naming.prebuilt or "")} & set(there)
    ]
    return min(found, key=len, default=[])


def _filler(driver: InstalledDriver, kernel_release: str) -> names.Fill:
    return names.filler(driver.branch, driver.kernel_modules, kernel_release)


def _missing(there: dict[str, Package], driver: InstalledDriver, parts: Sequence[str]) -> Iterator[str]:
    for name in parts:
        if name not in there:
            yield f"{name} is missing"
        elif name != names.APART and driver_version(there[name].version) != driver.driver_version:
            yield f"{name} is of version {there[name].version}"


def _dependencies(working: Sequence[Package], broken: set[str]) -> Iterator[str]:
    """Yield dependencies within the driver that nothing fulfils, as after a forced removal; what is broken gets repaired."""
    entries = [
        Available(p.name, p.version or "", provides=tuple(group[0] for group in parse_relations(p.provides)))
        for p in working
    ]
    for package in working:
        for group in parse_relations(package.depends):
            mine = [relation for relation in group if names.is_driver(relation[0])]
            others = len(mine) < len(group)
            met = any(fulfils(entry, relation) for entry in entries for relation in group)
            if mine and not others and not met and not broken & {relation[0] for relation in mine}:
                name, relation, version = mine[0]
                yield f"{package.name} needs {name}{f' ({relation} {version})' if relation else ''}"
