"""How much room an installation takes, and on which file system it lacks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from node_builder import bare_node, package_plan

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import (
    Available,
    Move,
    Transaction,
    make_catalogue,
    parse_show,
)
from ansible_collections.t9k.gpu.plugins.module_utils._driver import room
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target

BARE = bare_node()
NEW_KERNEL = Move("linux-image-5.15.0-113-generic", None, "1")
DKMS = Target("535.1", "open", package_plan("535.1"))
PREBUILT = replace(DKMS, packages=replace(package_plan("535.1"), module_build="prebuilt"))


@pytest.mark.parametrize(
    ("target", "moves", "initramfs", "expected"),
    [
        (PREBUILT, Transaction(), 0, {"/": 1024, "/var": 0, "/boot": 0}),
        (PREBUILT, Transaction(unpacked_kib=1024 * 700 + 1), 90, {"/": 957, "/var": 0, "/boot": 90}),
        (DKMS, Transaction(unpacked_kib=1, download_bytes=300 * 1024 * 1024), 90, {"/": 257, "/var": 1324, "/boot": 90}),
        (PREBUILT, Transaction((NEW_KERNEL,), unpacked_kib=1024), 90, {"/": 257, "/var": 0, "/boot": 90 + 90 + 64}),
        (PREBUILT, Transaction((Move("linux-image-generic", None, "1"),), unpacked_kib=1024), 90, {"/": 257, "/var": 0, "/boot": 90}),
    ],
)  # fmt: skip
def test_what_it_takes(target: Target, moves: Transaction, initramfs: int, expected: dict[str, int]) -> None:
    state = replace(BARE, system=replace(BARE.system, initramfs_mib=initramfs))
    assert room.needed(state, replace(target, transaction=moves)) == expected


@pytest.mark.parametrize(
    ("free", "elsewhere", "expected"),
    [
        (257 + 1124 + 90, (), []),
        (257 + 1124 + 89, (), ["1471 MiB free on /. Found: 1470 MiB (statvfs /)"]),
        (257 + 1124, (("/boot", 90),), []),
        (257 + 1124, (("/boot", 89),), ["90 MiB free on /boot. Found: 89 MiB (statvfs /boot)"]),
        (257, (("/boot", 90), ("/var", 1123)), ["1124 MiB free on /var. Found: 1123 MiB"]),
        (256, (("/boot", 0), ("/var", 1124)), ["257 MiB free on /.", "90 MiB free on /boot."]),
    ],
)  # fmt: skip
def test_where_it_lacks(free: int, elsewhere: tuple[tuple[str, int], ...], expected: list[str]) -> None:
    system = replace(BARE.system, free_mib=free, elsewhere=elsewhere, initramfs_mib=90)
    moves = Transaction(unpacked_kib=1, download_bytes=100 * 1024 * 1024)
    found = [str(fault) for fault in room.faults(replace(BARE, system=system), replace(DKMS, transaction=moves))]
    assert [words in fault for words, fault in zip(expected, found)] == [True] * len(expected) == [True] * len(found)


def test_what_comes_is_measured_by_the_catalogue() -> None:
    rows = [
        Available("a", "2", installed_kib=5),
        Available("a", "1", installed_kib=9),
        Available("b", "1", installed_kib=7),
    ]
    offer = make_catalogue([*rows, *parse_show("Package: d\nVersion: 3\nInstalled-Size: 40\n")])
    moves = Transaction(
        upgrade=(Move("a", "1", "2"),),
        remove=(Move("b", "1", None),),
        install=(Move("c", None, "1"), Move("d", None, "3")),
    )
    assert moves.measured(offer).unpacked_kib == 45
