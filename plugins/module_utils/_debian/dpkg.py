# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read what dpkg knows from its own files.

No command is run: a status file of 2,000 packages takes a few milliseconds, ``dpkg-query`` many times that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under

ADMIN_DIR = "/var/lib/dpkg"

#: States in which dpkg says that the package works.
_INSTALLED = frozenset({"installed", "triggers-awaited", "triggers-pending"})
#: States in which the package has no files on the system.
_ABSENT = frozenset({"not-installed", "config-files"})

_FIELDS = ("Status", "Architecture", "Version", "Multi-Arch", "Depends", "Provides")


#: What of a kernel has its release in its name, without which it is a metapackage's name.
_KERNEL_KINDS = ("image", "image-unsigned", "modules", "modules-extra", "headers")
_OF_A_KERNEL = re.compile(rf"linux-(?:{'|'.join(_KERNEL_KINDS)})-\d")


@dataclass(frozen=True)
class Package:
    """One entry of dpkg's database."""

    name: str
    architecture: str
    version: str | None
    want: str
    status: str
    multi_arch: str = "no"
    depends: str = ""
    provides: str = ""
    flag: str = "ok"

    @property
    def must_be_unpacked_again(self) -> bool:
        """Tell whether ``dpkg --configure`` cannot mend it: its files are not all there."""
        return self.status == "half-installed" or self.flag == "reinstreq"

    @property
    def installed(self) -> bool:
        """Tell whether it is unpacked and configured."""
        return self.status in _INSTALLED and self.flag == "ok"

    @property
    def present(self) -> bool:
        """Tell whether it has files on the system, configured or not."""
        return self.status not in _ABSENT

    @property
    def held(self) -> bool:
        return self.want == "hold"

    @property
    def label(self) -> str:
        """Return the name as dpkg prints it: with the architecture where several may be installed."""
        return self.spec if self.multi_arch == "same" else self.name

    @property
    def spec(self) -> str:
        """Return the name as dpkg always understands it."""
        return f"{self.name}:{self.architecture}"


def read_status(root: str = "/") -> tuple[Package, ...]:
    """Return every package of the system below ``root``, the journal of an interrupted dpkg included."""
    path = under(root, f"{ADMIN_DIR}/status")
    text = read_text(path)
    if text is None:
        raise GpuError(
            "dpkg's database of packages", "no such file", str(path), "use a host of the Debian family, as root"
        )
    packages = {(p.name, p.architecture): p for p in parse_status(text, str(path))}
    for journal in _journals(under(root, f"{ADMIN_DIR}/updates")):
        packages.update({(p.name, p.architecture): p for p in parse_status(read_text(journal) or "", str(journal))})
    return tuple(packages.values())


def interrupted(root: str = "/") -> bool:
    """Tell whether dpkg has a journal that it has not taken in: it was broken off, or it is at work. apt refuses both."""
    return bool(_journals(under(root, f"{ADMIN_DIR}/updates")))


def _journals(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if entry.name.isdigit())
    except OSError:
        return []


def parse_status(text: str, where: str = "text") -> list[Package]:
    """Return the packages of a status file: only the fields needed here are looked for, in one pass of C code each."""
    return [_package(stanza, where) for stanza in text.split("\n\n") if stanza.strip()]


def _package(stanza: str, where: str) -> Package:
    stanza = "\n" + stanza.lstrip("\n")
    name = _field(stanza, "Package")
    status, architecture, version, multi_arch, depends, provides = (_field(stanza, field) for field in _FIELDS)
    words = status.split()
    if not name or len(words) != 3:
        raise GpuError(
            "a package's name and its three-word Status",
            f"the entry {stanza.strip()[:60]!r}",
            where,
            "the database is damaged or cut short: see `dpkg --audit` and the copies in /var/backups",
        )
    want, flag, state = words
    return Package(name, architecture, version or None, want, state, multi_arch or "no", depends, provides, flag)


def _field(stanza: str, name: str) -> str:
    start = stanza.find(f"\n{name}:")
    if start < 0:
        return ""
    start += len(name) + 2
    end = stanza.find("\n", start)
    return stanza[start : end if end >= 0 else None].strip()


def kernel_packages(packages: Iterable[Package], releases: set[str], aside: Callable[[str], bool]) -> set[str]:
    """Return the labels of what is there of these kernels, with every metapackage that would bring the next one.

    A metapackage is known by what it depends on, whichever kernel that is: after an upgrade and before the reboot it points at one
    that is newer than the running one. ``aside``: names that begin like a kernel's and are something else.
    """
    exact = {f"linux-{kind}-{release}" for kind in _KERNEL_KINDS for release in releases}
    there = {p.name: p for p in packages if p.present and p.name.startswith("linux-") and not aside(p.name)}
    wants = {name: _depended(package) for name, package in there.items() if not _OF_A_KERNEL.match(name)}
    metas = {name for name, wanted in wants.items() if any(_OF_A_KERNEL.match(each) for each in wanted)}
    while True:
        more = {name for name, wanted in wants.items() if wanted & metas} - metas
        if not more:
            return {package.label for name, package in there.items() if name in exact | metas}
        metas |= more


def next_headers(packages: Iterable[Package]) -> tuple[tuple[str, str], ...]:
    """Return the metapackages that bring the headers of the next kernel, at the version of the installed ones that bring the kernel.

    Both Debian and Ubuntu build them in pairs: linux-image-amd64 and linux-headers-amd64, linux-image-generic-hwe-22.04 and
    linux-headers-generic-hwe-22.04.
    """
    there = [p for p in packages if p.present and p.name.startswith("linux-image-") and not _OF_A_KERNEL.match(p.name)]
    metas = [p for p in there if any(_OF_A_KERNEL.match(each) for each in _depended(p))]
    return tuple(sorted((p.name.replace("image", "headers", 1), p.version or "") for p in metas))


def _depended(package: Package) -> set[str]:
    return {part.split()[0].partition(":")[0] for part in re.split(r"[,|]", package.depends) if part.strip()}
