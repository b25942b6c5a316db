"""A rollout followed: steps, time away, ends, and the estimate."""

from __future__ import annotations

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._fleet import progress
from ansible_collections.t9k.gpu.plugins.module_utils._fleet.progress import DONE, FAILED, LEFT, Progress

ROLE = "/x/ansible_collections/t9k/gpu/roles/driver/tasks"


@pytest.mark.parametrize(
    ("path", "step"),
    [
        (f"{ROLE}/steps/install.yml:12", "install"),
        (f"{ROLE}/steps/drain.yml", "drain"),
        (f"{ROLE}/prove.yml:3", "prove"),
        (f"{ROLE}/compute.yml:5", "prove"),
        (f"{ROLE}/rollback.yml:5", "go back"),
        (f"{ROLE}/plan.yml:2", None),
        ("/x/roles/gpu_operator/tasks/steps/chart.yml:1", None),
        ("", None),
    ],
)
def test_the_step_of_a_task(path: str, step: str | None) -> None:
    assert progress.step_of(path) == step


def test_a_node_from_drain_to_done() -> None:
    fleet = Progress(total=2)
    assert fleet.step("a", "drain", 10) == {"event": "step", "node": "a", "step": "drain"}
    assert fleet.step("a", "drain", 11) is None
    assert fleet.away("a", 12.0) == {"event": "away", "node": "a"}
    assert fleet.away("a", 13.0) is None  # an interrupted run's cordon is told once
    assert fleet.step("a", "install", 20) == {
        "event": "step",
        "node": "a",
        "step": "install",
        "after": "drain",
        "took": 10,
    }
    assert fleet.away("a", None) == {"event": "back", "node": "a"}
    assert fleet.end("a", DONE, 70) == {"event": "done", "node": "a", "took": 60}
    assert fleet.step("a", "drain", 80) is None  # what comes after tells nothing new
    assert fleet.end("a", FAILED, 80) is None


def test_a_node_that_fails_or_never_begins() -> None:
    fleet = Progress(total=3)
    fleet.step("a", "reboot", 0)
    assert fleet.end("a", FAILED, 9, "no answer") == {
        "event": "failed",
        "node": "a",
        "took": 9,
        "step": "reboot",
        "why": "no answer",
    }
    assert fleet.end("b", LEFT, 9) == {"event": "left", "node": "b", "took": 0}
    assert fleet.away("c", 1.0) is None
    assert (fleet.count(FAILED), fleet.count(LEFT), fleet.count(DONE, FAILED)) == (1, 1, 1)


def test_the_estimate_is_the_pace_so_far() -> None:
    fleet = Progress(total=10)
    assert fleet.remaining_s(0) is None
    fleet.step("a", "drain", 100)
    fleet.step("b", "drain", 100)
    assert fleet.remaining_s(160) is None
    fleet.end("a", DONE, 160)
    fleet.end("b", DONE, 160)
    assert fleet.remaining_s(160) == 240
    fleet.end("c", LEFT, 160)
    assert fleet.remaining_s(160) == 210  # 7 more at 30 s each
