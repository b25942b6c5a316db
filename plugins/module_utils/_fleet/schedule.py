# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say which node's turn it is when, and how long it all takes by what the nodes remember. Pure."""

from __future__ import annotations

import heapq
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Tuple

from ansible_collections.t9k.gpu.plugins.module_utils._fleet import history

#: Of a node's memory so many of the newest changes count: what took long a year ago tells little.
_NEWEST = 5
_Key = Tuple[int, int, str]


def turns(hosts: Iterable[tuple[str, str]], nodes: Iterable[Mapping[str, Any]], label: str) -> list[str]:
    """Order hosts (with their names as nodes) by the value of a label of their Nodes; among equals nothing moves.

    Numbers come first, as numbers; nodes without the label come last.
    """
    values = {node["metadata"]["name"]: (node["metadata"].get("labels") or {}).get(label) for node in nodes}
    return [host for host, _node in sorted(hosts, key=lambda pair: _key(values.get(pair[1])))]


def _key(value: str | None) -> _Key:
    if value is None:
        return 2, 0, ""
    return (0, int(value), "") if value.isdigit() else (1, 0, value)


def _steps_of(entry: Mapping[str, Any]) -> list[Any]:
    return [*(entry.get("steps") or ())]


def lasted(entries: Iterable[Mapping[str, Any]], reboots: bool) -> list[int]:
    """Return how many seconds changes of this kind took, where they came to a good end: away, or without a drain at work."""
    good = [e for e in entries if e.get("outcome") == history.OK and ("reboot" in _steps_of(e)) is reboots]
    seconds = [entry.get("away_s", entry.get("seconds")) for entry in good]
    return [each for each in seconds if isinstance(each, int)][-_NEWEST:]


def forecast(own: Sequence[int], fleet: Sequence[int]) -> tuple[int | None, str]:
    """Return the seconds to reckon with, and whose memory says so."""
    told = own or fleet
    if not told:
        return None, "nobody remembers such a change"
    return round(statistics.median(told)), "its own changes" if own else "other nodes' changes"


def whole(seconds: Sequence[int], at_a_time: int) -> int:
    """Return how long the nodes take, if each begins as soon as one of ``at_a_time`` places is free."""
    places = [0] * max(1, at_a_time)
    for each in seconds:
        heapq.heappush(places, heapq.heappop(places) + each)
    return max(places)


def words(seconds: float | None) -> str:
    """Put a length of time into words: ``45 s``, ``3 min``, ``2 h 5 min``."""
    if seconds is None:
        return "not known"
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
