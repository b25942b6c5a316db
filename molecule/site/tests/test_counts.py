"""What a run with nothing to do costs, counted: a budget that only a decision may raise, never a busy machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.benchmark.counted import Counts, run
from tests.lab.state import Lab

testinfra_hosts = ["local://"]

INVENTORY = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "inventory"
LAB = Lab(f"{os.environ.get('T9K_GPU_LAB_PREFIX') or 'molecule'}-site")


@pytest.fixture(scope="module")
def counts() -> Counts:
    found, output = run(["ansible-playbook", "t9k.gpu.site", "-i", str(INVENTORY)], LAB, {})
    assert not any(found.changed.values()), output
    print(found)  # shown where a test fails
    return found


@pytest.mark.parametrize(
    ("host", "executions", "kilobytes"),
    [
        ("site-a100", 1, 400),
        ("site-cpu", 1, 400),
    ],
)
def test_a_host(counts: Counts, host: str, executions: int, kilobytes: int) -> None:
    assert counts.executions[host] == executions
    assert counts.sent_bytes[host] <= kilobytes * 1000


def test_the_run(counts: Counts) -> None:
    assert sum(counts.ssh_calls.values()) == 2
    assert 0 < counts.api_requests <= 20
    assert 0 < sum(counts.task_results.values()) <= 150
