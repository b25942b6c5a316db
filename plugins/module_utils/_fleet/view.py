# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Draw a rollout for a terminal, or say it in plain lines. Pure.

No line is as wide as the terminal, since a broken line would spoil the count of lines that the next picture is drawn over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._fleet import schedule
from ansible_collections.t9k.gpu.plugins.module_utils._fleet.progress import DONE, FAILED, LEFT, WORKS, Node, Progress
from ansible_collections.t9k.gpu.plugins.module_utils._report.table import fit, printable, width

_COLOURS = {FAILED: "31", DONE: "32", LEFT: "33", "away": "33"}
_STEP, _CLOCK, _AWAY = 11, 7, 14
#: A name gives up no more than down to this for the time away.
_NAME = 16
#: Rows of a terminal that stay free for what scrolls above.
_SPARE = 4


def clock(seconds: float) -> str:
    """Return ``0:07``, ``12:30``, ``1:02:03``."""
    whole = max(0, int(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def coloured(text: str, kind: str, colour: bool) -> str:
    return f"\x1b[{_COLOURS[kind]}m{text}\x1b[0m" if colour and kind in _COLOURS else text


def picture(progress: Progress, now: float, columns: int, rows: int, colour: bool) -> list[str]:
    """Return the lines: one for each node in hand, those away longest first, as many as there is room for, and the bar."""
    at_work = [node for node in progress.nodes.values() if node.state == WORKS]
    at_work.sort(key=lambda node: (node.away is None, node.away or node.since, node.name))
    room = max(1, rows - _SPARE)
    shown = at_work if len(at_work) <= room else at_work[: room - 1]
    names = _names(shown)
    widest = max([4, *map(width, names)])
    lines = [_row(node, name, widest, now, columns - 1, colour) for node, name in zip(shown, names)]
    if len(shown) < len(at_work):
        lines.append(_cut(f"and {len(at_work) - len(shown)} more", columns - 1))
    return [*lines, fleet_bar(progress, now, columns - 1)]


def _names(nodes: Sequence[Node]) -> list[str]:
    """Return the names, without the domain if all have the same."""
    names = [printable(node.name) for node in nodes]
    domains = {name.partition(".")[2] for name in names}
    return [name.partition(".")[0] for name in names] if len(domains) == 1 else names


def _row(node: Node, name: str, widest: int, now: float, cells: int, colour: bool) -> str:
    """Return name, step, time in it, time away. The last goes where that leaves no room for the name."""
    fixed = 2 + _STEP + 2 + _CLOCK
    with_away = cells - fixed - _AWAY
    room = with_away if with_away >= min(widest, _NAME) else cells - fixed
    parts = [fit(name, max(4, min(widest, room))), fit(node.step, _STEP), f"{clock(now - node.since):>{_CLOCK}}"]
    text = _cut("  ".join(parts), cells)
    if node.away is None or room != with_away:
        return text.rstrip()
    away = f"  away {clock(now - node.away)}"
    return text + coloured(away, "away", colour) if width(text) + len(away) <= cells else text


def fleet_bar(progress: Progress, now: float, cells: int) -> str:
    """Return the fleet's bar with what there is to say, as far as there is room."""
    through = progress.count(DONE, FAILED, LEFT)
    total = max(progress.total, through)
    said = [f"{progress.count(DONE)}/{total} done"]
    said += [f"{progress.count(kind)} {kind}" for kind in (FAILED, LEFT) if progress.count(kind)]
    said += [f"{progress.count(WORKS)} at work"]
    left = progress.remaining_s(now)
    said += [f"about {schedule.words(left)} left"] if left is not None and through < total else []
    while len(said) > 1 and len(", ".join(said)) > cells:
        said.pop()
    text = ", ".join(said)
    room = min(40, cells - len(text) - 3)
    if room < 5:
        return _cut(text, cells)
    full = room * through // total if total else 0
    return f"[{'#' * full}{'.' * (room - full)}] {text}"


def _cut(text: str, cells: int) -> str:
    return fit(text, cells).rstrip() if width(text) > cells else text


def line(event: Mapping[str, Any], progress: Progress, now: float, colour: bool = False) -> str:
    """Say in one plain line what happened, with the time since the rollout began."""
    at = f"[{clock(now - (progress.began if progress.began is not None else now))}]"
    node, kind = printable(str(event["node"])), str(event["event"])
    if kind == "step":
        former = f" ({event['after']} took {clock(event['took'])})" if event.get("after") else ""
        return f"{at} {node}: {event['step']}{former}"
    if kind in ("away", "back"):
        return f"{at} {node}: {'pods are without it now' if kind == 'away' else 'takes pods again'}"
    through = progress.count(DONE, FAILED, LEFT)
    why = f": {printable(str(event['why']))}" if event.get("why") else ""
    took = f" after {clock(event['took'])}" if kind != LEFT else ""
    return f"{at} {coloured(f'{node}: {kind}', kind, colour)}{took} ({through} of {max(through, progress.total)}){why}"


def over(drawn: int, lines: Sequence[str]) -> str:
    """Return what draws ``lines`` over the ``drawn`` lines above the cursor."""
    return (f"\x1b[{drawn}A" if drawn else "") + "\r\x1b[J" + "".join(f"{each}\n" for each in lines)
