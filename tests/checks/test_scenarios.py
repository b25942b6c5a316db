"""Each molecule scenario from create to destroy, as a test: real hosts, a real API server, real reboots."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
SHOWN_LINES = 150
FATAL = "fatal: ["  # as Ansible begins the report of a task that failed; those before the last were expected


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, tmp_path: Path) -> None:
    """Where it fails, pytest shows what it printed from the failure on, and where the whole of it lies."""
    log = tmp_path / "molecule.log"
    with log.open("w") as printed:
        command = ["molecule", "test", "-s", scenario]
        done = subprocess.run(command, cwd=ROOT, check=False, stdout=printed, stderr=subprocess.STDOUT)
    if done.returncode:
        lines = log.read_text().splitlines()
        begin = max([number for number, line in enumerate(lines) if FATAL in line], default=-SHOWN_LINES)
        shown = "\n".join(lines[begin:][:SHOWN_LINES])
        pytest.fail(
            f"{' '.join(command)} exited {done.returncode}; all of it is in {log}, the failure is this:\n{shown}"
        )


def test_there_are_scenarios() -> None:
    assert {"driver_debian", "driver_ubuntu"} <= set(SCENARIOS)
