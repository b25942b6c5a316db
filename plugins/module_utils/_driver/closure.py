# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Follow dependencies from a few packages to every package of the driver, each at the version that fits.

apt takes exact versions only where each is named: with the metapackage alone, a downgrade leaves the libraries at their
candidates and fails. So the family is walked here; packages that do not belong to the driver are left to apt.
"""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Available, Catalogue, Relation
from ansible_collections.t9k.gpu.plugins.module_utils._debian.version import satisfies
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.version import driver_version


def fulfils(entry: Available, relation: Relation) -> bool:
    """Tell whether a package fulfils a relation, by its name and version or by what it provides."""
    name, operator, version = relation
    if entry.name == name and satisfies(entry.version, operator, version):
        return True
    return any(
        provided == name and (not operator or bool(at and satisfies(at, operator, version)))
        for provided, _equals, at in entry.provides
    )


def closure(roots: Sequence[Available], catalogue: Catalogue, version: str) -> tuple[Available, ...]:
    """Return the roots first, then what they need, in the order it is met."""
    chosen: dict[str, Available] = {entry.name: entry for entry in roots}
    waiting = list(roots)
    while waiting:
        entry = waiting.pop(0)
        for alternatives in entry.depends:
            found = _choose(alternatives, entry, chosen, catalogue, version)
            if found:
                chosen[found.name] = found
                waiting.append(found)
    return tuple(chosen.values())


def _choose(
    alternatives: Sequence[Relation],
    needed_by: Available,
    chosen: dict[str, Available],
    catalogue: Catalogue,
    version: str,
) -> Available | None:
    """Return the family's package that fulfils a dependency, if none that was chosen does."""
    if any(fulfils(entry, relation) for relation in alternatives for entry in chosen.values()):
        return None
    for relation in alternatives:
        bounds = [r for group in needed_by.depends for r in group if r[0] == relation[0]]
        fitting = [e for e in catalogue.versions(relation[0]) if all(fulfils(e, bound) for bound in bounds)]
        same = [entry for entry in fitting if driver_version(entry.version) == version]
        offered = (same or fitting) or _providers(relation, needed_by, catalogue, version)
        if offered and names.is_driver(offered[0].name) and offered[0].name not in chosen:
            return offered[0]
    return None


def _providers(relation: Relation, needed_by: Available, catalogue: Catalogue, version: str) -> list[Available]:
    """Return other packages of the same driver that provide the name; those of the same build before others."""
    found = [
        e for e in catalogue.providers(relation[0]) if fulfils(e, relation) and driver_version(e.version) == version
    ]
    return sorted(found, key=lambda entry: entry.version != needed_by.version)
