# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run work in child processes with one time limit, and never wait for a child that cannot die.

A driver that hangs must not hang the module, and one that crashes must not take it along. The children are forks of
the module: the target's own Python with our code loaded, with nothing to find in the module's archive, to quote or to
write to disk. The parent never loads the driver's library, whose state would not outlive a fork.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict

Tell = Callable[[Dict[str, Any]], None]
Work = Callable[[Tell], None]

#: Seconds that a killed child gets to be gone. Only what waits inside the kernel takes longer.
GIVE_UP_AFTER_S = 3.0


@dataclass
class Outcome:
    """What a child told, merged, and how it ended: ``exited``, ``signal``, ``killed`` (by us) or ``stuck``."""

    told: dict[str, Any] = field(default_factory=dict)
    end: str = "exited"
    signal: int | None = None
    pid: int = 0
    state: str = ""


class _Child:
    def __init__(self, work: Work) -> None:
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            _be_child(work, writing)
        os.close(writing)
        self.pipe = reading
        self.text = b""

    def outcome(self, killed: bool, deadline: float) -> Outcome:
        os.close(self.pipe)
        told: dict[str, Any] = {}
        for line in self.text.split(b"\n")[:-1]:  # a child that was killed while it wrote leaves half a line
            told.update(json.loads(line))
        status = _wait(self.pid, deadline)
        if status is None:
            return Outcome(told, "stuck", None, self.pid, _state(self.pid))
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        return Outcome(told, "killed" if killed else "signal" if number else "exited", number, self.pid)


def run(works: Mapping[str, Work], timeout_s: float, kill: Callable[[int, int], None] = os.kill) -> dict[str, Outcome]:
    """Run all of them at once; whatever has not ended after ``timeout_s`` is killed."""
    deadline = time.monotonic() + timeout_s
    children = {name: _Child(work) for name, work in works.items()}
    open_ones = _listen(children, deadline)
    for name in open_ones:
        kill(children[name].pid, signal.SIGKILL)
    # A child that has told all may still be closing the GPU, which takes seconds where nothing else holds it open.
    gone = max(deadline, time.monotonic()) + GIVE_UP_AFTER_S
    return {name: child.outcome(name in open_ones, gone) for name, child in children.items()}


def _listen(children: Mapping[str, _Child], deadline: float) -> set[str]:
    """Collect what the children tell until the deadline; return those that have not ended by then."""
    with selectors.DefaultSelector() as selector:
        for name, child in children.items():
            selector.register(child.pipe, selectors.EVENT_READ, name)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                break
            for key, _events in selector.select(left):
                piece = os.read(key.fd, 65536)
                children[key.data].text += piece
                if not piece:
                    selector.unregister(key.fd)
        return {key.data for key in selector.get_map().values()}


def _be_child(work: Work, writing: int) -> None:
    """Do the work in a process of its own session, holding none of the module's files.

    A child that cannot be ended would keep them open for ever, and with them the ssh connection of the task.
    """
    code = 1
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        for number in (int(name) for name in os.listdir("/proc/self/fd")):  # noqa: PTH208 - names are all that is wanted
            if number > 2 and number != writing:
                os.closerange(number, number + 1)
        work(lambda fact: _tell(writing, fact))
        code = 0
    except BaseException as error:
        _tell(writing, {"exception": f"{type(error).__name__}: {error}"})
    finally:
        os._exit(code)


def _tell(writing: int, fact: Mapping[str, Any]) -> None:
    os.write(writing, json.dumps(fact).encode() + b"\n")


def _wait(pid: int, deadline: float) -> int | None:
    """The child's status, or None if it is not gone in time."""
    while True:
        gone, status = os.waitpid(pid, os.WNOHANG)
        if gone:
            return status
        if time.monotonic() > deadline:
            return None
        time.sleep(0.02)


def _state(pid: int) -> str:
    """The state in ``/proc/PID/stat``: D is an uninterruptible sleep."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
