"""The long matrix of faults in the middle of a run, on hosts and with a cluster: one more run puts it right.

Each scenario has a fresh host, so any part can be run alone: ``./dev slow tests/slow/test_faults.py -k "disk full"``.
"""

from __future__ import annotations

import pytest

from tests.lab.faults.ground import VM, drained, ground, host_name, node
from tests.lab.faults.runner import play
from tests.lab.faults.scenario import Scenario
from tests.lab.faults.scenarios import CLUSTER, MACHINE, SLOW, VARIABLES

HOST = host_name(0)


def name_of(scenario: Scenario) -> str:
    return scenario.name


@pytest.mark.parametrize("scenario", SLOW, ids=name_of)
def test_one_more_run_puts_it_right(scenario: Scenario) -> None:
    with ground("faults-slow", 1) as hosts:
        play(hosts, HOST, scenario, VARIABLES)


@pytest.mark.parametrize("scenario", MACHINE, ids=name_of)
def test_one_more_run_puts_a_machine_right(scenario: Scenario) -> None:
    with ground("faults-vm", 1, host=VM) as machines:
        play(machines, HOST, scenario, {"driver_compute_check": False})  # emulated: minutes for each GPU


@pytest.mark.parametrize("scenario", CLUSTER, ids=name_of)
def test_no_pod_meets_a_driver_that_does_not_work(scenario: Scenario) -> None:
    with ground("faults-cluster", 1, cluster=True) as cluster:
        play(cluster, HOST, scenario, drained(cluster))
        found = node(cluster, HOST)
    assert not found["spec"].get("unschedulable"), "the node takes pods again"
    assert "gpu.t9k.io/cordon" not in found["metadata"].get("annotations", {}), "and nothing of the drain is left"
