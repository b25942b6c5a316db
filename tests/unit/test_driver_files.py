"""The small files of the role: what apt makes of the pin, and unattended-upgrades of its list."""

from __future__ import annotations

import re
from fnmatch import fnmatch

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils import _driver_files


def pin() -> dict[str, str]:
    lines = (line for line in _driver_files.preferences("535.247.01").splitlines() if not line.startswith("#"))
    return {key: value.strip() for key, _colon, value in (line.partition(":") for line in lines)}


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("535.247.01-1~deb12u1", True),
        ("535.247.01-0ubuntu0.22.04.1", True),
        ("1:535.247.01-1", True),
        ("535.247.011-1", False),
        ("535.54.03-1", False),
        ("1.17.8-1", False),  # the container toolkit, which shares the prefix
    ],
)
def test_the_pin_takes_one_version(version: str, expected: bool) -> None:
    assert fnmatch(version, pin()["Pin"].split(None, 1)[1]) is expected


def test_the_pin_is_above_what_is_installed_so_that_it_can_downgrade() -> None:
    assert int(pin()["Pin-Priority"]) > 1000


@pytest.mark.parametrize(
    ("name", "pinned", "excluded"),
    [
        ("nvidia-driver-535-server", True, True),
        ("libnvidia-compute-535-server", True, True),
        ("libcuda1", True, True),
        ("xserver-xorg-video-nvidia-535", True, True),
        ("linux-modules-nvidia-535-server-5.15.0-91-generic", False, True),  # has the kernel's version
        ("linux-image-generic", False, False),
        ("openssh-server", False, False),
        ("golang-nvidia-x", False, False),
    ],
)
def test_names(name: str, pinned: bool, excluded: bool) -> None:
    assert any(fnmatch(name, glob) for glob in pin()["Package"].split()) is pinned
    expressions = re.findall(r'^    "(.*)";$', _driver_files.unattended(), re.MULTILINE)
    assert any(re.match(expression, name) for expression in expressions) is excluded


def test_unattended_is_a_file_of_apt() -> None:
    first, *rest = _driver_files.unattended().splitlines()
    assert first.startswith("// ")
    assert (rest[0], rest[-1]) == ("Unattended-Upgrade::Package-Blacklist {", "};")


def test_ours_are_the_files_that_removal_takes() -> None:
    assert {_driver_files.PREFERENCES, _driver_files.UNATTENDED, _driver_files.SOURCES} <= set(_driver_files.OURS)
    assert _driver_files.CORDON_MARK not in _driver_files.OURS  # the node must still be let in again
