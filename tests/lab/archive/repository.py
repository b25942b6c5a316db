"""Write the files of an apt repository: a pool, and indices per pocket and component, or a flat one.

Unsigned: who serves one signs its Release with a key of its own (`sign` does it with gpg).
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from tests.lab.archive.deb import Package, build

COMPONENTS = ("main", "restricted", "multiverse")
DATE = "Fri, 01 Mar 2024 12:00:00 UTC"


def pockets(
    series: str,
    release: Mapping[str, str],
    found: Mapping[str, Iterable[Package]],
    components: Sequence[str] = COMPONENTS,
) -> dict[str, bytes]:
    """Every file, by its path below the archive's root; pocket '' is the release's own, which a lab leaves empty."""
    out: dict[str, bytes] = {}
    for pocket, packages in {"": (), **found}.items():
        suite = f"{series}-{pocket}" if pocket else series
        indices: dict[str, bytes] = {}
        for component in components:
            rows = [package for package in packages if package.component == component]
            indices[f"{component}/binary-amd64/Packages"] = _index(rows, "pool/", out)
        head = {**release, "Suite": suite, "Codename": series, "Components": " ".join(components)}
        out.update({f"dists/{suite}/{path}": data for path, data in indices.items()})
        out[f"dists/{suite}/Release"] = _release(head, indices)
    return out


def flat(release: Mapping[str, str], packages: Iterable[Package]) -> dict[str, bytes]:
    """A repository without suites, as NVIDIA's is."""
    out: dict[str, bytes] = {}
    index = _index(list(packages), "./", out)
    return {**out, "Packages": index, "Release": _release(release, {"Packages": index})}


def sign(folder: Path, home: Path) -> bytes:
    """Sign a flat repository's Release with a key of gpg's ``home``, made if there is none; the public key, armoured."""
    gpg = ["gpg", "--homedir", str(home), "--batch", "--yes", "--quiet"]
    if not home.exists():
        home.mkdir(parents=True, mode=0o700)
        made = ["--passphrase", "", "--quick-generate-key", "t9k.gpu lab <lab@localhost>", "ed25519", "sign", "never"]
        subprocess.run([*gpg, *made], check=True)
    for how, name in (("--clearsign", "InRelease"), ("--detach-sign", "Release.gpg")):
        subprocess.run([*gpg, "--armor", how, "--output", str(folder / name), str(folder / "Release")], check=True)
    key = subprocess.run([*gpg, "--armor", "--export"], check=True, capture_output=True).stdout
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=True)
    return key


def _index(packages: Iterable[Package], prefix: str, out: dict[str, bytes]) -> bytes:
    """The Packages file; the packages themselves are added to ``out``."""
    text = ""
    for package in sorted(packages, key=lambda each: (each.name, each.version)):
        path = f"{prefix}{package.file_name}"
        data, digest = _built(package.name, package.version, _Held(package))
        out[path.removeprefix("./")] = data
        text += f"{package.control}Filename: {path}\nSize: {len(data)}\nSHA256: {digest}\n\n"
    return text.encode()


class _Held:
    """A package as an argument that a cache takes: equal by what it says."""

    def __init__(self, package: Package) -> None:
        self.package = package
        self.key = (package.control, *sorted(package.files.items()))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.key == self.key


@lru_cache(maxsize=None)
def _built(name: str, version: str, held: _Held) -> tuple[bytes, str]:
    """The .deb and its digest; several moments of an archive share most of their packages."""
    data = build(held.package)
    return data, hashlib.sha256(data).hexdigest()


def _release(head: Mapping[str, str], indices: Mapping[str, bytes]) -> bytes:
    rows = {**head, "Date": DATE, "Architectures": "amd64"}
    text = "".join(f"{key}: {value}\n" for key, value in rows.items()) + "SHA256:\n"
    return (
        text + "".join(f" {hashlib.sha256(d).hexdigest()} {len(d)} {path}\n" for path, d in indices.items())
    ).encode()
