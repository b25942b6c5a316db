"""Write binary .deb files and the indices of an apt repository, the same bytes every time."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

COMPONENT = "restricted"


@dataclass(frozen=True)
class Package:
    """A package as data: control fields, files (``->`` in front of the content makes a link) and scripts."""

    name: str
    version: str
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)

    @property
    def file_name(self) -> str:
        return f"pool/{self.name}_{self.version.replace(':', '%3a')}_amd64.deb"

    def control(self) -> str:
        rows = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": "amd64",
            "Maintainer": "t9k.gpu lab <lab@localhost>",
            "Section": "restricted/misc",
            "Priority": "optional",
            **{key: value for key, value in self.fields.items() if value},
            "Description": f"{self.fields.get('Description', self.name)} (test package of the t9k.gpu lab)",
        }
        return "".join(f"{key}: {value}\n" for key, value in rows.items())


def _tar(files: Mapping[str, str], executable: bool = False) -> bytes:
    """A gzipped tar; parent folders first, as dpkg wants them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        folders = {parent for path in files for parent in Path(path).parents}
        for folder in sorted(folders, key=str):
            entry = tarfile.TarInfo("./" if str(folder) == "." else f"./{folder}/")
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        for path, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"./{path}")
            data = content.encode()
            if content.startswith("->"):
                entry.type, entry.linkname, data = tarfile.SYMTYPE, content[2:], b""
            entry.mode = 0o755 if executable or "bin/" in path else 0o644
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), compresslevel=1, mtime=0)


def build(package: Package) -> bytes:
    """The .deb: an ar archive of three members."""
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": _tar({"control": package.control(), **package.scripts}, executable=True),
        "data.tar.gz": _tar(package.files),
    }
    out = b"!<arch>\n"
    for name, data in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return out


def repository(packages: Iterable[Package], suite: str, release: Mapping[str, str]) -> dict[str, bytes]:
    """All files of an unsigned apt repository with one suite and one component, by path."""
    out: dict[str, bytes] = {}
    index = ""
    for package in sorted(packages, key=lambda each: (each.name, each.version)):
        data = build(package)
        out[package.file_name] = data
        digest = hashlib.sha256(data).hexdigest()
        index += f"{package.control()}Filename: {package.file_name}\nSize: {len(data)}\nSHA256: {digest}\n\n"
    packages_file = f"{COMPONENT}/binary-amd64/Packages"
    rows = {**release, "Codename": release.get("Codename", suite), "Architectures": "amd64", "Components": COMPONENT}
    digest = hashlib.sha256(index.encode()).hexdigest()
    head = "".join(f"{key}: {value}\n" for key, value in rows.items())
    out[f"dists/{suite}/{packages_file}"] = index.encode()
    out[f"dists/{suite}/Release"] = f"{head}SHA256:\n {digest} {len(index.encode())} {packages_file}\n".encode()
    return out
