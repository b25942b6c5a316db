"""Switch faults of a host or of the cluster on and off, and say which are on."""

from __future__ import annotations

import shlex

from tests.lab.cluster import memory
from tests.lab.cluster.api import Api
from tests.lab.faults import table
from tests.lab.hosts import ssh
from tests.lab.log import LabError
from tests.lab.state import Lab

FOLDER = "/var/lib/t9k-gpu-lab/faults"
CONFIG_MAP = "lab-operator-faults"
_PATH = "/api/v1/namespaces/kube-system/configmaps"


def on(lab: Lab, where: str, name: str, value: str) -> None:
    """Switch a fault on; ``where`` is a host's name or ``cluster``."""
    if where == "cluster":
        table.find(table.CLUSTER, name, value)
        _patch(lab, {name: value})
        return
    table.find(table.HOST, name, value)
    ssh.run(lab, where, f"mkdir -p {FOLDER} && printf '%s\\n' {shlex.quote(value)} > {FOLDER}/{name}")


def off(lab: Lab, where: str, name: str | None = None) -> None:
    """Switch one fault off, or all of them."""
    if where == "cluster":
        _patch(lab, dict.fromkeys([name] if name else _cluster(lab)))
    else:
        ssh.run(lab, where, f"rm -f {FOLDER}/{shlex.quote(name) if name else '*'}")


def shown(lab: Lab, where: str) -> dict[str, str]:
    """Return the faults that are on."""
    if where == "cluster":
        return _cluster(lab)
    lines = ssh.run(lab, where, f"mkdir -p {FOLDER} && cd {FOLDER} && grep -H '' * || true").splitlines()
    return {name: value for name, _, value in (line.partition(":") for line in lines)}


def _api(lab: Lab) -> Api:
    remembered = memory.read(lab)
    if not remembered:
        raise LabError(f"lab {lab.name}: no cluster; bring it up first")
    return Api(remembered["ports"]["kube-apiserver"], lab.pki)


def _cluster(lab: Lab) -> dict[str, str]:
    found = _api(lab).get(f"{_PATH}/{CONFIG_MAP}") or {}
    return dict(found.get("data") or {})


def _patch(lab: Lab, data: dict[str, str | None]) -> None:
    api = _api(lab)
    api.create(_PATH, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CONFIG_MAP}})
    api.patch(f"{_PATH}/{CONFIG_MAP}", {"data": data})
