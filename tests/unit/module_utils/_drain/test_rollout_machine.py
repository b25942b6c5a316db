"""The budget's protocol, interleaved request by request; tests/slow has the long run."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from rollout_machine import RolloutMachine

TestRollout = RolloutMachine.TestCase
TestRollout.settings = settings(
    max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
