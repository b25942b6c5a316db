"""Count what a playbook's run costs, instead of timing it: a count is the same on a busy machine, so it can be held by a test."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.cluster import audit
from tests.lab.state import Lab

COUNTING_SSH = Path(__file__).with_name("counting_ssh")
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+).*?skipped=(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Counts:
    """One run: per host of the inventory, and of the whole run."""

    ssh_calls: Counter[str] = field(default_factory=Counter)
    executions: Counter[str] = field(
        default_factory=Counter
    )  # modules run on the host, a setup of a connection not counted
    sent_bytes: Counter[str] = field(default_factory=Counter)
    task_results: Counter[str] = field(
        default_factory=Counter
    )  # ok and skipped ones: what Ansible handles and a callback is told
    changed: Counter[str] = field(default_factory=Counter)
    api_requests: int = 0


def run(argv: Sequence[str], lab: Lab, environment: Mapping[str, str]) -> tuple[Counts, str]:
    """Run ``ansible-playbook`` with counting ssh and the audit log of the lab's API server at hand; give counts and output.

    Raises AssertionError with the output where the run fails.
    """
    place = audit.mark(lab) if lab.audit_log.exists() else None
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "ssh.log"
        log.touch()
        settings = {
            "ANSIBLE_SSH_EXECUTABLE": str(COUNTING_SSH),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_FORCE_COLOR": "false",  # the recap is read
            "COUNTING_SSH_LOG": str(log),
        }
        done = subprocess.run(
            argv, env={**os.environ, **environment, **settings}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(argv)} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
        calls = [json.loads(line) for line in log.read_text().splitlines()]
    requests = 0 if place is None else sum(audit.since(lab, place).values())
    return tally(calls, done.stdout, _names(lab), requests), done.stdout


def tally(calls: Sequence[Mapping[str, object]], output: str, names: Mapping[str, str], api_requests: int) -> Counts:
    """The counts of the calls (by address; ``names`` has the inventory's names) and of the recap in the output."""
    counts = Counts(api_requests=api_requests)
    for call in calls:
        host = names.get(str(call["host"]), str(call["host"]))
        counts.ssh_calls[host] += 1
        counts.executions[host] += bool(call["bytes"])
        counts.sent_bytes[host] += int(str(call["bytes"]))
    for host, ok, changed, skipped in RECAP.findall(output):
        counts.task_results[host] += int(ok) + int(skipped)
        counts.changed[host] += int(changed)
    return counts


def _names(lab: Lab) -> dict[str, str]:
    """Address → name, from the inventory that the lab wrote."""
    listed = subprocess.run(
        ["ansible-inventory", "-i", str(lab.inventory), "--list"], capture_output=True, text=True, check=True
    )
    hostvars = json.loads(listed.stdout)["_meta"]["hostvars"]
    return {str(variables.get("ansible_host", name)): name for name, variables in hostvars.items()}
