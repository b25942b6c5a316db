"""Waiting goes on while something gets better, and ends whatever comes and goes."""

from __future__ import annotations

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._operator.waits import Progress, Waiting


def missing(**counts: int) -> list[dict[str, object]]:
    return [Waiting("DaemonSet", name, "x", "y", missing=count).to_dict() for name, count in counts.items()]


@pytest.mark.parametrize(
    ("looks", "made"),
    [
        ([{"a": 5}, {"a": 5}], [False, False]),
        ([{"a": 5}, {"a": 4}, {"a": 4}], [False, True, False]),
        ([{"a": 5}, {}], [False, True]),
        ([{"a": 5}, {"a": 5, "b": 9}, {"a": 5, "b": 8}], [False, False, True]),
        ([{"a": 1}, {}, {"a": 1}, {}], [False, True, False, False]),  # it comes and goes
    ],
)
def test_progress(looks: list[dict[str, int]], made: list[bool]) -> None:
    progress = Progress()
    assert [progress.made(missing(**look)) for look in looks] == made
