"""A rollout against its bound: as many rounds as the budget makes of the fleet, each as long as one node is away.

How long each node was away is its own memory of the change, from cordon to uncordon. What the bound does not have is all that the
rollout adds: ansible-playbook's start, reading and planning, a slot of the budget that nobody takes at once, the last round's tail.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence

from tests.benchmark import page, plays
from tests.lab.hosts import ssh
from tests.lab.state import Lab

TITLE = "A rollout against its bound"
GOAL = 1.15
ALONE = "bench-alone"
#: Nodes that wait for their room, with all that comes before it done.
WAITING = 3


def measure(hosts: int, budget: int) -> str:
    """The section's text."""
    names = [f"bench-{number:02}" for number in range(1, hosts + 1)]
    one = "os: ubuntu-like, gpus: a40-x7, hardware: {count: 1}"  # the machine's processor computes what a GPU does at once
    rows = "".join(f"  - {{name: {name}, {one}}}\n" for name in (*names, ALONE))
    with plays.hosts("bench", f"cluster: true\nhosts:\n{rows}") as lab:
        variables = {
            "driver_headers": "ignore",
            "driver_branch": "525",
            "driver_drain": "always",
            "driver_kubeconfig": str(lab.kubeconfig),
            "driver_max_unavailable": str(budget),
        }
        plays.play("playbooks/driver.yml", lab.inventory, variables, limit=ALONE)
        forks = {"ANSIBLE_FORKS": str(budget + WAITING)}
        whole = plays.play("playbooks/driver.yml", lab.inventory, variables, environment=forks).seconds
        away, alone = [_away_s(lab, name) for name in names], _away_s(lab, ALONE)
    limit = bound(away, budget)
    return f"""\
`playbooks/driver.yml` installs the driver on nodes of a cluster, each with its drain, reboot, proof and uncordon, under one budget
(`driver_max_unavailable`) and with {WAITING} forks more than that. The bound: ⌈nodes ÷ budget⌉ times the median time that a node was away,
by the nodes' own memory of this rollout. The whole run has the start of ansible-playbook, reading, planning and the fleet's table
in it. Goal: at most {GOAL} times the bound. All hosts and the controller share the machine, so a node alone is faster.

| nodes | budget | whole run | a node away, median | bound | whole run ÷ bound | a node alone |
|---|---|---|---|---|---|---|
| {hosts} | {budget} | {whole:.0f} s | {page.spread(away)} | {limit:.0f} s | {whole / limit:.2f} | {alone:.0f} s |

One run; {page.machine()}."""


def bound(away: Sequence[float], budget: int) -> float:
    """Return the least time that nodes which are away so long need, so many at a time."""
    return math.ceil(len(away) / budget) * statistics.median(away)


def _away_s(lab: Lab, name: str) -> float:
    return float(json.loads(ssh.run(lab, name, "tail -n 1 /var/lib/t9k-gpu/history.jsonl"))["away_s"])
