"""What goes wrong in the middle of a run, the quick part, and a fault that was once taken for a success.

The long matrix is in tests/slow; the other faults once taken for a success are in molecule/drain and molecule/gpu_operator.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.faults import runner, switch
from tests.lab.faults.ground import drained, ground, host_name, node
from tests.lab.faults.scenario import Scenario
from tests.lab.faults.scenarios import QUICK, VARIABLES
from tests.lab.state import Lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with ground("faults", len(QUICK) + 1, cluster=True) as up:
        yield up


@pytest.mark.parametrize(("at", "scenario"), enumerate(QUICK), ids=[scenario.name for scenario in QUICK])
def test_one_more_run_puts_it_right(lab: Lab, at: int, scenario: Scenario) -> None:
    runner.play(lab, host_name(at), scenario, VARIABLES)


def test_a_module_that_loads_neither_before_nor_after_keeps_the_node_out(lab: Lab) -> None:
    """Being as it was before is no success where it was broken then: no pod may meet this driver."""
    name = host_name(len(QUICK))
    older = {**VARIABLES, "driver_version": "525.105.17", "driver_reboot": "never"}
    ended, _ = runner.run(lab, name, older)
    assert ended.rc == 0, ended.output[-3000:]
    switch.on(lab, name, "module-refused", "any")
    newer = {**drained(lab), "driver_version": "525.147.05", "driver_ready_timeout": 10}
    ended, _ = runner.run(lab, name, newer)
    assert ended.rc != 0, f"the upgrade passed although no module loads:\n{ended.output[-3000:]}"
    assert node(lab, name)["spec"].get("unschedulable"), f"let in without a driver:\n{ended.output[-3000:]}"
