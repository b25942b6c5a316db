"""Driver versions, however they are written."""

from __future__ import annotations

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.version import branch, driver_version, key


@pytest.mark.parametrize(
    ("version", "expected", "number", "numbers"),
    [
        ("525.147.05-0ubuntu0.20.04.1", "525.147.05", "525", (525, 147, 5)),
        ("535.247.01-1~deb12u1", "535.247.01", "535", (535, 247, 1)),
        ("1:590.44.01-1", "590.44.01", "590", (590, 44, 1)),
        ("550.163.01+ds-2", "550.163.01", "550", (550, 163, 1)),
        ("575.51-1", "575.51", "575", (575, 51)),
        ("580", None, "", (580,)),
        ("20220217+3~deb12u1", None, "", (20220217,)),
        ("abc", None, "", ()),
        ("", None, "", ()),
        (None, None, "", ()),
    ],
)
def test_versions(version: str | None, expected: str | None, number: str, numbers: tuple[int, ...]) -> None:
    assert (driver_version(version), branch(version), key(version)) == (expected, number, numbers)
