"""Up, down and status of one lab's cluster."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.lab.cluster import _control_plane, _nodes, _processes, _spec, _tools, _tools_go
from tests.lab.cluster._api import Api
from tests.lab.cluster._log import LabError, say
from tests.lab.cluster._processes import Process
from tests.lab.cluster._state import Lab, locked

REPOSITORY = Path(__file__).resolve().parents[3]
OPERATOR = "operator_stand_in"
_FIRST = ("etcd", "kube-apiserver")


def up(lab: Lab, arguments: argparse.Namespace) -> None:
    """Bring the cluster to the wanted state; what already runs stays untouched."""
    began = time.monotonic()
    spec = _spec.load(arguments.spec)
    wanted = (*spec.nodes, *_spec.extra_nodes(arguments.extra_nodes, arguments.extra_gpu_nodes, arguments.extra_gpus))
    tools = _tools.provision()
    with locked(f"lab-{lab.name}-cluster"):
        state = lab.read()
        state["ports"] = _control_plane.choose_ports(lab.name, state.get("ports", {}))
        _control_plane.prepare(lab, state["ports"])
        _tools.link(tools, lab.bin)
        lab.write(state)
        commands = _control_plane.commands(lab, state["ports"], tools)
        _start(lab, state, {name: commands[name] for name in _FIRST})
        api = Api(state["ports"]["kube-apiserver"], lab.pki)
        _wait_api(lab, state, api)
        later = {name: argv for name, argv in commands.items() if name not in _FIRST}
        _start(lab, state, later)
        _apply_crds(api, spec.crds)
        _nodes.reconcile(api, wanted, _tools_go.required("k8s.io/kubernetes"), state["ports"]["kwok"])
        _nodes.wait_ready(api, wanted, lambda: _check_alive(lab, state, commands))
        _start(lab, state, {OPERATOR: [sys.executable, "-m", f"tests.lab.cluster.{OPERATOR}", "--name", lab.name]})
    say(
        f"lab {lab.name}: {len(wanted)} nodes Ready after {time.monotonic() - began:.1f} s; kubeconfig {lab.kubeconfig}"
    )


def _start(lab: Lab, state: dict[str, Any], commands: dict[str, list[str]]) -> None:
    """Start what is not running, and remember it at once."""
    processes = state.setdefault("processes", {})
    for name, argv in commands.items():
        if name in processes and Process(**processes[name]).alive:
            continue
        if name in processes:
            say(f"{name} was gone, starting it again")
        started = _processes.start(argv, lab.logs / f"{name}.log", _control_plane.ENVIRONMENT, REPOSITORY)
        processes[name] = started.to_dict()
        lab.write(state)


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
        document = yaml.safe_load((_spec.HERE / "crds" / _spec.KNOWN_CRDS[crd]).read_text())
        name = document["metadata"]["name"]
        api.apply(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}", document)


def down(lab: Lab) -> None:
    """End the lab's processes, no others, and remove its state."""
    with locked(f"lab-{lab.name}-cluster"):
        processes = lab.read().get("processes", {})
        stopped = [name for name in reversed(processes) if _processes.stop(Process(**processes[name]))]
        lab.remove()
    say(f"lab {lab.name}: stopped {', '.join(stopped)}" if stopped else f"lab {lab.name}: nothing was running")


def status(lab: Lab) -> bool:
    """A line a process and one for the nodes; true if all is well."""
    state = lab.read()
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
        nodes = Api(state["ports"]["kube-apiserver"], lab.pki).items("/api/v1/nodes")
    except OSError as error:
        print(f"API server: {error}")
        return False
    count = sum(map(_nodes.ready, nodes))
    print(f"nodes                    {count} of {len(nodes)} Ready")
    return count == len(nodes)
