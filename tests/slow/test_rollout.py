"""The budget's protocol in ten thousand interleavings of two controllers, an administrator and crashes."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from rollout_machine import RolloutMachine

TestRollout = RolloutMachine.TestCase
TestRollout.settings = settings(
    max_examples=10_000, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck), database=None
)
