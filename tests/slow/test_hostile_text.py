"""The hostile texts of the unit tests, 20,000 of each kind, of pages half as many: 110,000 in all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_twenty_thousand_texts_of_each_kind() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "tests/unit/test_hostile_text.py"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "T9K_GPU_EXAMPLES": "20000"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert "6 passed" in done.stdout, done.stdout
