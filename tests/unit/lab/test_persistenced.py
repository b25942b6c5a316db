"""The persistence daemon's stand-in does what nvidia-persistenced.c does; a driver of the test stands under it."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.lab.hosts.image import HERE

#: The hardware is told by two words; whatever the daemon says in syslog goes to a file.
PROGRAM = """
import os, sys, pathlib
sys.path.insert(0, {stand_ins!r})
import hardware, nvidia_persistenced as daemon
folder = pathlib.Path({folder!r})
hardware.PERSISTENCED_PID = folder / "run/daemon.pid"
hardware.loaded_module = lambda: {{"version": "535.1"}} if {loaded} else None
hardware.host = lambda: {{"count": {gpus}, "host": "h", "lab": "l"}}
daemon.DEVICES = folder
daemon.syslog.syslog = lambda _level, text: (folder / "syslog").write_text(text)
sys.exit(daemon.main())
"""


def run(
    folder: Path, *words: str, loaded: bool = True, gpus: int = 2
) -> tuple[subprocess.CompletedProcess[str], int | None]:
    """Start it; return how the command ended and the daemon's pid."""
    (folder / "nvidia0").touch()
    text = PROGRAM.format(stand_ins=str(HERE / "stand_ins"), folder=str(folder), loaded=loaded, gpus=gpus)
    done = subprocess.run([sys.executable, "-c", text, *words], capture_output=True, text=True, timeout=30, check=False)
    pid = folder / "run/daemon.pid"
    return done, int(pid.read_text()) if pid.exists() else None


def opened(pid: int) -> set[str]:
    return {os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir()}


def end(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    for _number in range(100):
        state = Path(f"/proc/{pid}/stat")
        if not state.exists() or ") Z " in state.read_text():
            return
        time.sleep(0.05)
    pytest.fail("the daemon outlives SIGTERM")


@pytest.mark.parametrize(("words", "held"), [([], True), (["--verbose"], True), (["--no-persistence-mode"], False)])
def test_it_holds_the_devices_while_persistence_is_wanted(tmp_path: Path, words: list[str], held: bool) -> None:
    done, pid = run(tmp_path, *words)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "") and pid
    assert (str(tmp_path / "nvidia0") in opened(pid)) is held
    end(pid)
    assert not (tmp_path / "run/daemon.pid").exists()


FAILS = [
    ("no driver", {"loaded": False}, "Failed to query NVIDIA devices. Please ensure that the NVIDIA device files "
     f"(/dev/nvidia*) exist, and that user {os.getuid()} has read and write permissions for those files."),
    ("no device", {"gpus": 0}, "Unable to find any NVIDIA devices"),
]  # fmt: skip


@pytest.mark.parametrize(("driver", "said"), [row[1:] for row in FAILS], ids=[row[0] for row in FAILS])
def test_what_it_lacks_is_in_syslog_and_the_command_fails(tmp_path: Path, driver: dict[str, int], said: str) -> None:
    done, pid = run(tmp_path, **driver)  # type: ignore[arg-type]
    assert (done.returncode, pid) == (1, None)
    assert done.stderr == "nvidia-persistenced failed to initialize. Check syslog for more details.\n"
    assert (tmp_path / "syslog").read_text() == said


def test_there_is_one_of_it(tmp_path: Path) -> None:
    _done, pid = run(tmp_path)
    assert pid
    again, same = run(tmp_path)
    assert (again.returncode, same) == (1, pid)
    assert (tmp_path / "syslog").read_text() == "Failed to lock PID file: Resource temporarily unavailable"
    end(pid)


def test_a_wrong_word_is_no_failure_of_the_command_and_an_unknown_user_is(tmp_path: Path) -> None:
    wrong, pid = run(tmp_path, "--persistence")
    assert (wrong.returncode, pid) == (0, None)
    assert wrong.stderr.startswith("Invalid commandline, please run `")
    unknown, pid = run(tmp_path, "--user", "nobody-of-this-name")
    assert (unknown.returncode, pid) == (1, None)
    own, pid = run(tmp_path, "--user", pwd.getpwuid(os.getuid()).pw_name)
    assert own.returncode == 0 and pid
    end(pid)
