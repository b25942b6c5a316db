"""What the lab says on the terminal: a line a step on stderr, so that stdout stays for what a command answers."""

from __future__ import annotations

import sys


class LabError(Exception):
    """What went wrong, where, and what to do next: one sentence each, for the terminal."""


def say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)
