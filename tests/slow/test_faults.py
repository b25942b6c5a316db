"""The long matrix of faults in the middle of a run, on hosts and with a cluster: one more run puts it right."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.cluster import memory
from tests.lab.cluster.api import Api
from tests.lab.faults import runner, switch
from tests.lab.faults.ground import ground, host_name
from tests.lab.faults.runner import play
from tests.lab.faults.scenario import Scenario
from tests.lab.faults.scenarios import CLUSTER, SLOW, VARIABLES
from tests.lab.hosts import ssh
from tests.lab.state import Lab


@pytest.fixture(scope="module")
def hosts() -> Iterator[Lab]:
    with ground("faults-slow", len(SLOW)) as up:
        yield up


@pytest.mark.parametrize(("at", "scenario"), enumerate(SLOW), ids=[scenario.name for scenario in SLOW])
def test_one_more_run_puts_it_right(hosts: Lab, at: int, scenario: Scenario) -> None:
    play(hosts, host_name(at), scenario, VARIABLES)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Lab]:
    with ground("faults-cluster", len(CLUSTER) + 2, cluster=True) as up:
        yield up


def drained(lab: Lab) -> dict[str, Any]:
    return {**VARIABLES, "driver_drain": "always", "driver_kubeconfig": str(lab.kubeconfig)}


def node(lab: Lab, name: str) -> dict[str, Any]:
    found = Api(memory.read(lab)["ports"]["kube-apiserver"], lab.pki).get(f"/api/v1/nodes/{name}")
    assert found
    return found


@pytest.mark.parametrize(("at", "scenario"), enumerate(CLUSTER), ids=[scenario.name for scenario in CLUSTER])
def test_no_pod_meets_a_driver_that_does_not_work(cluster: Lab, at: int, scenario: Scenario) -> None:
    name = host_name(at)
    play(cluster, name, scenario, drained(cluster))
    assert not node(cluster, name)["spec"].get("unschedulable"), "the node takes pods again"


def test_a_pod_with_a_finalizer_stops_the_change_before_it_begins(cluster: Lab) -> None:
    """A pod that outlives the drain is no reason to install under it."""
    name = host_name(len(CLUSTER))
    api = Api(memory.read(cluster)["ports"]["kube-apiserver"], cluster.pki)
    pods = "/api/v1/namespaces/default/pods"
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node(cluster, name)["metadata"]["uid"]}
    spec = {"nodeName": name, "containers": [{"name": "c", "image": "c"}]}
    metadata = {"name": "stays", "finalizers": ["t9k.gpu/test"], "ownerReferences": [{**owner, "controller": True}]}
    api.create(pods, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    ended, _ = runner.run(cluster, name, {**drained(cluster), "driver_drain_timeout": 15})
    api.patch(f"{pods}/stays", {"metadata": {"finalizers": None}})
    assert ended.rc != 0, f"the run succeeded although default/stays was still there:\n{ended.output[-3000:]}"
    assert ssh.run(cluster, name, "dpkg-query -W 'nvidia-driver-*' 2>/dev/null || true") == "", "nothing was installed"


def test_a_module_that_loads_neither_before_nor_after_keeps_the_node_out(cluster: Lab) -> None:
    """ "As before" is no success where before was broken: no pod may meet this driver."""
    name = host_name(len(CLUSTER) + 1)
    before = {**drained(cluster), "driver_version": "525.105.17"}
    ended, _ = runner.run(cluster, name, before)
    assert ended.rc == 0, ended.output[-3000:]
    switch.on(cluster, name, "module-refused", "any")
    subprocess.run([*ssh.command(cluster, name), "systemctl reboot"], check=False)
    ssh.wait(cluster, name)
    ended, _ = runner.run(cluster, name, {**before, "driver_version": "525.147.05"})
    switch.off(cluster, name)
    assert ended.rc != 0, f"the upgrade passed although no module loads:\n{ended.output[-3000:]}"
    assert node(cluster, name)["spec"].get("unschedulable"), "the node was let in without a driver"
