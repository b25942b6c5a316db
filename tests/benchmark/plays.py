"""Run playbooks against the lab's hosts and time them from outside, as a user waits for them."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.lab.state import Lab

FLOOR = """
- hosts: kube_node
  gather_facts: false
  tasks:
    - name: The least facts
      ansible.builtin.setup:
        gather_subset: ["!all", min]
    - name: Ping
      ansible.builtin.ping:
"""


@dataclass(frozen=True)
class Played:
    seconds: float
    output: str


def play(
    playbook: str | Path,
    inventory: Path,
    variables: Mapping[str, Any],
    *,
    limit: str = "all",
    environment: Mapping[str, str] | None = None,
) -> Played:
    """Run ``ansible-playbook`` with pipelining; exit with its output where it fails, since no figure follows from that."""
    command = [
        "ansible-playbook",
        str(playbook),
        "-i",
        str(inventory),
        "-e",
        json.dumps(variables),
        "--limit",
        f"{limit},localhost",
    ]
    settings = {"ANSIBLE_PIPELINING": "1", "ANSIBLE_FORKS": "20", **(environment or {})}
    started = time.monotonic()
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode:
        sys.exit(f"{' '.join(command)} exited {done.returncode}\n{done.stdout[-6000:]}\n{done.stderr[-2000:]}")
    return Played(seconds, done.stdout)


def peak_memory_mib() -> float:
    """The greatest resident memory of one process among all that this one has started and waited for, in MiB."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


@contextlib.contextmanager
def hosts(name: str, spec: str) -> Iterator[Lab]:
    """A lab of these hosts, and of a cluster where the spec has one, taken down at the end."""
    parts = ("hosts", "cluster") if yaml.safe_load(spec)["cluster"] else ("hosts",)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lab.yml"
        file.write_text(spec)
        try:
            for part in parts:
                _lab(part, "up", "--name", name, "--spec", str(file))
            yield Lab(name)
        finally:
            for part in reversed(parts):
                _lab(part, "down", "--name", name)


def _lab(part: str, *words: str) -> None:
    subprocess.run([sys.executable, "-m", f"tests.lab.{part}", *words], check=True, stdout=subprocess.DEVNULL)
