"""Up, down and status of one lab's cluster."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.lab import spec
from tests.lab.cluster import control_plane, kubelet_stand_in, memory, nodes, processes, tools, tools_go
from tests.lab.cluster.api import Api
from tests.lab.cluster.processes import Process
from tests.lab.log import LabError, say
from tests.lab.state import Lab, locked

REPOSITORY = Path(__file__).resolve().parents[3]
OPERATOR = "operator_stand_in"
KUBELET = "kubelet_stand_in"
_FIRST = ("etcd", "kube-apiserver")


def up(lab: Lab, arguments: argparse.Namespace) -> None:
    """Bring the cluster to the wanted state; what already runs stays untouched."""
    began = time.monotonic()
    wanted = spec.read(arguments.spec)
    if wanted.cluster is None:
        raise LabError(f"{arguments.spec}: wanted 'cluster: true' or a mapping; this spec has no cluster")
    extra = nodes.extra(arguments.extra_nodes, arguments.extra_gpu_nodes, arguments.extra_gpus)
    every = (*nodes.of_hosts(wanted.hosts), *extra)
    programs = tools.provision()
    with locked(f"lab-{lab.name}-cluster"):
        state = memory.read(lab)
        state["ports"] = control_plane.choose_ports(lab.name, state.get("ports", {}))
        control_plane.prepare(lab, state["ports"])
        tools.link(programs, lab.bin)
        memory.write(lab, state)
        commands = control_plane.commands(lab, state["ports"], programs)
        _start(lab, state, {name: commands[name] for name in _FIRST})
        api = Api(state["ports"]["kube-apiserver"], lab.pki)
        _wait_api(lab, state, api)
        later = {name: argv for name, argv in commands.items() if name not in _FIRST}
        _start(lab, state, later)
        _apply_crds(api, wanted.cluster.crds)
        nodes.reconcile(api, every, tools_go.required("k8s.io/kubernetes"), state["ports"]["kwok"])
        nodes.wait_ready(api, every, lambda: _check_alive(lab, state, commands))
        stand_ins = [OPERATOR]
        if kubelet_stand_in.wanted(lab):
            kubelet_stand_in.StandIn(api, lab).round()
            stand_ins.append(KUBELET)
        for name in stand_ins:
            _start(lab, state, {name: [sys.executable, "-m", f"tests.lab.cluster.{name}", "--name", lab.name]})
    spent = time.monotonic() - began
    say(f"{lab.name}: {len(every)} nodes Ready after {spent:.1f} s; kubeconfig {lab.kubeconfig}")


def _start(lab: Lab, state: dict[str, Any], commands: dict[str, list[str]]) -> None:
    """Start what is not running, and remember it at once."""
    known = state.setdefault("processes", {})
    for name, argv in commands.items():
        if name in known and Process(**known[name]).alive:
            continue
        if name in known:
            say(f"{name} was gone, starting it again")
        started = processes.start(argv, lab.logs / f"{name}.log", control_plane.ENVIRONMENT, REPOSITORY)
        known[name] = started.to_dict()
        memory.write(lab, state)


def _wait_api(lab: Lab, state: dict[str, Any], api: Api, patience_s: float = 90) -> None:
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        _check_alive(lab, state, _FIRST)
        try:
            if api.raw("GET", "/readyz")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise LabError(f"the API server is not ready after {patience_s:.0f} s; see {lab.logs}/kube-apiserver.log")


def _check_alive(lab: Lab, state: dict[str, Any], names: Iterable[str]) -> None:
    for name in names:
        if not Process(**state["processes"][name]).alive:
            raise LabError(f"{name} ended early; the last lines of {lab.logs}/{name}.log:\n{tail(lab, name)}")


def tail(lab: Lab, name: str, lines: int = 8) -> str:
    return "\n".join((lab.logs / f"{name}.log").read_text(errors="replace").splitlines()[-lines:])


def _apply_crds(api: Api, crds: tuple[str, ...]) -> None:
    for crd in crds:
        document = yaml.safe_load(spec.CRDS[crd].read_text())
        name = document["metadata"]["name"]
        api.apply(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}", document)


def down(lab: Lab) -> None:
    """End the lab's processes, no others, and remove its state."""
    with locked(f"lab-{lab.name}-cluster"):
        known = memory.read(lab).get("processes", {})
        stopped = [name for name in reversed(known) if processes.stop(Process(**known[name]))]
        memory.remove(lab)
    say(f"{lab.name}: stopped {', '.join(stopped)}" if stopped else f"{lab.name}: no cluster was running")


def status(lab: Lab) -> bool:
    """A line a process and one for the nodes; true if all is well."""
    state = memory.read(lab)
    if not state:
        print(f"lab {lab.name}: no cluster")
        return False
    well = True
    for name, known in state.get("processes", {}).items():
        process = Process(**known)
        well = well and process.alive
        print(
            f"{name:24} {'running' if process.alive else 'gone':8} pid {process.pid:<8} {process.resident_mib:>5} MiB"
        )
    return _print_nodes(lab, state) and well


def _print_nodes(lab: Lab, state: dict[str, Any]) -> bool:
    try:
        found = Api(state["ports"]["kube-apiserver"], lab.pki).items("/api/v1/nodes")
    except OSError as error:
        print(f"API server: {error}")
        return False
    count = sum(map(nodes.ready, found))
    print(f"nodes                    {count} of {len(found)} Ready")
    return count == len(found)
