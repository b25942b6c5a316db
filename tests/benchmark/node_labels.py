"""Labels on many nodes: t9k.gpu.k8s_node_labels, a loop of kubernetes.core.k8s, and kubectl, in one run.

A lab cluster of its own (a real API server; kwok plays the kubelets). What is too slow to be measured on all nodes is measured on a sample
and scaled; the table says which. Every run's effect is checked, so that a fast failure is not taken for a fast success.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmark import page
from tests.lab.state import Lab

TITLE = "Labels on 1,000 nodes"
NODES = 1000
RUNS = 3  # of our module; the others run once
LOOP_NODES = 25  # the sample for kubernetes.core.k8s
KUBECTL_NODES = 50  # the sample for kubectl
LABEL = "bench.t9k.io/config"
LAB = [sys.executable, "-m", "tests.lab.cluster"]

OURS = """
- hosts: localhost
  gather_facts: false
  tasks:
    - t9k.gpu.k8s_node_labels:
        nodes: "{{ wanted }}"
        owned_keys: [bench.t9k.io/config]
      register: done
    - ansible.builtin.debug:
        msg: "BENCH changed={{ done.changed_nodes | length }} requests={{ done.requests }}"
"""
LOOP = """
- hosts: localhost
  gather_facts: false
  tasks:
    - kubernetes.core.k8s:
        definition:
          apiVersion: v1
          kind: Node
          metadata: {name: "{{ item.key }}", labels: "{{ item.value }}"}
      loop: "{{ wanted | dict2items }}"
      loop_control: {label: "{{ item.key }}"}
      register: done
    - ansible.builtin.debug:
        msg: "BENCH changed={{ done.results | selectattr('changed') | list | length }} requests=0"
"""


@dataclass(frozen=True)
class Timing:
    seconds: float
    changed: int = 0
    requests: int = 0


class Bench:
    def __init__(self, kubectl: str, nodes: list[str], folder: Path) -> None:
        self.kubectl, self.nodes, self.folder = kubectl, nodes, folder

    def play(self, text: str, wanted: dict[str, Any]) -> Timing:
        """One run of ansible-playbook, its start included."""
        book, variables = self.folder / "play.yml", self.folder / "wanted.json"
        book.write_text(text)
        variables.write_text(json.dumps({"wanted": wanted}))
        argv = ["ansible-playbook", "-i", "localhost,", "-c", "local", str(book), "-e", f"@{variables}"]
        argv += ["-e", f"ansible_python_interpreter={sys.executable}"]
        began = time.monotonic()
        done = subprocess.run(argv, capture_output=True, text=True)
        seconds = time.monotonic() - began
        said = re.search(r"BENCH changed=(\d+) requests=(\d+)", done.stdout)
        if done.returncode or not said:
            raise SystemExit(f"the play failed:\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}")
        return Timing(seconds, int(said[1]), int(said[2]))

    def kubectl_each(self, nodes: list[str], value: str) -> float:
        began = time.monotonic()
        for node in nodes:
            self._kubectl("label", "node", node, f"{LABEL}={value}", "--overwrite")
        return time.monotonic() - began

    def kubectl_at_once(self, nodes: list[str], value: str) -> float:
        began = time.monotonic()
        self._kubectl("label", "node", *nodes, f"{LABEL}={value}", "--overwrite")
        return time.monotonic() - began

    def clear(self) -> None:
        self.play(OURS, {node: {} for node in self.nodes})

    def expect(self, value: str, nodes: list[str]) -> None:
        """Every one of ``nodes`` has the value now."""
        listed = self._kubectl("get", "nodes", "-l", f"{LABEL}={value}", "-o", "name").split()
        missing = set(nodes) - {name.partition("/")[2] for name in listed}
        if missing:
            raise SystemExit(f"{len(missing)} nodes have not {LABEL}={value}, e.g. {sorted(missing)[0]}")

    def _kubectl(self, *argv: str) -> str:
        return subprocess.run([self.kubectl, *argv], check=True, capture_output=True, text=True).stdout


def labels(nodes: list[str], value: str, changed: int = 0) -> dict[str, Any]:
    """``value`` on every node but the first ``changed``, which get another."""
    return {node: {LABEL: "other" if number < changed else value} for number, node in enumerate(nodes)}


def measure_ours(bench: Bench, runs: int) -> dict[str, tuple[float, int]]:
    """Case → median seconds and requests."""
    few = max(1, len(bench.nodes) // 100)
    cases = {
        "set": (labels(bench.nodes, "common"), len(bench.nodes)),
        "1 %": (labels(bench.nodes, "common", few), few),
        "unchanged": (labels(bench.nodes, "common", few), 0),
    }
    found: dict[str, list[Timing]] = {case: [] for case in cases}
    for _run in range(runs):
        bench.clear()
        for case, (wanted, expected) in cases.items():
            timing = bench.play(OURS, wanted)
            if timing.changed != expected:
                raise SystemExit(f"{case}: {timing.changed} nodes changed instead of {expected}")
            found[case].append(timing)
    bench.expect("common", bench.nodes[few:])
    return {
        case: (statistics.median(t.seconds for t in timings), timings[0].requests) for case, timings in found.items()
    }


def measure_loop(bench: Bench, sample: int) -> tuple[float, float, float]:
    """Seconds of: the play without a node, the sample set, the sample unchanged."""
    bench.clear()
    nodes = bench.nodes[:sample]
    empty = bench.play(LOOP, {})
    first, again = (bench.play(LOOP, labels(nodes, "common")) for _run in range(2))
    if (first.changed, again.changed) != (sample, 0):
        raise SystemExit(f"the loop changed {first.changed}, then {again.changed} nodes")
    bench.expect("common", nodes)
    return empty.seconds, first.seconds, again.seconds


def measure_kubectl(bench: Bench, label: Callable[[list[str], str], float], sample: int) -> tuple[float, float]:
    """Seconds of: the sample set, the sample unchanged."""
    bench.clear()
    nodes = bench.nodes[:sample]
    first, again = label(nodes, "common"), label(nodes, "common")
    bench.expect("common", nodes)
    return first, again


def row(name: str, seconds: tuple[float, ...], note: str) -> str:
    return f"| {name} | {' | '.join(f'{second:.1f} s' for second in seconds)} | {note} |"


def scaled(fixed: float, first: float, again: float, factor: float) -> tuple[float, float, float]:
    """Set, 1 % and unchanged on all nodes, from a sample; ``fixed`` is paid once."""
    set_s, same_s = (first - fixed) * factor, (again - fixed) * factor
    return fixed + set_s, fixed + 0.01 * set_s + 0.99 * same_s, fixed + same_s


def measure() -> str:
    """The section's text."""
    lab = Lab("bench-labels")
    try:
        subprocess.run(
            [*LAB, "up", "--name", lab.name, "--extra-nodes", str(NODES)], check=True, stdout=subprocess.DEVNULL
        )
        os.environ.update(KUBECONFIG=str(lab.kubeconfig), K8S_AUTH_KUBECONFIG=str(lab.kubeconfig))
        nodes = [f"extra-{number:04}" for number in range(1, NODES + 1)]
        with tempfile.TemporaryDirectory() as folder:
            return _section(Bench(str(lab.bin / "kubectl"), nodes, Path(folder)))
    finally:
        subprocess.run([*LAB, "down", "--name", lab.name], check=True, stdout=subprocess.DEVNULL)


def _section(bench: Bench) -> str:
    ours = measure_ours(bench, RUNS)
    at_once = measure_kubectl(bench, bench.kubectl_at_once, KUBECTL_NODES)
    each = measure_kubectl(bench, bench.kubectl_each, KUBECTL_NODES)
    empty, first, again = measure_loop(bench, LOOP_NODES)
    cases = ("set", "1 %", "unchanged")
    requests = ", ".join(str(ours[case][1]) for case in cases)
    rows = [
        row(
            "`t9k.gpu.k8s_node_labels`",
            tuple(ours[case][0] for case in cases),
            f"all, median of {RUNS}; requests: {requests}",
        )
    ]
    for name, seconds in (("all names in one command", at_once), ("one command a node", each)):
        note = f"{KUBECTL_NODES} nodes ({seconds[0]:.1f} s, {seconds[1]:.1f} s), scaled"
        rows.append(row(f"`kubectl label`, {name}", scaled(0, *seconds, NODES / KUBECTL_NODES), note))
    note = f"{LOOP_NODES} nodes ({first:.1f} s, {again:.1f} s), scaled"
    rows.append(row("loop of `kubernetes.core.k8s`", scaled(empty, first, again, NODES / LOOP_NODES), note))
    return f"""One label on each of {NODES} nodes of a lab cluster (a real API server, kwok as the kubelets), all ways in one run, each
effect checked afterwards. Goal: at most 5 s to set them.

| way | set on all | changed on 1 % | unchanged | how it was measured |
|---|---|---|---|---|
{chr(10).join(rows)}

{page.machine()}. The plays include the start of ansible-playbook; with nothing to do it takes
{empty:.1f} s here. Only the first row was measured on all nodes; the others are samples, scaled in proportion (the loop without its start,
which is paid once). For them 1 % is 1 % of the time to set and 99 % of the time to find unchanged; it was not run. Requests are the
module's own count, repeated ones included."""
