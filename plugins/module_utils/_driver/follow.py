# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find where kernel, modules and driver move together, from what is on offer. Pure.

Ubuntu's ``linux-modules-nvidia-BRANCH-FLAVOUR`` leads to the modules of one kernel, and names their driver by the lower bound on its
common files (packages.ubuntu.com, linux-modules-nvidia-580-generic). Kernel and driver are uploaded apart from it, so the modules
decide: the kernel goes where they are, and the driver is the one that they are of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.t9k.gpu.plugins.module_utils._debian import kernel
from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Available, Catalogue
from ansible_collections.t9k.gpu.plugins.module_utils._debian.kernel import Line
from ansible_collections.t9k.gpu.plugins.module_utils._debian.version import compare
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.version import driver_version


@dataclass(frozen=True)
class Lead:
    """Where a metapackage of modules leads."""

    metapackage: Available
    release: str
    version: str  # of the driver that the modules are of


def releases(offer: Catalogue) -> tuple[str, ...]:
    """Return the kernels that apt's candidates among metapackages lead to, which must be asked for by name."""
    found = (_release(entry) for name in offer.entries for entry in offer.versions(name)[:1])
    return tuple(sorted({release for release in found if release}))


def lead(offer: Catalogue, metapackages: Iterator[str], running: str) -> Lead | None:
    """Return where the first of these metapackages on offer leads; None where that is nowhere, or to a kernel before the running one."""
    for name in metapackages:
        for entry in offer.versions(name)[:1]:
            release, version = _release(entry), prebuilt_version(entry)
            if release and version and kernel.order(release) >= kernel.order(running):
                return Lead(entry, release, version)
    return None


def prebuilt_version(entry: Available) -> str | None:
    """Return the driver that pre-built modules are of: the lower bound on the common files, since their own version is the kernel's."""
    bounds = [r for group in entry.depends for r in group if r[0].startswith(names.KERNEL_COMMON) and r[1] == ">="]
    return driver_version(bounds[0][2]) if bounds else None


def kernels(offer: Catalogue, line: Line, release: str | None) -> Iterator[Available]:
    """Yield the kernel's metapackages at the version that brings a release (None: apt's choice), where that is a step forward.

    All of one version, since ``linux-generic`` wants the others at its own.
    """
    images = offer.versions(f"linux-image-{line.name}")
    fitting = [entry for entry in images if release in (None, _release(entry))]
    for entry in fitting[:1]:
        for name, installed in line.metapackages.items():
            same = [each for each in offer.versions(name) if each.version == entry.version]
            if same and compare(entry.version, installed) > 0:
                yield same[0]


def headers(offer: Catalogue, line: Line, release: str | None, follows: bool) -> Iterator[Available]:
    """Yield the metapackage of headers, so that a new kernel comes with what dkms builds for it.

    One that is there moves with the kernel's. A new one comes at the image's version: a newer one would pull the rest along.
    """
    name, image = f"linux-headers-{line.name}", f"linux-image-{line.name}"
    if name in line.metapackages:
        return
    wanted = next((e.version for e in kernels(offer, line, release) if e.name == image), "") if follows else ""
    same = [e for e in offer.versions(name) if e.version == (wanted or line.metapackages.get(image))]
    yield from (same or list(offer.versions(name)))[:1]


def _release(entry: Available) -> str | None:
    wanted = [relation[0] for group in entry.depends for relation in group]
    built = (match["abi"] for match in map(names.PREBUILT.match, wanted) if match)
    return next(built, None) or kernel.image_of(wanted)
