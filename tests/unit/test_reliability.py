"""docs/reliability.md names at least thirty faults, each with a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|([^|]*)\|$", re.MULTILINE)
ROWS = ROW.findall((ROOT / "docs/reliability.md").read_text())
#: A test by its name, or a scenario with the words that it says in one of its files.
NAMED = re.compile(r'`([^`]+)`(?: "([^"]+)")?')
PLACES = {
    "faults": ROOT / "tests/lab/faults",
    **{f"molecule/{path.name}": path for path in (ROOT / "molecule").iterdir()},
}


def test_there_are_enough_and_each_has_its_number() -> None:
    assert len(ROWS) >= 30
    assert [int(row[0]) for row in ROWS] == list(range(1, len(ROWS) + 1))


def functions() -> str:
    return "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))


ALL = functions()


@pytest.mark.parametrize("row", ROWS, ids=[row[1] for row in ROWS])
def test_every_test_that_a_row_names_exists(row: tuple[str, ...]) -> None:
    named = NAMED.findall(row[2])
    assert named
    for name, words in named:
        if name in PLACES:
            texts = [path.read_text() for path in PLACES[name].rglob("*") if path.suffix in (".yml", ".py")]
            assert words and any(words in text for text in texts), f"{name}: {words}"
        else:
            assert re.search(rf"^def {name}\(", ALL, re.MULTILINE), name
