# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Name what is waited for, and tell whether waiting gets on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, order=True)
class Waiting:
    """One thing that is not ready. ``final``: no waiting will mend it; ``missing``: how much of it is not there yet."""

    kind: str
    name: str
    wanted: str
    found: str
    final: bool = False
    missing: int = 1

    def __str__(self) -> str:
        return f"{self.kind} {self.name}: wants {self.wanted}, has {self.found}"

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Progress:
    """Knows the least that was ever missing of each thing: one that comes and goes is progress once, so waiting ends."""

    def __init__(self) -> None:
        self._least: dict[tuple[str, str], int] = {}

    def made(self, waiting: Iterable[Mapping[str, Any]]) -> bool:
        """Tell whether less is missing of anything than ever before, and remember what is missing now."""
        now: dict[tuple[str, str], int] = {}
        for each in waiting:
            key = (each["kind"], each["name"])
            now[key] = now.get(key, 0) + each["missing"]
        better = [key for key, least in self._least.items() if now.get(key, 0) < least]
        self._least.update({key: now.get(key, 0) for key in better})
        for key, missing in now.items():
            self._least.setdefault(key, missing)
        return bool(better)
