"""Processes that outlive the command which started them, known by id and start time so that no other is ever hit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Process:
    """A process id with the clock tick it started at: the pair is never used twice before a reboot."""

    pid: int
    started: int
    boot: str

    @property
    def alive(self) -> bool:
        return identify(self.pid) == self

    @property
    def resident_mib(self) -> int:
        """Memory in RAM; 0 for a process that is gone."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE") // 2**20
        return 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def identify(pid: int) -> Process | None:
    """The running process ``pid``; a zombie is not running."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    return Process(pid, int(fields[19]), Path("/proc/sys/kernel/random/boot_id").read_text().strip())


def start(argv: list[str], log: Path, environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> Process:
    """Start ``argv`` in a session of its own, its output to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
            cwd=cwd or log.parent,
        )
    process = identify(child.pid)
    child.returncode = 0  # not ours to wait for: silences the ResourceWarning of a child left running
    return process or Process(child.pid, -1, "")


def stop(process: Process, patience_s: float = 10) -> bool:
    """End exactly this process; true if it was running."""
    if not process.alive:
        return False
    for wanted in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, wanted)
        if _gone(process, patience_s):
            break
    return True


def _gone(process: Process, patience_s: float) -> bool:
    end = time.monotonic() + patience_s
    while process.alive:
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True
