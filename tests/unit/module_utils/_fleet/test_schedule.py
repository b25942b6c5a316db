"""Whose turn it is when, and how long it takes by what the nodes remember."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._fleet import schedule

HOSTS = [("a", "a"), ("b", "node-b"), ("c", "c"), ("d", "d")]


def node(name: str, value: str | None) -> dict[str, Any]:
    return {"metadata": {"name": name, **({"labels": {"rack": value}} if value is not None else {})}}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, "abcd"),
        ({"a": "2", "node-b": "10", "c": "1", "d": "2"}, "cadb"),  # as numbers; equals as they were
        ({"a": "east", "node-b": "west", "c": "east", "d": "1"}, "dacb"),
        ({"d": "z"}, "dabc"),
        ({"b": "1"}, "abcd"),  # the label of another node than the host's
        ({"a": None, "c": ""}, "cabd"),
    ],
)
def test_turns(values: dict[str, str | None], expected: str) -> None:
    nodes = [node(name, value) for name, value in values.items()]
    assert "".join(schedule.turns(HOSTS, nodes, "rack")) == expected


GOOD = {"outcome": "ok", "steps": ["install", "reboot"], "away_s": 70}
MEMORY = [
    ([GOOD], True, [70]),
    ([GOOD], False, []),
    ([{**GOOD, "outcome": "rolled back"}, {**GOOD, "outcome": "failed"}], True, []),
    ([{"outcome": "ok", "steps": ["hold"], "seconds": 5}], False, [5]),
    ([{"outcome": "ok", "steps": None, "seconds": "five"}], False, []),
    ([{**GOOD, "away_s": number} for number in range(9)], True, [4, 5, 6, 7, 8]),
]


@pytest.mark.parametrize(("entries", "reboots", "expected"), MEMORY)
def test_how_long_it_took(entries: list[dict[str, Any]], reboots: bool, expected: list[int]) -> None:
    assert schedule.lasted(entries, reboots) == expected


@pytest.mark.parametrize(
    ("own", "fleet", "expected"),
    [
        ([60, 70, 900], [10], (70, "its own changes")),
        ([], [10, 30], (20, "other nodes' changes")),
        ([], [], (None, "nobody remembers such a change")),
    ],
)
def test_a_forecast(own: list[int], fleet: list[int], expected: tuple[int | None, str]) -> None:
    assert schedule.forecast(own, fleet) == expected


@pytest.mark.parametrize(
    ("seconds", "at_a_time", "expected"),
    [([], 2, 0), ([10, 10, 10], 1, 30), ([10, 10, 10], 2, 20), ([30, 10, 10, 10], 2, 30), ([5], 9, 5)],
)
def test_the_whole(seconds: list[int], at_a_time: int, expected: int) -> None:
    assert schedule.whole(seconds, at_a_time) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, "not known"), (0, "0 s"), (89, "89 s"), (90, "2 min"), (5340, "89 min"), (7500, "2 h 5 min")],
)
def test_words(seconds: float | None, expected: str) -> None:
    assert schedule.words(seconds) == expected
