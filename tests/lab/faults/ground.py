"""A lab of its own for faults: a fresh host for every scenario, and a cluster where one is wanted."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.lab.state import Lab

HOST = {"os": "ubuntu-like", "gpus": "a40-x7", "hardware": {"count": 2}}


@contextlib.contextmanager
def ground(name: str, hosts: int, cluster: bool = False) -> Iterator[Lab]:
    """The lab while it is up; its hosts are fault-01, fault-02, …"""
    lab = Lab(name)
    parts = ["hosts", "cluster"] if cluster else ["hosts"]
    spec = {"cluster": cluster, "hosts": [{"name": host_name(at), **HOST} for at in range(hosts)]}
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


def _lab(part: str, *words: str) -> None:
    subprocess.run([sys.executable, "-m", f"tests.lab.{part}", *words], check=True)
