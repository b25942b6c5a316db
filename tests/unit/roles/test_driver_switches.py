"""Switches of the rollout and of the doctor may come from the command line, where ``-e driver_gate=true`` is a text."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROLE = Path(__file__).resolve().parents[3] / "roles/driver"
TEXTS = {path.name: path.read_text() for path in [*ROLE.glob("tasks/**/*.yml"), ROLE / "vars/main.yml"]}


@pytest.mark.parametrize("switch", ["driver_gate", "driver_doctor_compute"])
def test_a_switch_is_read_as_one(switch: str) -> None:
    used = [found for text in TEXTS.values() for found in re.findall(rf"\b{switch}\b.{{0,7}}", text)]
    assert used
    assert all(found.startswith(f"{switch} | bool") for found in used)
