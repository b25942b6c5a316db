"""What follows a failure in the role driver: its own task files, run by ansible, on nodes that are played."""

from __future__ import annotations

import pytest
from role_box import Scenario, Told, failed, plan, run, step

PREVIOUS = {"version": "535.1", "kernel_modules": "open", "module_build": "dkms", "flavour": "server"}
INSTALL = step("install", "GPU work", apt_get=["install", "x=2"], release=[], releases_kernels=False, local=True)
CHANGE = plan(step("drain"), INSTALL, step("uncordon"), previous=PREVIOUS)
DONE = plan(step("uncordon"))
BACK = "The node runs driver 535.1, as before."
OPEN = {"node": "takes pods"}
QUICK = {"driver_compute_check": False}

SCENARIOS = {
    "not-drained-then-broken": Scenario(
        {
            "nvidia_driver_plan": [CHANGE, CHANGE, DONE],
            "k8s_node_drain": [failed("pods stay", given_back=True), OPEN],
            "command": [failed("does not build"), {}],
        },
        QUICK,
        times=2,
    ),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    return run(tmp_path_factory.mktemp("box"), SCENARIOS)


def test_a_drain_that_failed_in_one_run_does_not_keep_the_next_from_going_back(told: dict[str, Told]) -> None:
    """Facts outlive a run of the role."""
    first, second = told["not-drained-then-broken"].ended
    assert "pods stay" in first
    assert "does not build" in second and BACK in second
