"""What each task of a run took on one host, from the events that the run itself tells (``ansible.posix.jsonl``)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

#: What ``plays.play`` is given so that its output can be read here.
TOLD = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.jsonl"}


@dataclass(frozen=True)
class Task:
    """A task that ran on the host; ``began`` and ``ended`` in seconds since the epoch."""

    name: str
    began: float
    ended: float
    result: Mapping[str, Any]

    @property
    def seconds(self) -> float:
        return self.ended - self.began


def of_host(output: str, host: str) -> Iterator[Task]:
    """The tasks that ended well on this host, in their order."""
    for line in output.splitlines():
        event = json.loads(line) if line.startswith("{") else {}
        if event.get("_event") == "v2_runner_on_ok" and host in event["hosts"]:
            task = event["task"]
            took = task["duration"]
            yield Task(task["name"], _seconds(took["start"]), _seconds(took["end"]), event["hosts"][host])


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at.rstrip("Z")).replace(tzinfo=timezone.utc).timestamp()
