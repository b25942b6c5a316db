"""What a scenario is: a point of a run, what strikes there, and when the point has come. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.lab.faults.strike import Strike


@dataclass(frozen=True)
class Point:
    """Name a moment of a run: before, in or after a step of the role; ``random`` is one of the first seconds."""

    when: str  # before, in, after, random
    step: str = ""
    delay_s: float = 0  # in: so long after the step's task named ``task``, or its first, has begun
    task: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.when, self.step)))


@dataclass
class Watch:
    """Tell when the point has come, from the steps that a run says it is in."""

    point: Point
    before: str = ""
    come: bool = False

    def sees(self, step: str, task: str) -> bool:
        """True once, at the point."""
        last, self.before = self.before, step
        if self.come:
            return False
        here = step == self.point.step and (not self.point.task or self.point.task in task)
        gone = last == self.point.step and step != last
        self.come = gone if self.point.when == "after" else here and self.point.when in ("before", "in")
        return self.come


@dataclass(frozen=True)
class Scenario:
    """A point, a strike, and what must hold."""

    name: str
    point: Point
    strike: Strike
    survives: bool | None = False  # whether the run that is struck succeeds all the same; None: that is chance
    says: str = ""  # a part of what the struck run has to say
    variables: dict[str, Any] = field(default_factory=dict)
    seed: int = 0  # of the random moment
