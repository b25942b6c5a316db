"""apt's source entries in both formats, and the entry that adds what lacks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._debian.preview import stanza
from ansible_collections.t9k.gpu.plugins.module_utils._debian.sources import Entry, extra_components, parse, read, shown

OWN = "/etc/apt/sources.list.d/t9k-gpu-driver.sources"

MIRROR = "http://mirror.internal/debian"
KEY = "/usr/share/keyrings/debian-archive-keyring.gpg"
MAIN = Entry((MIRROR,), ("bookworm", "bookworm-updates"), ("main",), KEY)


@pytest.mark.parametrize(
    ("text", "deb822", "expected"),
    [
        ("", True, ()),
        ("", False, ()),
        (f"# a comment\nTypes: deb\nURIs: {MIRROR}\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: {KEY}\n", True,
         (MAIN,)),
        (f"Types: deb-src\nURIs: {MIRROR}\nSuites: bookworm\nComponents: main\n", True, ()),
        (f"Enabled: no\nTypes: deb\nURIs: {MIRROR}\nSuites: bookworm\nComponents: main\n", True, ()),
        (f"deb {MIRROR} bookworm main contrib # why\n#deb {MIRROR} bookworm non-free\ndeb-src {MIRROR} bookworm main\n", False,
         (Entry((MIRROR,), ("bookworm",), ("main", "contrib")),)),
        (f"deb [arch=amd64 signed-by={KEY}] {MIRROR} ./\n", False, (Entry((MIRROR,), ("./",), (), KEY),)),
        (f"Types: deb\nURIs: {MIRROR}\nSuites: x\n\nTypes: deb\nURIs: {MIRROR}\nSuites: y\nComponents:\n main\n contrib\n", True,
         (Entry((MIRROR,), ("x",), ()), Entry((MIRROR,), ("y",), ("main", "contrib")))),
    ],
)  # fmt: skip
def test_parse(text: str, deb822: bool, expected: tuple[Entry, ...]) -> None:
    assert parse(text, deb822) == expected


def test_what_is_written_is_what_is_read() -> None:
    assert parse(stanza(MAIN), deb822=True) == (MAIN,)


NEEDED = ("contrib", "non-free")


ELSEWHERE = Entry(("http://security.debian.org/debian-security",), ("bookworm-security",), ("main",), KEY)
RELEASE = replace(MAIN, suites=("bookworm",))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((MAIN,), {"": replace(MAIN, components=NEEDED)}),
        ((RELEASE,), {"": replace(RELEASE, components=NEEDED)}),
        (
            (RELEASE, Entry((MIRROR,), ("bookworm",), ("contrib",))),
            {"": replace(RELEASE, components=("non-free",))},
        ),
        (  # the release has all, its updates do not
            (replace(RELEASE, components=("main", *NEEDED)), replace(MAIN, suites=("bookworm-updates",))),
            {"-updates": replace(MAIN, suites=("bookworm-updates",), components=NEEDED)},
        ),
        (  # fixes come from another mirror
            (MAIN, ELSEWHERE),
            {"": replace(MAIN, components=NEEDED), "-security": replace(ELSEWHERE, components=NEEDED)},
        ),
        (
            (replace(MAIN, components=("main", *NEEDED)), ELSEWHERE),
            {"-security": replace(ELSEWHERE, components=NEEDED)},
        ),
        ((replace(MAIN, components=("main", *NEEDED)), replace(ELSEWHERE, components=("main", *NEEDED))), {}),
        ((Entry((MIRROR,), ("bookworm",), ("main", *NEEDED)),), {}),
        ((Entry((MIRROR,), ("./",), ()),), {}),
        ((ELSEWHERE,), {}),  # not known where the release itself is
        ((), {}),
    ],
)
def test_extra_components(entries: tuple[Entry, ...], expected: dict[str, Entry]) -> None:
    assert extra_components(entries, "bookworm", NEEDED) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://user:secret@mirror/debian x", "http://mirror/debian x"),
        ("E: https://token@a/ and https://b/c@d", "E: https://a/ and https://b/c@d"),
        ("file:/srv/debs", "file:/srv/debs"),
    ],
)
def test_no_password_is_shown(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_read_leaves_the_collections_own_file_out(tmp_path: Path) -> None:
    parts = tmp_path / "etc/apt/sources.list.d"
    parts.mkdir(parents=True)
    (tmp_path / "etc/apt/sources.list").write_text(f"deb {MIRROR} bookworm main\n")
    (parts / "debian.sources").write_text(stanza(MAIN))
    (parts / "t9k-gpu-driver.sources").write_text(stanza(Entry((MIRROR,), ("bookworm",), NEEDED)))
    assert read(str(tmp_path), leave_out=[OWN]) == (Entry((MIRROR,), ("bookworm",), ("main",)), MAIN)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (Entry((MIRROR,), ("bookworm-updates", "bookworm"), ("main",), KEY), True),
        (Entry((MIRROR,), MAIN.suites, ("main",), "/etc/apt/keyrings/other.asc"), True),
        (Entry(("http://elsewhere/debian",), MAIN.suites, ("main",), KEY), False),
        (Entry((MIRROR,), ("bookworm",), ("main",), KEY), False),
        (Entry((MIRROR,), MAIN.suites, ("main", "non-free"), KEY), False),
        (Entry((MIRROR,), MAIN.suites, (), KEY), False),
    ],
)
def test_the_same_place_is_everything_but_the_key(other: Entry, same: bool) -> None:
    assert MAIN.same_place(other) is same
    assert other.same_place(MAIN) is same
