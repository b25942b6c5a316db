"""Which driver drives which GPU: the role's own table, read, and what comes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from node_builder import A40, bare_node
from role_tables import role_support, role_vars

from ansible_collections.t9k.gpu.plugins.module_utils._driver.support import Support
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import pci

TABLE = role_support()
V100, A100, L40, H100, GH200, B200, UNKNOWN = "1db4", "20b0", "26b5", "2330", "2342", "2901", "0001"


def found(branch: str, kernel_modules: str, *device_ids: str, table: Support = TABLE) -> list[str]:
    gpus = [replace(A40, address=f"0000:0{n}:00.0", device_id=each) for n, each in enumerate(device_ids)]
    return [str(fault) for fault in table.faults(gpus, branch, kernel_modules)]


@pytest.mark.parametrize(
    ("branch", "kernel_modules", "device_ids", "words"),
    [
        ("535", "proprietary", [A100], []),
        ("580", "open", [A100, H100, L40], []),
        ("535", "open", [B200], ["branch 570 and later, for a Blackwell GPU. Found: branch 535 (PCI 0000:00:00.0)"]),
        ("580", "proprietary", [B200], ["open kernel modules, for a Blackwell GPU. Found: proprietary ones"]),
        ("535", "proprietary", [B200], ["branch 570 and later", "open kernel modules"]),
        ("590", "proprietary", [V100], ["branch 580 and earlier, for a Volta GPU. Found: branch 590"]),
        ("580", "open", [V100], ["proprietary kernel modules, for a Volta GPU. Found: open ones"]),
        ("580", "proprietary", [V100], []),
        ("550", "proprietary", [GH200], ["open kernel modules, for a Grace Hopper GPU"]),
        ("550", "proprietary", [H100], []),
        ("515", "proprietary", [H100], ["branch 520 and later, for a Hopper GPU"]),
        ("580", "open", [V100, B200], ["proprietary kernel modules, for a Volta GPU"]),  # no driver drives both
        ("535", "open", [B200, B200], ["branch 570 and later"]),  # once for each kind
        ("535", "proprietary", [UNKNOWN], []),
        ("", "proprietary", [H100], []),
    ],
)
def test_what_drives_what(branch: str, kernel_modules: str, device_ids: list[str], words: list[str]) -> None:
    faults = found(branch, kernel_modules, *device_ids)
    assert len(faults) == len(words)
    assert all(part in fault for part, fault in zip(words, faults))


def test_without_a_table_nothing_is_known() -> None:
    assert found("535", "proprietary", B200, table=Support()) == []
    assert Support().kernel_modules(bare_node().gpus, "580") == "proprietary"


@pytest.mark.parametrize(
    ("branch", "month", "said"),
    [
        ("535", "2026-06", None),  # the month itself still counts
        ("535", "2026-07", "support of driver branch 535 ended in 2026-06"),
        ("525", "2020-01", "branch 525 has ended"),
        ("580", "2026-11", None),
        ("999", "2099-01", None),
    ],
)
def test_the_end_of_a_branch(branch: str, month: str, said: str | None) -> None:
    ended = TABLE.ended(branch, month)
    assert (ended is None) if said is None else (said in str(ended))


def test_the_table_names_only_architectures_that_are_told_apart() -> None:
    known = {name for _first, _last, name in pci._ARCHITECTURES}
    assert {row.name for row in TABLE.architectures if not row.device_ids} == known


def test_default_branches_have_a_known_end() -> None:
    """A default that nobody looked up would never be seen to end."""
    ends = dict(TABLE.ends)
    systems = role_vars()["__driver_supported_os"].values()
    assert {branch for system in systems for branch in system["branches"]} <= set(ends)
