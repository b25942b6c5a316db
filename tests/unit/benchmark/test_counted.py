"""Counting: what is read off the calls of ssh and the recap."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.benchmark.counted import COUNTING_SSH, tally

RECAP = """
PLAY RECAP *********************************************************************
localhost                  : ok=9    changed=0    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0
node-1                     : ok=12   changed=1    unreachable=0    failed=0    skipped=30   rescued=0    ignored=0
"""


def test_the_recap_and_the_calls_are_counted() -> None:
    calls = [{"host": "10.0.0.1", "bytes": 0}, {"host": "10.0.0.1", "bytes": 90_000}, {"host": "10.0.0.2", "bytes": 5}]
    counts = tally(calls, RECAP, {"10.0.0.1": "node-1"}, api_requests=3)
    assert counts.ssh_calls == {"node-1": 2, "10.0.0.2": 1}
    assert counts.executions == {"node-1": 1, "10.0.0.2": 1}
    assert counts.sent_bytes == {"node-1": 90_000, "10.0.0.2": 5}
    assert counts.task_results == {"localhost": 9, "node-1": 42}
    assert counts.changed == {"localhost": 0, "node-1": 1}
    assert counts.api_requests == 3


@pytest.mark.parametrize("status", [0, 4])
def test_ssh_is_called_as_without_it_and_written_down(tmp_path: Path, status: int) -> None:
    """With the options that Ansible gives: the host is the first word that no option takes."""
    ssh, log = tmp_path / "ssh", tmp_path / "log"
    ssh.write_text(f"#!/bin/sh\ncat\nexit {status}\n")
    ssh.chmod(0o755)
    words = ["-C", "-o", "ControlMaster=auto", "-o", "User=root", "-oPort=22", "-tt", "root@10.0.0.1", "/bin/sh -c 'x'"]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "COUNTING_SSH_LOG": str(log)}
    done = subprocess.run(
        [COUNTING_SSH, *words], input=b"program", env=environment, capture_output=True, check=False, timeout=30
    )
    assert (done.returncode, done.stdout) == (status, b"program")
    assert log.read_text() == '{"host": "10.0.0.1", "bytes": 7}\n'
