# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell objects of ours in a cluster from those of others. Pure.

Whatever is made here carries ``MANAGED_BY``; whatever is noted on an object of somebody else carries ``PREFIX``.
0.1.0 had two prefixes, one of them no domain of ours; what it wrote is still understood.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIX = "gpu.t9k.io/"
_OLD_PREFIX = "t9k.gpu/"
MANAGED_BY = {"app.kubernetes.io/managed-by": "t9k.gpu"}
SELECTOR = "app.kubernetes.io/managed-by=t9k.gpu"


def labels(item: Mapping[str, Any]) -> dict[str, str]:
    """Return an object's labels."""
    return (item.get("metadata") or {}).get("labels") or {}


def is_ours(item: Mapping[str, Any]) -> bool:
    """Tell whether we made the object."""
    return labels(item).items() >= MANAGED_BY.items()


def note(item: Mapping[str, Any], name: str) -> str | None:
    """Return what an annotation of ours says, under today's prefix or that of 0.1.0; None if it is not there."""
    found = item["metadata"].get("annotations") or {}
    return found.get(PREFIX + name, found.get(_OLD_PREFIX + name))
