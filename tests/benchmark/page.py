"""Keep docs/benchmarks.md: one section a benchmark, each replaced by the run that measured it anew."""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/benchmarks.md"


def machine() -> str:
    """What a figure depends on: day, processor cores, load, kernel and versions."""
    packages = ", ".join(f"{package} {version(package)}" for package in ("ansible-core", "kubernetes"))
    cores, load = os.cpu_count(), os.getloadavg()[0]
    return f"{time.strftime('%Y-%m-%d')}, {cores} CPU cores, load {load:.1f}, Linux {platform.release()}, {packages}"


def spread(values: Sequence[float], unit: str = " s") -> str:
    """The median, and the least and the greatest value where there are several."""
    middle = f"{statistics.median(values):.2f}{unit}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.2f} to {max(values):.2f})"


def replace(page: str, title: str, body: str) -> str:
    """The page with the section of this title new, or added at its end; the other sections stay as they are."""
    section = f"## {title}\n\n{body.strip()}\n"
    pattern = re.compile(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(page):
        return pattern.sub(lambda _found: section + "\n", page).rstrip() + "\n"
    return f"{page.rstrip()}\n\n{section}"
