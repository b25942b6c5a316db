"""Security updates of packages, out of apt's lists."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._debian.security import LISTS, Update, updates
from tests.lab.archive import repository, table, ubuntu

FOLDER = LISTS.lstrip("/")
MIRROR = "mirror.internal_ubuntu_dists_jammy"
INSTALLED = {"linux-image-generic": "5.15.0.106.106", "libcuda1": "2"}


def stanza(name: str, version: str) -> str:
    return f"Package: {name}\nArchitecture: amd64\nVersion: {version}\nDepends: linux-image-generic\n"


def lists(root: Path, **files: bytes) -> str:
    (root / FOLDER).mkdir(parents=True)
    for name, content in files.items():
        (root / FOLDER / name).write_bytes(content)
    return str(root)


NEWER = stanza("linux-image-generic", "5.15.0.113.113")
BOTH = "\n".join((stanza("linux-image-generic", "5.15.0.107.107"), NEWER, stanza("linux-image", "9"))).encode()
FOUND = (Update("linux-image-generic", "5.15.0.106.106", "5.15.0.113.113"),)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (f"{MIRROR}-security_main_binary-amd64_Packages", BOTH, FOUND),
        (f"{MIRROR}-security_main_binary-amd64_Packages.gz", gzip.compress(BOTH), FOUND),
        (f"{MIRROR}-security_main_binary-amd64_Packages.xz", lzma.compress(BOTH), FOUND),
        (f"{MIRROR}-security_main_binary-amd64_Packages.lz4", BOTH, ()),
        (f"{MIRROR}-security_main_binary-amd64_Packages.gz", BOTH, ()),  # cut off
        (f"{MIRROR}-security_main_binary-amd64_Packages.gz", gzip.compress(BOTH, mtime=0)[:-20], ()),
        (f"{MIRROR}-updates_main_binary-amd64_Packages", BOTH, ()),
        (f"{MIRROR}-security_InRelease", BOTH, ()),
        (f"{MIRROR}-security_main_binary-amd64_Packages", stanza("linux-image-generic", "5.15.0.106.106").encode(), ()),
        (f"{MIRROR}-security_main_binary-amd64_Packages", stanza("linux-image-generic", "5.15.0.91.88").encode(), ()),
        (f"{MIRROR}-security_main_binary-amd64_Packages", b"", ()),
    ],
)
def test_updates(tmp_path: Path, name: str, content: bytes, expected: tuple[Update, ...]) -> None:
    assert updates(INSTALLED, lists(tmp_path, **{name: content})) == expected


def test_nothing_is_read_for_nothing(tmp_path: Path) -> None:
    assert updates({}, str(tmp_path)) == updates(INSTALLED, str(tmp_path)) == ()


def test_on_the_archives_own_index(tmp_path: Path) -> None:
    """What a host of 5 May 2024 holds, when summer has come."""
    archive = repository.pockets(
        "jammy", table.read("jammy")["release"], ubuntu.moment(ubuntu.entries("jammy"), "2024-07-01")
    )
    index = {
        f"{MIRROR}-security_{path.split('/')[2]}_binary-amd64_Packages": data
        for path, data in archive.items()
        if path.startswith("dists/jammy-security/") and path.endswith("/binary-amd64/Packages")
    }
    held = {"linux-image-generic": "5.15.0.106.106", "nvidia-utils-535-server": "535.161.08-0ubuntu2.22.04.1"}
    found = updates(held, lists(tmp_path, **index))
    assert [(each.name, each.offered) for each in found] == [
        ("linux-image-generic", "5.15.0.113.113"),
        ("nvidia-utils-535-server", "535.183.01-0ubuntu0.22.04.1"),
    ]
