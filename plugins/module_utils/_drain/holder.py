# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell which run holds a node, and whether that run still lives.

Two runs on one node at once would uncordon it under each other's hands. A run that was killed must not hold it for ever, and
the next one should go on at once: on the same machine the process itself answers; a run on another machine gave a time until
which it may hold.
"""

from __future__ import annotations

import getpass
import os
import socket
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Holder:
    """One run of ansible-playbook: its user, machine and process (0: not known)."""

    user: str
    machine: str
    pid: int
    started: int  # in ticks since the machine's boot; a number that came back does not have the same

    def __str__(self) -> str:
        return f"{self.user}@{self.machine}" + (f" (process {self.pid})" if self.pid else "")


def this_run(start: int, proc: Path = PROC) -> Holder:
    """Find the ansible-playbook above process ``start``: the nearest one, and the topmost of its own workers."""
    found, pid = 0, start
    while pid > 1:
        ansible = _is_ansible(proc, pid)
        if found and not ansible:
            break
        found = pid if ansible else found
        pid = _stat(proc, pid)[0]
    return Holder(getpass.getuser(), socket.gethostname(), found, _stat(proc, found)[1] if found else 0)


def began(holder: Holder, now: float, proc: Path = PROC) -> float:
    """Return when the run began, in seconds since 1970; ``now`` where its process is not known."""
    try:
        lines = (proc / "stat").read_text().splitlines()
        boot = next(int(line.split()[1]) for line in lines if line.startswith("btime "))
    except (OSError, StopIteration, ValueError):
        return now
    return boot + holder.started / os.sysconf("SC_CLK_TCK") if holder.pid else now


def lives(holder: Holder, until: float, now: float, proc: Path = PROC) -> bool:
    """Tell whether the run may still be at work, as far as can be told from here."""
    if holder.machine == socket.gethostname():
        return bool(holder.pid) and _stat(proc, holder.pid)[1] == holder.started
    return now < until


def _is_ansible(proc: Path, pid: int) -> bool:
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().split(b"\0")[:2]
    except OSError:
        return False
    return any(word.rsplit(b"/", 1)[-1].startswith(b"ansible") for word in words)


def _stat(proc: Path, pid: int) -> tuple[int, int]:
    """Return the parent and the start time; zeros where there is no such process. The name in brackets may hold anything.

    One that has ended and that its parent has not asked after (a zombie) is gone: in a container that may be so for ever.
    """
    try:
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        return (0, 0) if fields[0] in ("Z", "X") else (int(fields[1]), int(fields[19]))
    except (OSError, IndexError, ValueError):
        return 0, 0
