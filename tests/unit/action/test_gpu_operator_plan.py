"""The role runs once, whatever the play's strategy makes of run_once."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ansible_collections.t9k.gpu.plugins.action.gpu_operator_plan import twice

PLAYBOOK = Path(__file__).resolve().parents[3] / "playbooks/gpu_operator.yml"
MANY, ONE = ["a", "b"], ["a"]


@pytest.mark.parametrize(
    ("strategy", "run_once", "hosts", "refused"),
    [
        ("linear", True, MANY, False),
        ("ansible.builtin.linear", True, MANY, False),
        ("free", True, MANY, True),
        ("ansible.builtin.free", True, MANY, True),
        ("host_pinned", True, MANY, True),
        ("free", True, ONE, False),
        ("free", False, MANY, False),  # whoever picks one host by a condition has said so
    ],
)
def test_who_would_run_it_twice(strategy: str, run_once: bool, hosts: list[str], refused: bool) -> None:
    assert bool(twice(strategy, run_once, hosts)) is refused


def test_the_playbook_does_not_leave_it_to_the_configuration() -> None:
    (play,) = yaml.safe_load(PLAYBOOK.read_text())
    assert play["strategy"] == "ansible.builtin.linear"
