# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read driver versions, as a package, a file of the kernel or a person writes them. Pure.

An epoch before and a revision after are the packager's: ``1:535.247.01-1~deb12u1`` is driver ``535.247.01``.
"""

from __future__ import annotations

import re

_NUMBERS = re.compile(r"(?:\d+:)?(?P<numbers>\d+(?:\.\d+){0,2})")


def driver_version(version: str | None) -> str | None:
    """Return ``525.147.05`` of ``525.147.05-0ubuntu0.20.04.1``; None where it is no driver's version (a date, say)."""
    numbers = _numbers(version)
    return numbers if "." in numbers else None


def branch(version: str | None) -> str:
    """Return ``525`` of ``525.147.05-0ubuntu0.20.04.1``; empty where it is no driver's version."""
    return (driver_version(version) or "").partition(".")[0]


def key(version: str | None) -> tuple[int, ...]:
    """Return the version's numbers, which compare as driver versions do; a branch alone will do, () is no version."""
    return tuple(int(part) for part in _numbers(version).split(".") if part)


def _numbers(version: str | None) -> str:
    match = _NUMBERS.match(version or "")
    return match["numbers"] if match else ""
