# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find the security updates of packages in the lists that apt fetched last.

Files only: every run wants to know, and apt-cache takes longer than all the rest of a run with nothing to do. Ubuntu and Debian
publish security updates in a pocket of their own, whose lists have it in their names (``…_dists_jammy-security_main_…_Packages``); apt may
keep lists packed (``Acquire::GzipIndexes``), those that Python cannot unpack are passed over.
"""

from __future__ import annotations

import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.t9k.gpu.plugins.module_utils._debian.version import compare
from ansible_collections.t9k.gpu.plugins.module_utils._files import under

LISTS = "/var/lib/apt/lists"
_READERS: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.decompress, ".xz": lzma.decompress}


@dataclass(frozen=True)
class Update:
    """One package, and the newest of its versions in a pocket for security."""

    name: str
    installed: str
    offered: str

    def __str__(self) -> str:
        return f"{self.name} {self.installed} ({self.offered})"


def updates(installed: Mapping[str, str], root: str = "/") -> tuple[Update, ...]:
    """Return the security updates of packages by name and installed version, sorted by name."""
    newest: dict[str, str] = {}
    for content in _lists(under(root, LISTS)) if installed else ():
        for name, version in _versions(content, {f"Package: {name}".encode(): name for name in installed}):
            if compare(version, newest.get(name, installed[name])) > 0:
                newest[name] = version
    return tuple(Update(name, installed[name], version) for name, version in sorted(newest.items()))


def _lists(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.glob("*-security_*_Packages*")):
        unpack = _READERS.get(path.name.rpartition("_Packages")[2])
        if unpack is not None:
            try:
                yield unpack(path.read_bytes())
            except (OSError, EOFError, lzma.LZMAError, zlib.error):
                continue  # apt is fetching it at this moment


def _versions(content: bytes, wanted: Mapping[bytes, str]) -> Iterator[tuple[str, str]]:
    """Yield name and version of what is wanted; a list has tens of thousands of stanzas, each begins with its package's name."""
    for stanza in content.split(b"\n\n"):
        name = wanted.get(stanza[: stanza.find(b"\n")])
        if name is not None:
            start = stanza.find(b"\nVersion: ") + len(b"\nVersion: ")
            yield name, stanza[start:].split(b"\n", 1)[0].decode("utf-8", "replace")
