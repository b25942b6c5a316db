"""Each molecule scenario from create to destroy, as a test: real hosts, a real API server, real reboots."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCENARIOS = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario(scenario: str) -> None:
    """Where it fails, pytest shows all that it printed."""
    assert subprocess.run(["molecule", "test", "-s", scenario], cwd=ROOT, check=False).returncode == 0


def test_there_are_scenarios() -> None:
    assert {"driver_debian", "driver_ubuntu"} <= set(SCENARIOS)
