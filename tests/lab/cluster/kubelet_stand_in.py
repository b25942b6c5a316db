"""A stand-in for the part of the kubelet that reports its host: the Node's ids, and Ready only while the host is up.

kwok plays the kubelets of nodes that nothing stands behind; where a lab has a host of the node's name, the Node tells what
that host's kubelet would. Sources: kubernetes/kubernetes, pkg/kubelet/nodestatus/setters.go (MachineInfo: bootID and machineID as
cadvisor reads them from /proc/sys/kernel/random/boot_id and /etc/machine-id) and pkg/kubelet/cm/devicemanager/manager.go
(after a restart the resources of plugins that have not registered again count 0). A host that is down is silent, which the
node controller turns into Ready Unknown; the kubelet is back some seconds after the boot.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from tests.lab.cluster import memory, processes
from tests.lab.cluster.api import Api
from tests.lab.cluster.processes import Process
from tests.lab.hosts import lifecycle as hosts
from tests.lab.hosts import machine, podman
from tests.lab.log import LabError, say
from tests.lab.state import Lab

Object = dict[str, Any]
#: ``down`` on the Node of a host that is down, so that kwok does not make it Ready; see kwok.yml.
DOWN = "t9k.gpu/lab-host"
#: A kubelet is started by systemd and reports when it is through with its own start.
_STARTS_S = 3.0
#: A lab's hosts rarely change, and asking podman for them is dear.
_LIST_EVERY_S = 20.0


@dataclass
class StandIn:
    api: Api
    lab: Lab
    known: dict[str, Process] = field(default_factory=dict)  # host → its first process, as reported last
    booted: dict[str, tuple[Process, float]] = field(default_factory=dict)  # host → a later one, and since when
    listed: float = float("-inf")

    def round(self) -> None:
        """Look at the hosts whose process ended or is not known yet, and tell what follows."""
        alive = {name for name, process in self.known.items() if process.alive}
        if alive == set(self.known) and time.monotonic() < self.listed + _LIST_EVERY_S:
            return
        self.listed = time.monotonic()
        nodes = {node["metadata"]["name"]: node for node in self.api.items("/api/v1/nodes")}
        for name in sorted(_hosts(self.lab) - alive):
            if name in nodes:
                self._look(name, nodes[name])

    def _look(self, name: str, node: Object) -> None:
        pid = _pid(self.lab, name)
        process = processes.identify(pid) if pid else None
        ids = _ids(self.lab, name) if process else None
        if ids is None:
            if not node["metadata"]["annotations"].get(DOWN):
                say(f"{name} is down")
                self.api.patch(f"/api/v1/nodes/{name}", {"metadata": {"annotations": {DOWN: "down"}}})
                self.api.patch(f"/api/v1/nodes/{name}/status", {"status": silent(node)})
            return
        assert process is not None
        if name in self.known and not self._started(name, process):
            return
        say(f"{name} is up with boot id {ids[0]}")
        self.api.patch(f"/api/v1/nodes/{name}/status", {"status": reported(node, *ids)})
        self.api.patch(f"/api/v1/nodes/{name}", {"metadata": {"annotations": {DOWN: None}}})
        self.known[name] = process

    def _started(self, name: str, process: Process) -> bool:
        if self.booted.get(name, (None, 0.0))[0] != process:
            self.booted[name] = (process, time.monotonic())
        return time.monotonic() >= self.booted[name][1] + _STARTS_S


def silent(node: Object) -> Object:
    """The status once the node controller has not heard of the kubelet for a while."""
    return {"conditions": _conditions(node, "Unknown", "NodeStatusUnknown")}


def reported(node: Object, boot_id: str, machine_id: str) -> Object:
    """The status that the kubelet reports first after a boot."""
    info = {"bootID": boot_id, "machineID": machine_id}
    status: Object = {"conditions": _conditions(node, "True", "KubeletReady"), "nodeInfo": info}
    if node["status"].get("nodeInfo", {}).get("bootID") not in ("", None, boot_id):
        plugins = {name: "0" for name in node["status"].get("allocatable", {}) if name.startswith("nvidia.com/")}
        status.update({"allocatable": plugins, "capacity": plugins} if plugins else {})
    return status


def _conditions(node: Object, ready: str, reason: str) -> list[Object]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    others = [c for c in node["status"].get("conditions", []) if c["type"] != "Ready"]
    said = {"status": ready, "reason": reason, "message": "the lab's host"}
    return [*others, {"type": "Ready", **said, "lastHeartbeatTime": now, "lastTransitionTime": now}]


def _hosts(lab: Lab) -> set[str]:
    prefix = hosts.container_name(lab, "")
    return {name[len(prefix) :] for name in podman.names_with_label(f"{hosts.LABEL}={lab.name}")}


def _pid(lab: Lab, host: str) -> int:
    name = hosts.container_name(lab, host)
    return int(podman.inspect("container", name)["State"]["Pid"])


def _ids(lab: Lab, host: str) -> tuple[str, str] | None:
    """The host's boot id and machine id; nothing while it still has the machine's boot id, which it gives up early at boot."""
    name = hosts.container_name(lab, host)
    try:
        boot_id, machine_id = podman.text(
            "exec", name, "cat", "/proc/sys/kernel/random/boot_id", "/etc/machine-id"
        ).split()
    except (LabError, ValueError):
        return None
    with open("/proc/sys/kernel/random/boot_id") as own:
        return None if boot_id == own.read().strip() else (boot_id, machine_id)


def wanted(lab: Lab) -> bool:
    """Whether hosts stand behind the lab's nodes."""
    return not machine.missing_packages(["container"]) and bool(_hosts(lab))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True)
    lab = Lab(parser.parse_args().name)
    stand_in = StandIn(Api(memory.read(lab)["ports"]["kube-apiserver"], lab.pki), lab)
    while lab.cluster.exists():
        try:
            stand_in.round()
        except (LabError, OSError, KeyError) as error:
            say(f"kubelet stand-in: {error}")
        time.sleep(1.0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
