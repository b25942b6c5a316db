# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Draw a square matrix as a small inline SVG: shades and the values themselves.

Colours are classes (``h0`` weakest to ``h6`` strongest, ``hd`` the diagonal, ``bad`` a finding), so that the page's
style sheet decides them for light, dark and print. A row is one text and a run of equal shades one shape (in units of
cells): a fleet of hundreds of nodes stays a small page.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Union

Cell = Union[float, str, None]

SHADES = 7
#: Pixels: a character, a row; characters: a cell, the column of row numbers.
_CHARACTER, _ROW, _CELL, _LABEL = 7, 20, 6, 4
#: More GPUs than this are too small to read when they are made to fit a phone; they scroll instead.
_FITS = 9
#: The words of ``nvidia-smi topo -m`` from near to far.
_LINKS = {"PIX": 4, "PXB": 3, "PHB": 2, "NODE": 1, "SYS": 0, "SOC": 0}


def heatmap(title: str, matrix: Sequence[Sequence[Cell]], unit: str = "", bad: Iterable[tuple[int, int]] = ()) -> str:
    """Return the SVG for a matrix of numbers or of link words; ``bad`` are (row, column) to mark."""
    count = len(matrix)
    width, height = (_LABEL + _CELL * count) * _CHARACTER, _ROW * (count + 1)
    label = escape(f"{title}: {_summary(matrix, unit)}", quote=True)
    kind = "hm" + (" us" if unit == "us" else "") + (" big" if count > _FITS else "")
    return "".join(
        [
            f'<svg class="{kind}" viewBox="0 0 {width} {height}" width="{width}" role="img" ',
            f'aria-label="{label}">',
            f'<g transform="translate({_LABEL * _CHARACTER} {_ROW}) scale({_CELL * _CHARACTER} {_ROW})">',
            *_shapes(matrix),
            *_marks(bad, count),
            "</g>",
            *_texts(matrix),
            "</svg>",
        ]
    )


def _summary(matrix: Sequence[Sequence[Cell]], unit: str) -> str:
    """Sum the matrix up for who cannot see the shades."""
    count = len(matrix)
    numbers = {(i, j): v for i, j, v in _cells(matrix) if i != j and isinstance(v, (int, float))}
    if numbers:
        low, high = min(numbers, key=lambda at: numbers[at]), max(numbers, key=lambda at: numbers[at])
        return (
            f"{count} GPUs, median {shown(statistics.median(numbers.values()))} {unit}, "
            f"lowest {shown(numbers[low])} (GPU {low[0]} to {low[1]}), highest {shown(numbers[high])} "
            f"(GPU {high[0]} to {high[1]})"
        )
    words = sorted({v for i, j, v in _cells(matrix) if i != j and isinstance(v, str)})
    return f"{count} GPUs" + (f", links {', '.join(words)}" if words else "")


def _cells(matrix: Sequence[Sequence[Cell]]) -> Iterator[tuple[int, int, Cell]]:
    for i, row in enumerate(matrix):
        for j, value in enumerate(row[: len(matrix)]):
            yield i, j, value


def shown(value: Cell) -> str:
    """Return at most five characters: three or four significant digits of a number."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return value[:5]
    if value >= 99999.5:
        return f"{value:.0e}".replace("e+", "e")
    return f"{value:.0f}" if value >= 999.95 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def shade(value: Cell, top: float) -> int | None:
    """Return 0 (weak) to 6 (strong) against ``top``, the strongest value of the matrix; None: nothing was measured."""
    if isinstance(value, str):
        return SHADES - 1 if value.startswith("NV") else _LINKS.get(value)
    if value is None or top <= 0:
        return None
    return int(max(0, min(SHADES - 1, SHADES * (value / top))))  # a quotient first: the product may be infinite


def _shapes(matrix: Sequence[Sequence[Cell]]) -> Iterator[str]:
    numbers = [v for i, j, v in _cells(matrix) if i != j and isinstance(v, (int, float))]
    top = max(numbers, default=0.0)
    runs: dict[str, list[list[int]]] = {}
    for i, j, value in _cells(matrix):
        step = shade(value, top)
        name = "hd" if i == j else "" if step is None else f"h{step}"
        last = runs.get(name, [[-1, -1, -1]])[-1]
        if name and last[0] == i and last[2] == j:
            last[2] = j + 1
        elif name:
            runs.setdefault(name, []).append([i, j, j + 1])
    for name, found in sorted(runs.items()):
        moves = (f"M{j} {i}h{end - j}v1H{j}z" for i, j, end in found)
        yield f'<path class="{name}" d="{"".join(moves)}"/>'


def _marks(bad: Iterable[tuple[int, int]], count: int) -> Iterator[str]:
    """Frame each cell with a finding, so that it does not depend on seeing colours."""
    inside = sorted({(i, j) for i, j in bad if 0 <= i < count and 0 <= j < count})
    if inside:
        moves = (f"M{j} {i}h1v1H{j}z" for i, j in inside)
        yield f'<path class="bad" d="{"".join(moves)}"/>'


def _texts(matrix: Sequence[Sequence[Cell]]) -> Iterator[str]:
    header = " " * _LABEL + "".join(f"{j:>5} " for j in range(len(matrix)))
    yield _text(header, 0, ' class="hl"')
    for i, row in enumerate(matrix):
        yield _text(f"{i:>3} " + "".join(f"{shown(value):>5} " for value in row[: len(matrix)]), i + 1)


def _text(line: str, row: int, more: str = "") -> str:
    """Write one row; textLength keeps the columns in place in whatever monospace font there is."""
    line = line.rstrip()
    lead = len(line) - len(line.lstrip())
    x, length = lead * _CHARACTER, (len(line) - lead) * _CHARACTER
    return f'<text{more} x="{x}" y="{row * _ROW + 14}" textLength="{length}">{escape(line.lstrip())}</text>'
