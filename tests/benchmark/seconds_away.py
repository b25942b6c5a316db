"""What the seconds between cordon and uncordon are made of, for an upgrade within a branch on a node that has pods.

A lab host with systemd, apt and a real restart, a node of a real API server whose pods kwok plays. The parts are read from the tasks of
the run itself: what no other part claims is the role's own.
"""

from __future__ import annotations

import statistics
import subprocess

from tests.benchmark import page, plays, pods, tasks
from tests.lab.faults.ground import drained, ground, host_name
from tests.lab.state import Lab

TITLE = "Seconds a node is away"
GOAL_S = 5.0
VERSIONS = ("525.105.17", "525.147.05")
PODS = 10
HOST = host_name(0)

#: A part and the tasks it consists of, by their names.
PARTS = {
    "pods leaving": ("Empty the node",),
    "dpkg": ("Install the driver in one transaction",),
    "initramfs": ("Rebuild the initramfs",),
    "restart": ("Reboot: ",),
    "node ready again": ("Wait until the node is back, and let pods in again",),
    "proof by computing": ("Every GPU computes",),
}
OURS = "ours"


def measure(runs: int) -> str:
    """The section's text."""
    found: list[dict[str, float]] = []
    with ground("bench-away", 1, cluster=True) as lab:
        _kubectl(lab, "apply", "--filename", "-", stdin=pods.deployment(HOST, PODS))
        _change(lab, VERSIONS[0])
        for _run in range(runs):
            found.append(parts(_change(lab, VERSIONS[1])))
            _change(lab, VERSIONS[0])
    rows = [f"| {name} | {page.spread([each[name] for each in found])} |" for name in (*PARTS, OURS)]
    whole = page.spread([sum(each.values()) for each in found])
    ours = statistics.median(each[OURS] for each in found)
    return f"""\
An upgrade from {VERSIONS[0]} to {VERSIONS[1]} on a node with {PODS} pods, from cordon to uncordon. Packages are fetched
before, while pods run. The lab's host is a container: its restart is real for systemd, and takes a second where a server takes
minutes; its packages are those of an archive in Ubuntu's shape, with modules ready built. Goal: ours, which is all that is not
listed by name, at most {GOAL_S:.0f} s; {ours:.1f} s seen.

| part | seconds |
|---|---|
{chr(10).join(rows)}
| whole | {whole} |

{runs} runs; {page.machine()}."""


def parts(ran: list[tasks.Task]) -> dict[str, float]:
    """Share out the seconds between cordon and uncordon."""
    since = next(
        task.result["since"] for task in ran if task.name.endswith("Empty the node") and "since" in task.result
    )
    until = next(task.ended for task in ran if "away_s" in task.result)
    away = [task for task in ran if task.ended > since and task.began < until]
    found = {
        part: sum(task.ended - max(task.began, since) for task in away if any(name in task.name for name in names))
        for part, names in PARTS.items()
    }
    return {**found, OURS: until - since - sum(found.values())}


def _change(lab: Lab, version: str) -> list[tasks.Task]:
    variables = {**drained(lab), "driver_version": version}
    played = plays.play("playbooks/driver.yml", lab.inventory, variables, environment=tasks.TOLD)
    return list(tasks.of_host(played.output, HOST))


def _kubectl(lab: Lab, *argv: str, stdin: str = "") -> None:
    command = [str(lab.bin / "kubectl"), "--kubeconfig", str(lab.kubeconfig), *argv]
    subprocess.run(command, check=True, input=stdin, text=True, stdout=subprocess.DEVNULL)
