# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Derive ``changed`` and ``diff`` from the same two objects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


def _printable(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


@dataclass(frozen=True)
class Change:
    """One object before and after: a file's text (None: absent) or any JSON-like value."""

    name: str
    before: Any
    after: Any

    @property
    def changed(self) -> bool:
        return bool(self.before != self.after)

    @property
    def diff(self) -> dict[str, str]:
        """Return it in the form ``ansible-playbook --diff`` prints."""
        return {
            "before_header": f"{self.name} (before)",
            "after_header": f"{self.name} (after)",
            "before": _printable(self.before),
            "after": _printable(self.after),
        }
