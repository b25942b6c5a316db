"""Before and after every step of the role: the controller killed, the power cut. One more run puts it right, and lets pods in.

The four cells of a step run at once, each on a fresh host. One step alone: ``./dev slow tests/slow/test_fault_matrix.py -k hold``.
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.lab.faults import ground, matrix, runner
from tests.lab.faults.scenario import Scenario
from tests.lab.faults.scenarios import VARIABLES
from tests.lab.hosts import ssh
from tests.lab.state import Lab

#: The cells of a step share a cluster, and none waits for another.
APART = {"driver_max_unavailable": "100%", "driver_max_failures": 0}


@pytest.mark.parametrize("step", matrix.STEPS)
def test_one_more_run_puts_it_right_and_lets_pods_in(step: str) -> None:
    way, cells = matrix.way(step), matrix.cells(step)
    hosts = [ground.host_name(at) for at in range(len(cells))]
    up = ground.ground("faults-matrix", len(cells), cluster=True, host=dict(way.host))
    with up as lab, ThreadPoolExecutor(len(cells)) as pool:
        failed = list(pool.map(functools.partial(cell, lab, way), hosts, cells))
    assert not any(failed), "\n\n".join(filter(None, failed))


def cell(lab: Lab, way: matrix.Way, host: str, scenario: Scenario) -> str:
    """Return what did not hold, or nothing."""
    variables: dict[str, Any] = {**ground.drained(lab), **APART}
    try:
        if way.installed:
            there, _ = runner.run(lab, host, VARIABLES)
            assert there.rc == 0, there.output[-3000:]
        if way.script:
            ssh.run(lab, host, way.script)
        runner.play(lab, host, scenario, variables, way.holds)
        found = ground.node(lab, host)
        assert not found["spec"].get("unschedulable"), "the node takes no pods"
        assert not [key for key in found["metadata"].get("annotations", {}) if key.startswith("gpu.t9k.io/")], found
    except Exception as error:  # of this cell alone; the others go on
        return f"{scenario.name}: {type(error).__name__}: {error}"
    return ""
