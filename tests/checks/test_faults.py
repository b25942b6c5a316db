"""What goes wrong in the middle of a run, the quick part: one more run puts it right. The long matrix is in tests/slow."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.faults.ground import ground, host_name
from tests.lab.faults.runner import play
from tests.lab.faults.scenario import Scenario
from tests.lab.faults.scenarios import QUICK, VARIABLES
from tests.lab.state import Lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with ground("faults", len(QUICK)) as up:
        yield up


@pytest.mark.parametrize(("at", "scenario"), enumerate(QUICK), ids=[scenario.name for scenario in QUICK])
def test_one_more_run_puts_it_right(lab: Lab, at: int, scenario: Scenario) -> None:
    play(lab, host_name(at), scenario, VARIABLES)
