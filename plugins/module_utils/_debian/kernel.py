# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell by which metapackages a system gets one kernel after another. Pure.

A line is what follows one metapackage: ``linux-image-generic`` and ``linux-image-generic-hwe-22.04`` bring kernels whose releases
end alike, one is on another line than the other (packages.ubuntu.com, linux-image-generic; packages.debian.org, linux-image-amd64).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package

#: What has a metapackage of the line's name: ``linux-image-generic``, and ``linux-generic`` for image and headers together.
KINDS = ("image-", "headers-", "modules-extra-", "")
_IMAGE = re.compile(r"linux-image-(?:unsigned-)?(?P<release>\d\S*)")
_NUMBERS = re.compile(r"\d+")
_FLAVOUR = re.compile(r"[\d.]+(?:-\d+)?(?:\+\w+)?-(?P<flavour>[a-z].*)")


@dataclass(frozen=True)
class Line:
    """The line of the running kernel. ``metapackages``: those that are installed, with their versions."""

    name: str
    release: str  # the kernel that it has brought last
    metapackages: Mapping[str, str]

    @property
    def flavours(self) -> tuple[str, ...]:
        """Return the names that packages made for this line may end in: modules for ``virtual`` are those for ``generic``."""
        return tuple(dict.fromkeys((self.name, flavour(self.release))))


def flavour(release: str) -> str:
    """Return ``generic`` of ``5.15.0-106-generic``, ``cloud-amd64`` of ``6.12.57+deb13-cloud-amd64``; nothing where there is none."""
    match = _FLAVOUR.fullmatch(release)
    return match["flavour"] if match else ""


def order(release: str) -> list[int]:
    """Return what kernels of one flavour are sorted by."""
    return [int(number) for number in _NUMBERS.findall(release)]


def image_of(depends: Iterable[str]) -> str | None:
    """Return the release that a metapackage brings, by the names it depends on."""
    return next((match["release"] for match in map(_IMAGE.fullmatch, depends) if match), None)


def line(packages: Iterable[Package], running: str) -> Line | None:
    """Return the line of the running kernel: of several, the one that brought it, then one of its series, then the newest."""
    there = {package.name: package for package in packages if package.present}
    images = (name[len("linux-image-") :] for name in there if name.startswith("linux-image-"))
    brings = {name: image_of(_names(there[f"linux-image-{name}"].depends)) for name in images if not name[0].isdigit()}
    found = {name: release for name, release in brings.items() if release and flavour(release) == flavour(running)}
    if not found:
        return None
    name = max(found, key=lambda each: (found[each] == running, _series(found[each], running), order(found[each])))
    metas = (f"linux-{kind}{name}" for kind in KINDS)
    return Line(name, found[name], {meta: there[meta].version or "" for meta in metas if meta in there})


def _series(release: str, running: str) -> bool:
    return order(release)[:3] == order(running)[:3]


def _names(depends: str) -> list[str]:
    return [part.split()[0].partition(":")[0] for part in re.split(r"[,|]", depends) if part.strip()]
