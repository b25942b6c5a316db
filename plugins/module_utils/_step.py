# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Name one thing that a plan wants done: the word that the plans of a node and of a cluster share. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Tuple


@dataclass(frozen=True)
class Step:
    """One thing to do; the task file ``tasks/steps/NAME.yml`` of the role does it.

    ``reason``    why, in a person's words
    ``disturbs``  what running work loses by it, as a sentence; empty where nobody notices
    ``data``      what the task file needs
    """

    name: str
    reason: str
    disturbs: str = ""
    data: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the step as a module returns it."""
        return asdict(self)


#: What a plan gives back: what is to be done, in order. Nothing to do is the empty tuple.
Steps = Tuple[Step, ...]
