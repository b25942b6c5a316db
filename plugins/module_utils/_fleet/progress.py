# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Follow a rollout: which node is at which step, since when pods are without it, and what it came to. Knows no clock and no screen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Dict, Optional

WORKS, DONE, FAILED, LEFT = "works", "done", "failed", "left"
#: One thing that happened, as the log has it.
Event = Optional[Dict[str, Any]]
#: A step has a file of its own; of the other files of the role those below are steps too.
_STEP = re.compile(r"/roles/driver/tasks/steps/(\w+)\.yml(?::\d+)?$")
_OTHER = re.compile(r"/roles/driver/tasks/(\w+)\.yml(?::\d+)?$")
_OTHER_STEPS = {"prove": "prove", "compute": "prove", "rollback": "go back"}


def step_of(path: str) -> str | None:
    """Return the step that a task belongs to, by where it is written; None for tasks that belong to none."""
    found = _STEP.search(path)
    if found:
        return found.group(1)
    other = _OTHER.search(path)
    return _OTHER_STEPS.get(other.group(1)) if other else None


@dataclass
class Node:
    """A node in hand. ``away``: since when pods are without it."""

    name: str
    step: str
    since: float
    began: float
    away: float | None = None
    state: str = WORKS


@dataclass
class Progress:
    """``total``: how many nodes are to be changed."""

    total: int = 0
    began: float | None = None
    nodes: dict[str, Node] = field(default_factory=dict)

    def step(self, name: str, step: str, now: float) -> Event:
        """Note that a node is at a step; nothing happened if it was there already, or is through."""
        node = self.nodes.get(name)
        if node and (node.state != WORKS or node.step == step):
            return None
        self.began = now if self.began is None else self.began
        if node is None:
            self.nodes[name] = Node(name, step, now, now)
            return {"event": "step", "node": name, "step": step}
        event = {"event": "step", "node": name, "step": step, "after": node.step, "took": round(now - node.since, 1)}
        node.step, node.since = step, now
        return event

    def away(self, name: str, since: float | None) -> Event:
        """Note since when pods are without the node; None: they have it again."""
        node = self.nodes.get(name)
        if node is None or (node.away is None) == (since is None):
            return None
        node.away = since
        return {"event": "back" if since is None else "away", "node": name}

    def end(self, name: str, state: str, now: float, why: str = "") -> Event:
        """Note what a node came to; one that never began may be left all the same."""
        node = self.nodes.setdefault(name, Node(name, "", now, now))
        if node.state != WORKS:
            return None
        node.state = state
        told: Mapping[str, Any] = {"step": node.step, "why": why} if why else {}
        return {"event": state, "node": name, "took": round(now - node.began, 1), **told}

    def count(self, *states: str) -> int:
        return sum(node.state in states for node in self.nodes.values())

    def remaining_s(self, now: float) -> float | None:
        """Return how long it will still take, at the pace so far; None before any node is through."""
        through = self.count(DONE, FAILED)
        if self.began is None or not through:
            return None
        left = max(0, self.total - through - self.count(LEFT))
        return (now - self.began) / through * left
