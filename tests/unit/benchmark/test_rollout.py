"""The bound that a rollout is measured against."""

from __future__ import annotations

import pytest

from tests.benchmark.rollout import bound


@pytest.mark.parametrize(
    ("away", "budget", "least"),
    [
        ([20.0], 3, 20),
        ([20.0] * 30, 3, 200),
        ([20.0] * 31, 3, 220),  # a round more, for one node
        ([10.0, 20.0, 90.0], 1, 60),  # one that is slow does not make the bound
    ],
)
def test_as_many_rounds_as_the_budget_needs(away: list[float], budget: int, least: float) -> None:
    assert bound(away, budget) == least
