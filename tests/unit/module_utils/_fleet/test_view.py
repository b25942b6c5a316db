"""The picture of a rollout: one node and five hundred, on narrow and wide terminals, with and without colours."""

from __future__ import annotations

import re

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._fleet import view
from ansible_collections.t9k.gpu.plugins.module_utils._fleet.progress import DONE, FAILED, LEFT, Progress
from ansible_collections.t9k.gpu.plugins.module_utils._report.table import width

COLOUR = re.compile(r"\x1b\[\d*m")
STEPS = ("drain", "install", "reboot", "persistence", "initramfs", "prove", "go back")


def fleet(at_work: int = 3, total: int = 12, name: str = "gpu-{:03}") -> Progress:
    """Some at work, one through, one failed, one left."""
    progress = Progress(total=total)
    for number in range(at_work):
        progress.step(name.format(number), STEPS[number % len(STEPS)], 100.0 + number)
        if number % 2:
            progress.away(name.format(number), 50.0 + number)
    for number, state in enumerate((DONE, FAILED, LEFT), at_work):
        progress.step(name.format(number), "drain", 100.0)
        progress.end(name.format(number), state, 160.0)
    return progress


@pytest.mark.parametrize(
    ("seconds", "expected"), [(-1, "0:00"), (7.9, "0:07"), (750, "12:30"), (3723, "1:02:03"), (90000, "25:00:00")]
)
def test_the_clock(seconds: float, expected: str) -> None:
    assert view.clock(seconds) == expected


@pytest.mark.parametrize("columns", [1, 10, 40, 80, 200])
@pytest.mark.parametrize("rows", [1, 24, 60])
@pytest.mark.parametrize("at_work", [0, 3, 500])
@pytest.mark.parametrize("name", ["gpu-{:03}", "a-very-long-name-of-a-machine-{}.rack-7.example.org", "节点{}"])
def test_no_picture_is_wider_or_higher_than_the_terminal(columns: int, rows: int, at_work: int, name: str) -> None:
    lines = view.picture(fleet(at_work, 503, name), 200.0, columns, rows, colour=True)
    assert all(width(COLOUR.sub("", line)) < max(2, columns) for line in lines)
    assert len(lines) <= max(2, rows)


@pytest.mark.parametrize(("columns", "says"), [(40, "gpu-001"), (80, "away 2:29"), (200, "away 2:29")])
def test_five_hundred_nodes(columns: int, says: str) -> None:
    lines = view.picture(fleet(500, 503), 200.0, columns, 24, colour=False)
    assert (len(lines), says in lines[0], lines[-2]) == (21, True, "and 481 more")
    assert "1/503 done" in lines[-1]


@pytest.mark.parametrize(
    ("columns", "name", "row"),
    [
        (40, "gpu-rack07-{:03}.example.org", "gpu-rack07-001  install         1:39"),
        (60, "gpu-rack07-{:03}.example.org", "gpu-rack07-001  install         1:39  away 2:29"),
        (60, "a.rack-{}.example.org", "a.rack-1.example.org  install         1:39  away 2:29"),
        (40, "a-very-long-name-of-a-machine-{}", "a-very-long-name…  install         1:39"),
    ],
)
def test_names_are_kept_as_long_as_there_is_room(columns: int, name: str, row: str) -> None:
    assert view.picture(fleet(3, name=name), 200.0, columns, 24, colour=False)[0] == row


def test_who_is_away_longest_comes_first() -> None:
    lines = view.picture(fleet(5), 200.0, 80, 24, colour=False)
    assert lines[:3] == [
        "gpu-001  install         1:39  away 2:29",
        "gpu-003  persistence     1:37  away 2:27",
        "gpu-000  drain           1:40",
    ]
    assert lines[-1].endswith("] 1/12 done, 1 failed, 1 left, 5 at work, about 8 min left")


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (79, "[#####...............] 1/12 done, 1 failed, 1 left, 3 at work, about 8 min left"),
        (39, "1/12 done, 1 failed, 1 left, 3 at work"),
        (20, "1/12 done, 1 failed"),
        (6, "1/12 …"),
    ],
)
def test_the_bar(cells: int, expected: str) -> None:
    assert view.fleet_bar(fleet(), 200.0, cells) == expected


def test_a_rollout_that_is_through() -> None:
    progress = Progress(total=1)
    progress.step("a", "drain", 0)
    progress.end("a", DONE, 60)
    assert view.fleet_bar(progress, 60, 79) == f"[{'#' * 40}] 1/1 done, 0 at work"


def test_without_colours_there_is_no_escape() -> None:
    assert not any("\x1b" in line for line in view.picture(fleet(), 200.0, 80, 24, colour=False))
    assert any("\x1b[33m" in line for line in view.picture(fleet(), 200.0, 80, 24, colour=True))


EVENTS = [
    ({"event": "step", "node": "a", "step": "drain"}, "[0:30] a: drain"),
    (
        {"event": "step", "node": "a", "step": "install", "after": "drain", "took": 12.0},
        "[0:30] a: install (drain took 0:12)",
    ),
    ({"event": "away", "node": "a"}, "[0:30] a: pods are without it now"),
    ({"event": "back", "node": "a"}, "[0:30] a: takes pods again"),
    ({"event": "done", "node": "a", "took": 70}, "[0:30] a: done after 1:10 (3 of 12)"),
    ({"event": "left", "node": "a", "took": 0}, "[0:30] a: left (3 of 12)"),
    ({"event": "failed", "node": "a\x1b[2J", "took": 7, "why": "no\nroom"}, "[0:30] a?[2J: failed after 0:07 (3 of 12): no?room"),
]  # fmt: skip


@pytest.mark.parametrize(("event", "expected"), EVENTS)
def test_plain_lines(event: dict[str, object], expected: str) -> None:
    assert view.line(event, fleet(), 130.0) == expected


def test_a_picture_is_drawn_over_the_former_one() -> None:
    assert view.over(0, ["x"]) == "\r\x1b[Jx\n"
    assert view.over(3, []) == "\x1b[3A\r\x1b[J"
