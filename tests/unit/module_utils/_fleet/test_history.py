"""A node's memory of its changes: bounded, and no damage of the file stops a change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._fleet import history

ONE = {"at": "2026-01-01T00:00:00Z", "outcome": "ok", "steps": ["install"]}
LINE = json.dumps(ONE, sort_keys=True) + "\n"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (None, 0),
        ("", 0),
        (LINE, 1),
        (LINE + LINE, 2),
        (LINE + '{"outcome": "o', 1),  # the disk was full
        ('[]\n{"outcome": 1}\n"ok"\n' + LINE, 1),
    ],
)
def test_what_is_read(text: str | None, count: int) -> None:
    assert history.entries(text) == [ONE] * count


@pytest.mark.parametrize(
    ("text", "keep", "lines"), [(None, 3, 1), (LINE * 2, 3, 3), (LINE * 9, 3, 3), ("damaged\n" + LINE, 3, 2)]
)
def test_it_is_bounded_and_the_newest_is_last(text: str | None, keep: int, lines: int) -> None:
    new = {**ONE, "outcome": "failed"}
    after = history.lengthened(text, new, keep)
    assert after.count("\n") == len(history.entries(after)) == lines
    assert history.entries(after)[-1] == new


def test_two_hundred_lines_are_kept() -> None:
    assert history.lengthened(LINE * 250, ONE).count("\n") == 200


def test_the_fact_has_the_newest_ten() -> None:
    text = "".join(history.lengthened(None, {**ONE, "away_s": number}) for number in range(15))
    assert [entry["away_s"] for entry in json.loads(history.fact(text))["history"]] == list(range(5, 15))


def test_a_node_without_a_memory(tmp_path: Path) -> None:
    assert history.read(str(tmp_path)) == []
