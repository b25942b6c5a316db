"""A lab of its own for faults: a fresh host for every scenario, and a cluster where one is wanted."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.lab.cluster import memory
from tests.lab.cluster.api import Api
from tests.lab.faults.scenarios import VARIABLES
from tests.lab.log import LabError
from tests.lab.state import Lab

VM = {"kind": "vm", "os": "debian-12", "gpus": "a100-gsp"}
CONTAINER = {"os": "ubuntu-like", "gpus": "a40-x7", "hardware": {"count": 2}}


@contextlib.contextmanager
def ground(name: str, hosts: int, cluster: bool = False, host: dict[str, Any] = CONTAINER) -> Iterator[Lab]:
    """The lab while it is up; its hosts are fault-01, fault-02, …

    Where pytest has several workers each has a lab of its own: the first that is through would take the others' away.
    """
    name = "-".join(filter(None, (name, os.environ.get("PYTEST_XDIST_WORKER"))))
    lab = Lab(name)
    parts = ["hosts", "cluster"] if cluster else ["hosts"]
    spec = {"cluster": cluster, "hosts": [{"name": host_name(at), **host} for at in range(hosts)]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "lab.yml")
        path.write_text(yaml.safe_dump(spec))
        try:
            for part in parts:
                _lab(part, "up", "--name", name, "--spec", str(path))
            yield lab
        finally:
            for part in reversed(parts):
                _lab(part, "down", "--name", name)


def host_name(at: int) -> str:
    return f"fault-{at + 1:02}"


def drained(lab: Lab) -> dict[str, Any]:
    """The playbook's variables for a host that the cluster has as a node."""
    return {**VARIABLES, "driver_drain": "always", "driver_kubeconfig": str(lab.kubeconfig)}


def node(lab: Lab, name: str) -> dict[str, Any]:
    """The host as the cluster sees it."""
    found: dict[str, Any] | None = Api(memory.read(lab)["ports"]["kube-apiserver"], lab.pki).get(
        f"/api/v1/nodes/{name}"
    )
    if found is None:
        raise LabError(f"lab {lab.name}: wanted the node {name}, found none")
    return found


def _lab(part: str, *words: str) -> None:
    subprocess.run([sys.executable, "-m", f"tests.lab.{part}", *words], check=True)
