"""Each molecule scenario from create to destroy, as a test: real hosts, a real API server, real reboots."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The output goes to the terminal as it comes: a scenario takes minutes."""
    started = time.monotonic()
    with capfd.disabled():
        print(f"\n===== molecule test -s {scenario}", flush=True)
        done = subprocess.run(["molecule", "test", "-s", scenario], cwd=ROOT, check=False)
        print(f"===== {scenario}: {time.monotonic() - started:.0f} s", flush=True)
    assert done.returncode == 0


def test_there_are_scenarios() -> None:
    assert {"driver_debian", "driver_ubuntu"} <= set(SCENARIOS)
