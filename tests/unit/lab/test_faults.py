"""The faults of the lab: one table, which the docs show and the stand-ins know."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from tests.lab.faults import strike, table
from tests.lab.log import LabError

LAB = Path(table.__file__).parents[1]
DOCS = LAB.parents[1] / "docs"


def test_the_docs_show_every_fault_as_it_is() -> None:
    shown = [line for line in (DOCS / "lab.md").read_text().splitlines() if line.endswith("|")]
    names = [fault.name for fault in (*table.HOST, *table.CLUSTER)]
    rows = [line for line in shown if line.startswith(tuple(f"| `{name}` |" for name in names))]
    assert rows == [*table.rows(table.HOST), *table.rows(table.CLUSTER)]


def test_the_docs_show_every_strike() -> None:
    rows = [line.split("`")[1] for line in (DOCS / "lab.md").read_text().splitlines() if line.startswith("| `")]
    strikes = {name for name, found in vars(strike).items() if inspect.isfunction(found) and not name.startswith("_")}
    assert strikes - {"dataclass"} <= set(rows)


@pytest.mark.parametrize(
    ("faults", "places"),
    [
        (table.HOST, sorted((LAB / "hosts/stand_ins").rglob("*.[pc]*"))),
        (table.CLUSTER, sorted((LAB / "cluster").glob("*.py"))),
    ],
)
def test_a_stand_in_reads_every_fault(faults: tuple[table.Fault, ...], places: list[Path]) -> None:
    code = "".join(place.read_text() for place in places)
    assert [fault.name for fault in faults if f'"{fault.name}"' not in code and f'/{fault.name}"' not in code] == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("gpu-lost", "2", ""),
        ("xid", "79 0", ""),
        ("xid", "79", "fault xid: wanted 13, 79, 94 or 119, INDEX, found '79'"),
        ("fabric-in-progress", "soon", "fault fabric-in-progress: wanted SECONDS or forever, found 'soon'"),
        ("gpu_lost", "2", "fault: wanted one of module-late, .*, found 'gpu_lost'"),
    ],
)
def test_a_value_is_checked(name: str, value: str, said: str) -> None:
    if not said:
        assert table.find(table.HOST, name, value).name == name
        return
    with pytest.raises(LabError, match=said):
        table.find(table.HOST, name, value)
