"""The long matrix of faults in the middle of a run, on hosts and with a cluster: one more run puts it right."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.faults.ground import VM, drained, ground, host_name, node
from tests.lab.faults.runner import play
from tests.lab.faults.scenario import Scenario
from tests.lab.faults.scenarios import CLUSTER, MACHINE, SLOW, VARIABLES
from tests.lab.state import Lab


@pytest.fixture(scope="module")
def hosts() -> Iterator[Lab]:
    with ground("faults-slow", len(SLOW)) as up:
        yield up


@pytest.mark.parametrize(("at", "scenario"), enumerate(SLOW), ids=[scenario.name for scenario in SLOW])
def test_one_more_run_puts_it_right(hosts: Lab, at: int, scenario: Scenario) -> None:
    play(hosts, host_name(at), scenario, VARIABLES)


@pytest.fixture(scope="module")
def machines() -> Iterator[Lab]:
    with ground("faults-vm", len(MACHINE), host=VM) as up:
        yield up


@pytest.mark.parametrize(("at", "scenario"), enumerate(MACHINE), ids=[scenario.name for scenario in MACHINE])
def test_one_more_run_puts_a_machine_right(machines: Lab, at: int, scenario: Scenario) -> None:
    play(machines, host_name(at), scenario, {})


@pytest.fixture(scope="module")
def cluster() -> Iterator[Lab]:
    with ground("faults-cluster", len(CLUSTER), cluster=True) as up:
        yield up


@pytest.mark.parametrize(("at", "scenario"), enumerate(CLUSTER), ids=[scenario.name for scenario in CLUSTER])
def test_no_pod_meets_a_driver_that_does_not_work(cluster: Lab, at: int, scenario: Scenario) -> None:
    name = host_name(at)
    play(cluster, name, scenario, drained(cluster))
    found = node(cluster, name)
    assert not found["spec"].get("unschedulable"), "the node takes pods again"
    assert "gpu.t9k.io/cordon" not in found["metadata"].get("annotations", {}), "and nothing of the drain is left"
