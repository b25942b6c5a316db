# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have the .deb files of installed packages in a folder: what a way back needs once the archive has moved on.

A file is the installed package's where its checksum is the one that the archive's signed index gives for this version, or, where
the archive does not have the version any more, where the checksums of all files in it are those that dpkg unpacked. ``apt-get
download --print-uris`` gives address, size and checksum of what is on offer and names the rest in an error (tried with apt 2.6).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run
from ansible_collections.t9k.gpu.plugins.module_utils._debian import login
from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under

CACHE = "/var/cache/apt/archives"
_HELPER = "/usr/lib/apt/apt-helper"
_URI = re.compile(
    r"^'(?P<uri>\S+)' (?P<file>\S+) (?P<size>\d+) (?P<kind>[A-Za-z0-9]+):(?P<digest>[0-9a-f]+)$", re.MULTILINE
)
_SPEC = re.compile(r"(?P<name>[^:=]+):(?P<architecture>[^:=]+)=(?P<version>.+)")
_TIMEOUT_S = 1800


@dataclass(frozen=True)
class File:
    """The .deb file of one version of one package, named ``name:architecture=version``."""

    name: str
    architecture: str
    version: str

    @classmethod
    def of(cls, spec: str) -> File | None:
        match = _SPEC.fullmatch(spec)
        return cls(match["name"], match["architecture"], match["version"]) if match else None

    @property
    def spec(self) -> str:
        return f"{self.name}:{self.architecture}={self.version}"

    @property
    def file(self) -> str:
        """Return the name that apt gives it, where an epoch's colon is written %3a."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"

    @property
    def asked(self) -> str:
        """Return how apt-get is asked for it: it knows no package of the architecture ``all``."""
        return f"{self.name}={self.version}" if self.architecture == "all" else self.spec


@dataclass(frozen=True)
class Offer:
    """Where the archive has a file, and its checksum there."""

    uri: str
    kind: str
    digest: str


def offers(run: Run, wanted: Iterable[File]) -> dict[str, Offer]:
    """Return what the archive has of them, by file name; what it does not have makes apt-get fail, and name the rest."""
    asked = [each.asked for each in wanted]
    if not asked:
        return {}
    shown = run(["apt-get", "--print-uris", "-qq", "download", *asked], timeout_s=120).stdout
    return {m["file"]: Offer(m["uri"], m["kind"], m["digest"]) for m in _URI.finditer(shown)}


def missing(run: Run, wanted: Sequence[File], folders: Sequence[str] = (CACHE,), root: str = "/") -> tuple[str, ...]:
    """Return those that neither a folder nor the archive has. Nothing is fetched, so a damaged file shows later only."""
    elsewhere = [each for each in wanted if not any((under(root, folder) / each.file).is_file() for folder in folders)]
    on_offer = offers(run, elsewhere)
    return tuple(each.spec for each in elsewhere if each.file not in on_offer)


def gather(run: Run, wanted: Sequence[File], folder: str, root: str = "/") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Bring the files into the folder; return the names that came, and what could not be had."""
    place, on_offer = under(root, folder), offers(run, wanted)
    came: list[File] = []
    lost: list[File] = []
    for each in wanted:
        offer, target = on_offer.get(each.file), place / each.file
        if _is_it(run, target, each, offer, root):
            continue
        if not _take(under(root, CACHE) / each.file, target) or not _is_it(run, target, each, offer, root):
            _fetch(run, offer, target)
        (came if _is_it(run, target, each, offer, root) else lost).append(each)
    for each in lost:
        (place / each.file).unlink(missing_ok=True)
    return tuple(each.file for each in came), tuple(each.spec for each in lost)


def _take(cached: Path, target: Path) -> bool:
    """Make the cached file one of ours too; the cache may be on another file system, or be cleaned at any time."""
    target.unlink(missing_ok=True)
    if not cached.is_file():
        return False
    try:
        os.link(cached.resolve(), target)
    except OSError:
        shutil.copyfile(cached, target)
    return True


def _fetch(run: Run, offer: Offer | None, target: Path) -> None:
    """apt's own helper checks the sum, and knows the credentials and proxies of the node's apt."""
    target.unlink(missing_ok=True)
    if offer is None:
        return
    with tempfile.TemporaryDirectory(prefix="t9k-gpu-auth-") as folder:  # mode 0700: arguments are for everybody to see
        place = offer.uri.rpartition("/")[0]
        (Path(folder) / "archive.conf").write_text(login.entries([place]), encoding="utf-8")
        options = ["-o", f"Dir::Etc::netrcparts={folder}"] if login.has_login(offer.uri) else []
        file = ["download-file", login.shown(offer.uri), str(target), f"{offer.kind}:{offer.digest}"]
        run([_HELPER, *options, *file], timeout_s=_TIMEOUT_S)
    if target.is_symlink():  # of an archive that is a folder of this host
        original = target.resolve()
        target.unlink()
        if original.is_file():
            shutil.copyfile(original, target)


def _is_it(run: Run, path: Path, wanted: File, offer: Offer | None, root: str) -> bool:
    if not path.is_file():
        return False
    if offer is not None:
        return _digest(path, offer.kind) == offer.digest
    fields = run(["dpkg-deb", "--field", str(path), "Package", "Architecture", "Version"], timeout_s=60)
    told = dict(line.partition(": ")[::2] for line in fields.stdout.splitlines())
    if told != {"Package": wanted.name, "Architecture": wanted.architecture, "Version": wanted.version}:
        return False
    unpacked = _unpacked(wanted, root)
    inside = run(["dpkg-deb", "--info", str(path), "md5sums"], timeout_s=60)
    return unpacked is None or not inside.ok or sorted(unpacked.splitlines()) == sorted(inside.stdout.splitlines())


def _digest(path: Path, kind: str) -> str:
    try:
        found = hashlib.new(kind.lower().replace("md5sum", "md5"))
    except ValueError:
        return ""
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()


def _unpacked(wanted: File, root: str) -> str | None:
    info = under(root, "/var/lib/dpkg/info")
    names = (f"{wanted.name}:{wanted.architecture}.md5sums", f"{wanted.name}.md5sums")
    return next((text for text in (read_text(info / name) for name in names) if text is not None), None)
