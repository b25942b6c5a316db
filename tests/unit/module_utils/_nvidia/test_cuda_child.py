"""Children that end, fail, crash, hang, and cannot be killed; the parent is never longer than its limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import cuda_child
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.cuda_child import Tell


def tells(tell: Tell) -> None:
    tell({"call": "a"})
    tell({"call": "b", "more": 1})


def fails(tell: Tell) -> None:
    tell({"call": "a"})
    raise ValueError("no")


def exits(_tell: Tell) -> None:
    sys.exit(7)


def crashes(tell: Tell) -> None:
    tell({"call": "a"})
    os.kill(os.getpid(), signal.SIGSEGV)


def hangs(tell: Tell) -> None:
    tell({"call": "a"})
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)


def test_outcomes() -> None:
    start = time.monotonic()
    out = cuda_child.run({work.__name__: work for work in (tells, fails, exits, crashes, hangs)}, 1.0)
    assert time.monotonic() - start < 4
    assert {name: (each.end, each.signal, each.told) for name, each in out.items()} == {
        "tells": ("exited", None, {"call": "b", "more": 1}),
        "fails": ("exited", None, {"call": "a", "exception": "ValueError: no"}),
        "exits": ("exited", None, {"exception": "SystemExit: 7"}),
        "crashes": ("signal", 11, {"call": "a"}),
        "hangs": ("killed", 9, {"call": "a"}),
    }


def test_they_run_at_once() -> None:
    start = time.monotonic()
    cuda_child.run({str(number): lambda _tell: time.sleep(1) for number in range(8)}, 30)
    assert time.monotonic() - start < 5


def test_no_work() -> None:
    assert cuda_child.run({}, 1) == {}


def test_no_child_is_left() -> None:
    out = cuda_child.run({"hangs": hangs}, 0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(out["hangs"].pid, 0)


def test_a_child_that_cannot_be_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported with its state, and left behind."""
    monkeypatch.setattr(cuda_child, "GIVE_UP_AFTER_S", 0.2)
    start = time.monotonic()
    out = cuda_child.run({"hangs": hangs}, 0.5, kill=lambda _pid, _signal: None)["hangs"]
    assert time.monotonic() - start < 5
    os.kill(out.pid, signal.SIGKILL)
    os.waitpid(out.pid, 0)
    assert (out.end, out.state, out.told) == ("stuck", "S", {"call": "a"})


def test_half_a_line_is_dropped() -> None:
    """Of a child that was killed while it wrote."""

    def half(tell: Tell) -> None:
        tell({"call": "a"})
        pipe = next(link for link in Path("/proc/self/fd").iterdir() if "pipe:" in os.path.realpath(link))
        os.write(int(pipe.name), b'{"found": {"call": "b"}')

    assert cuda_child.run({"half": half}, 5)["half"].told == {"call": "a"}


def test_a_child_holds_none_of_the_module_s_files(tmp_path: Path) -> None:
    """Or the ssh connection of the task would last as long as a child that cannot be killed."""
    script = f"""
import os, sys, time
sys.path[:0] = {[str(Path(cuda_child.__file__).parent)]!r}
import cuda_child
cuda_child.GIVE_UP_AFTER_S = 0.1
kept = os.dup(1)
def hang(tell):
    tell({{"open": sorted(os.readlink(f"/proc/self/fd/{{n}}") for n in os.listdir("/proc/self/fd") if int(n) < 3)}})
    open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()))
    time.sleep(60)
print(cuda_child.run({{"hang": hang}}, 1, kill=lambda pid, number: None)["hang"].told["open"])
"""
    start = time.monotonic()
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30).stdout
    elapsed = time.monotonic() - start
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert said.strip() == "['/dev/null', '/dev/null', '/dev/null']"
    assert elapsed < 10
