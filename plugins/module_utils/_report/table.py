# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Draw a table for terminals: columns of fixed width, safe for any text."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def printable(text: str) -> str:
    """Replace control characters: a value read from a host must not be able to move the cursor or change colours."""
    return "".join(c if unicodedata.category(c)[0] != "C" else "?" for c in text)


def width(text: str) -> int:
    """Count terminal cells: wide East Asian characters take two, combining marks none."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def fit(text: str, cells: int) -> str:
    """Cut ``text`` (with an ellipsis) and pad it to exactly ``cells``."""
    if width(text) > cells:
        kept = ""
        for character in text:
            if width(kept + character) > cells - 1:
                break
            kept += character
        text = kept + "…"
    return text + " " * (cells - width(text))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], limit: int) -> list[str]:
    """Return the lines: the header, a rule, the rows. No column is wider than ``limit``."""
    clean = [[printable(cell) for cell in row] for row in rows]
    widths = [min(limit, max(width(row[i]) for row in [header, *clean])) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        return "  ".join(fit(cell, cells) for cell, cells in zip(row, widths)).rstrip()

    return [line(header), "  ".join("-" * cells for cells in widths), *(line(row) for row in clean)]
