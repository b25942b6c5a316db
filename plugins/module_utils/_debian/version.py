# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Order versions of Debian packages, and judge their relations."""

from __future__ import annotations

import re
from functools import cmp_to_key, lru_cache


def compare(left: str, right: str) -> int:
    """Return a negative number, zero or a positive one, as ``dpkg --compare-versions`` orders them."""
    (left_epoch, left_upstream, left_revision), (right_epoch, right_upstream, right_revision) = (
        _parts(left),
        _parts(right),
    )
    return (left_epoch - right_epoch) or _order(left_upstream, right_upstream) or _order(left_revision, right_revision)


sort_key = cmp_to_key(compare)


@lru_cache(maxsize=4096)
def _parts(version: str) -> tuple[int, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, _dash, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return int(epoch) if epoch.isdigit() else 0, upstream, revision


def _order(left: str, right: str) -> int:
    """Compare text and numbers by turns; ``~`` sorts before the end, letters before everything else."""
    while left or right:
        (left_text, left), (right_text, right) = _cut(left, r"\D*"), _cut(right, r"\D*")
        for a, b in zip(_weights(left_text), _weights(right_text)):
            if a != b:
                return a - b
        if len(left_text) != len(right_text):
            longer = left_text if len(left_text) > len(right_text) else right_text
            tilde = longer[min(len(left_text), len(right_text))] == "~"
            return 1 if (len(left_text) > len(right_text)) != tilde else -1
        (left_number, left), (right_number, right) = _cut(left, r"\d*"), _cut(right, r"\d*")
        if int(left_number or 0) != int(right_number or 0):
            return int(left_number or 0) - int(right_number or 0)
    return 0


def _cut(text: str, pattern: str) -> tuple[str, str]:
    match = re.match(pattern, text)
    head = match.group() if match else ""
    return head, text[len(head) :]


def _weights(text: str) -> list[int]:
    return [-1 if c == "~" else ord(c) if c.isalpha() else ord(c) + 256 for c in text]


def satisfies(version: str, relation: str, wanted: str) -> bool:
    """Tell whether ``version`` fulfils a dependency such as ``>= 535``; without a relation everything does."""
    order = compare(version, wanted) if relation else 0
    return {
        "": True,
        "=": order == 0,
        "<<": order < 0,
        "<=": order <= 0,
        "<": order <= 0,
        ">>": order > 0,
        ">=": order >= 0,
        ">": order >= 0,
    }[relation]
