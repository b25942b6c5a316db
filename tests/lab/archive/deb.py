"""Write binary .deb files, the same bytes every time."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Package:
    """A package as data: control fields, files (``->`` in front of the content makes a link) and scripts."""

    name: str
    version: str
    fields: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    component: str = "restricted"
    section: str = "misc"
    summary: str = ""
    text: str = ""  # the description's long part, one line
    maintainer: str = "t9k.gpu lab <lab@localhost>"

    @property
    def file_name(self) -> str:
        return f"{self.name}_{self.version.replace(':', '%3a')}_amd64.deb"

    @property
    def control(self) -> str:
        rows = {
            "Package": self.name,
            "Version": self.version,
            "Architecture": "amd64",
            "Maintainer": self.maintainer,
            "Section": self.section if self.component in ("", "main") else f"{self.component}/{self.section}",
            "Priority": "optional",
            **{key: value for key, value in self.fields.items() if value},
            "Description": self.summary or self.name,
        }
        long = [self.text, "Test package of the t9k.gpu lab."]
        return "".join(f"{key}: {value}\n" for key, value in rows.items()) + "".join(f" {x}\n" for x in long if x)


def build(package: Package) -> bytes:
    """The .deb: an ar archive of three members."""
    members = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": _tar({"control": package.control, **package.scripts}, executable=True),
        "data.tar.gz": _tar(package.files),
    }
    out = b"!<arch>\n"
    for name, data in members.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode()
        out += data + b"\n" * (len(data) % 2)
    return out


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
