# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run commands as argv lists in the C locale, with a time limit."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

#: The exit status of coreutils ``timeout`` when the limit passed.
TIMED_OUT = 124
#: The exit status of ``timeout`` when it had to send SIGKILL.
KILLED = 137
#: The exit status shells use for a program that is not there.
NOT_FOUND = 127
#: Seconds that ``timeout`` leaves a program between SIGTERM and SIGKILL.
KILL_AFTER_S = 5
#: Seconds after SIGKILL until a program counts as one that cannot be ended.
GIVE_UP_AFTER_S = 5


@dataclass(frozen=True)
class Result:
    """What one command gave back."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.rc == 0

    @property
    def missing(self) -> bool:
        return self.rc == NOT_FOUND

    @property
    def timed_out(self) -> bool:
        return self.rc in (TIMED_OUT, KILLED)


class Run(Protocol):
    """The shape of every function that runs a command; tests pass a table instead."""

    def __call__(self, argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result: ...


class _CannotBeEndedError(Exception):
    """A program outlived SIGKILL: it waits inside the kernel, as ``nvidia-smi`` does on a hung driver."""


@contextmanager
def _no_longer_than(seconds: int | None) -> Iterator[None]:
    """Give up where ``timeout`` would not: it waits for the program that it killed, so one that cannot die needs a limit above it."""

    def give_up(_number: int, _frame: FrameType | None) -> None:
        raise _CannotBeEndedError

    if seconds is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds + KILL_AFTER_S + GIVE_UP_AFTER_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _standard_input(text: str | None) -> Iterator[None]:
    """Let what is started now read ``text``, from a file: a program that ends without reading breaks a pipe.

    ``run_command`` would raise then, and the program's own words (dpkg's, that another one has the lock) be lost.
    """
    if text is None:
        yield
        return
    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        before = os.dup(0)
        os.dup2(file.fileno(), 0)
        try:
            yield
        finally:
            os.dup2(before, 0)
            os.close(before)


def runner(module: AnsibleModule) -> Run:
    """Return a ``Run`` on this host. A missing program is a result (``missing``), never an exception.

    The time limit is kept by coreutils' ``timeout``, which ends the whole process group. What cannot be ended even
    so is left behind, so that a hung ``nvidia-smi`` cannot hang the play.
    """
    environment = {"LC_ALL": "C", "LANGUAGE": "C", "DEBIAN_FRONTEND": "noninteractive"}

    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        program = module.get_bin_path(argv[0])
        if program is None:
            return Result(tuple(argv), NOT_FOUND, "", f"{argv[0]}: not found")
        limited = [program, *argv[1:]]
        if timeout_s is not None:
            limited = ["timeout", f"--kill-after={KILL_AFTER_S}", str(timeout_s), *limited]
        try:
            with _no_longer_than(timeout_s), _standard_input(stdin):
                rc, stdout, stderr = module.run_command(limited, environ_update=environment, handle_exceptions=False)
        except _CannotBeEndedError:
            return Result(tuple(argv), TIMED_OUT, "", f"{argv[0]}: cannot be ended, it waits inside the kernel")
        return Result(tuple(argv), rc, stdout, stderr)

    return run
