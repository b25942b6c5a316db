"""What goes wrong in the middle of a run, the quick part, and faults that were once taken for a success.

The long matrix is in tests/slow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.cluster import memory
from tests.lab.cluster.api import Api
from tests.lab.faults import runner, switch
from tests.lab.faults.ground import drained, ground, host_name, node
from tests.lab.faults.scenario import Scenario
from tests.lab.faults.scenarios import QUICK, VARIABLES
from tests.lab.hosts import ssh
from tests.lab.state import Lab

PODS = "/api/v1/namespaces/default/pods"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with ground("faults", len(QUICK) + 2, cluster=True) as up:
        yield up


@pytest.mark.parametrize(("at", "scenario"), enumerate(QUICK), ids=[scenario.name for scenario in QUICK])
def test_one_more_run_puts_it_right(lab: Lab, at: int, scenario: Scenario) -> None:
    runner.play(lab, host_name(at), scenario, VARIABLES)


def pod(name: str, owner: dict[str, Any]) -> dict[str, Any]:
    """One that nobody can delete while its finalizer stands."""
    reference = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": owner["metadata"]["uid"], "controller": True}
    metadata = {"name": "stays", "finalizers": ["t9k.gpu/test"], "ownerReferences": [reference]}
    spec = {"nodeName": name, "containers": [{"name": "c", "image": "c"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def test_a_pod_that_stays_stops_the_change_before_it_begins(lab: Lab) -> None:
    """A pod that outlives the drain is no reason to install under it."""
    name = host_name(len(QUICK))
    api = Api(memory.read(lab)["ports"]["kube-apiserver"], lab.pki)
    api.create(PODS, pod(name, node(lab, name)))
    ended, _ = runner.run(lab, name, {**drained(lab), "driver_drain_timeout": 15})
    api.patch(f"{PODS}/stays", {"metadata": {"finalizers": None}})
    assert ended.rc != 0, f"the run succeeded although default/stays was still there:\n{ended.output[-3000:]}"
    assert ssh.run(lab, name, "dpkg-query -W 'nvidia-driver-*' 2>/dev/null || true") == "", "nothing was installed"


def test_a_module_that_loads_neither_before_nor_after_keeps_the_node_out(lab: Lab) -> None:
    """ "As before" is no success where before was broken: no pod may meet this driver."""
    name = host_name(len(QUICK) + 1)
    older = {**VARIABLES, "driver_version": "525.105.17", "driver_reboot": "never"}
    ended, _ = runner.run(lab, name, older)
    assert ended.rc == 0, ended.output[-3000:]
    switch.on(lab, name, "module-refused", "any")
    ended, _ = runner.run(lab, name, {**drained(lab), "driver_version": "525.147.05"})
    assert ended.rc != 0, f"the upgrade passed although no module loads:\n{ended.output[-3000:]}"
    assert node(lab, name)["spec"].get("unschedulable"), f"let in without a driver:\n{ended.output[-3000:]}"
