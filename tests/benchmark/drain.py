"""A drain of a node with a hundred pods: ``t9k.gpu.k8s_node_drain`` beside ``kubectl drain``, in turn, on one real API server.

kwok plays the kubelet, so what is measured is the tools' own work and waiting: each is done when the pods are gone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmark import page, pods
from tests.lab.state import Lab

TITLE = "A drain of 100 pods"
PODS = 100
NODE = "extra-0001"
LAB = [sys.executable, "-m", "tests.lab.cluster"]
OURS = f"""
- hosts: localhost
  gather_facts: false
  tasks:
    - t9k.gpu.k8s_node_drain:
        name: {NODE}
        mode: all
        reason: measured
        timeout: 120
"""


class Bench:
    """The node with its pods."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.kubectl = [str(lab.bin / "kubectl")]
        self.play = folder / "drain.yml"
        self.play.write_text(OURS)

    def ask(self, *argv: str, stdin: str = "") -> str:
        done = subprocess.run([*self.kubectl, *argv], check=True, input=stdin, capture_output=True, text=True)
        return done.stdout

    def running(self) -> int:
        """How many of its pods run on the node."""
        fields = f"spec.nodeName={NODE},status.phase=Running"
        return len(self.ask("get", "pods", "--field-selector", fields, "--output", "name").split())

    def fill(self) -> None:
        self.ask("uncordon", NODE)
        self.ask("apply", "--filename", "-", stdin=pods.deployment(NODE, PODS))
        while self.running() < PODS:
            time.sleep(0.5)

    def seconds(self, *command: str) -> float:
        """From a full node to an empty one."""
        self.fill()
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        took = time.monotonic() - began
        if done.returncode or self.running():
            sys.exit(
                f"{' '.join(command)} exited {done.returncode}, {self.running()} pods left\n{done.stdout}{done.stderr}"
            )
        return took


def measure(pairs: int) -> str:
    """The section's text."""
    lab = Lab("bench-drain")
    up = [*LAB, "up", "--name", lab.name, "--extra-nodes", "1"]
    try:
        subprocess.run(up, check=True, stdout=subprocess.DEVNULL)
        os.environ.update(KUBECONFIG=str(lab.kubeconfig), K8S_AUTH_KUBECONFIG=str(lab.kubeconfig))
        with tempfile.TemporaryDirectory() as folder:
            return _section(Bench(lab, Path(folder)), pairs)
    finally:
        subprocess.run([*LAB, "down", "--name", lab.name], check=True, stdout=subprocess.DEVNULL)


def _section(bench: Bench, pairs: int) -> str:
    ours = ["ansible-playbook", "-i", "localhost,", "-c", "local", str(bench.play)]
    ours += ["-e", f"ansible_python_interpreter={sys.executable}"]
    nothing = _start_of_ansible(bench)
    times: dict[str, list[float]] = {"ours": [], "kubectl": []}
    for _pair in range(pairs):
        times["kubectl"].append(bench.seconds(*bench.kubectl, "drain", NODE, "--ignore-daemonsets", "--timeout=120s"))
        times["ours"].append(bench.seconds(*ours))
    return f"""\
{PODS} pods of a Deployment on one node, from a full node to an empty one, each tool in turn.

| tool | seconds |
|---|---|
| `kubectl drain` | {page.spread(times["kubectl"])} |
| `t9k.gpu.k8s_node_drain`, the start of ansible-playbook included ({nothing:.1f} s) | {page.spread(times["ours"])} |

{pairs} pairs; {page.machine()}."""


def _start_of_ansible(bench: Bench) -> float:
    """Seconds of a play with one task that does nothing."""
    book = bench.play.with_name("nothing.yml")
    book.write_text("- hosts: localhost\n  gather_facts: false\n  tasks:\n    - ansible.builtin.ping:\n")
    argv = ["ansible-playbook", "-i", "localhost,", "-c", "local", str(book)]
    began = time.monotonic()
    subprocess.run([*argv, "-e", f"ansible_python_interpreter={sys.executable}"], check=True, capture_output=True)
    return time.monotonic() - began
