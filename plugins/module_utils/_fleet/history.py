# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read and lengthen a node's own memory of its changes: one line of JSON each, the newest last, bounded. Pure but for ``read``.

It lives on the node, so that it is there whichever controller comes next, and after the node has left the cluster.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under

PATH = "/var/lib/t9k-gpu/history.jsonl"
#: What ``setup`` reads as ``ansible_local.t9k_gpu``.
FACT = "/etc/ansible/facts.d/t9k_gpu.fact"
KEEP = 200
#: So many of the newest are in the fact, in what the plan returns and on the report's page.
RECENT = 10
OK, BACK, FAILED = "ok", "rolled back", "failed"


def entries(text: str | None) -> list[dict[str, Any]]:
    """Return the entries, oldest first. A line that is none, as after a full disk, is left out."""
    found = []
    for line in (text or "").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and isinstance(entry.get("outcome"), str):
            found.append(entry)
    return found


def lengthened(text: str | None, entry: Mapping[str, Any], keep: int = KEEP) -> str:
    """Return the file's next text: the oldest entries go where there are more than ``keep``."""
    return "".join(f"{_line(each)}\n" for each in [*entries(text), entry][-keep:])


def fact(text: str | None) -> str:
    """Return the local fact that goes with it."""
    return json.dumps({"history": recent(entries(text))}, indent=1, sort_keys=True) + "\n"


def recent(told: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(entry) for entry in list(told)[-RECENT:]]


def read(root: str = "/") -> list[dict[str, Any]]:
    """Return the newest entries of this node."""
    return recent(entries(read_text(under(root, PATH))))


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, sort_keys=True)
