"""What the role's tables say is what its documentation says."""

from __future__ import annotations

import pytest
from role_tables import VARS, role_support, role_vars

DOCS = (VARS.parents[3] / "docs/driver.md").read_text()
SYSTEMS = role_vars()["__driver_supported_os"]


@pytest.mark.parametrize("key", SYSTEMS)
def test_a_system_is_documented_with_its_branches(key: str) -> None:
    (row,) = [line for line in DOCS.splitlines() if f"(`{key}`)" in line]
    assert [cell.strip() for cell in row.split("|")[2:4]] == [
        ", ".join(SYSTEMS[key]["branches"]),
        ", ".join(SYSTEMS[key]["components"]),
    ]


@pytest.mark.parametrize("row", role_support().architectures, ids=lambda row: row.name)
def test_an_architecture_is_documented(row) -> None:  # type: ignore[no-untyped-def]
    (line,) = [
        line
        for line in DOCS.splitlines()
        if line.startswith("|") and row.name in line.split("|")[1].strip().split(", ")
    ]
    assert [cell.strip() for cell in line.split("|")[2:4]] == [row.branches, ", ".join(row.kernel_modules)]


@pytest.mark.parametrize("system", sorted(SYSTEMS))
def test_the_default_branch_lives_where_the_archive_has_one_that_does(system: str) -> None:
    """Of focal, bookworm and trixie it has none (see the table's head): the run says so with its month, every time."""
    month = "2026-11"
    lives = [branch for branch in SYSTEMS[system]["branches"] if role_support().ended(branch, month) is None]
    assert SYSTEMS[system]["branches"][:1] == lives[:1] or (
        not lives and system in ("debian-12", "debian-13", "ubuntu-20.04")
    )
