"""In which order the role driver does things, and what follows a failure: its own task files, run by ansible, on played nodes."""

from __future__ import annotations

import pytest
from role_box import Scenario, Told, failed, plan, run, step

PREVIOUS = {"version": "535.1", "kernel_modules": "open", "module_build": "dkms", "flavour": "server"}
KEEP = {"packages": ["x:amd64=1"], "about": {"version": "535.1"}}
DATA = {"apt_get": ["install", "x=2"], "release": [], "local": False, "keep": KEEP}
INSTALL = step("install", "GPU work", **DATA)
CHANGE = plan(step("drain"), INSTALL, step("uncordon"), previous=PREVIOUS)
REPAIR = step("repair", "GPU work", reinstall=[])
BROKEN = plan(step("drain"), REPAIR, INSTALL, step("uncordon"), previous=PREVIOUS)
JOURNAL = plan(step("drain"), {**REPAIR, "disturbs": ""}, INSTALL, step("uncordon"), previous=PREVIOUS)
WAY_BACK = plan(
    step("install", "GPU work", **{**DATA, "apt_get": ["install", "/kept/x.deb"], "local": True, "keep": None})
)
DONE = plan(step("uncordon"))
BACK = "The node runs driver 535.1, as before."
DRAINED, TOLD, OPEN = {"node": "drained"}, {"node": "failed"}, {"node": "takes pods"}
QUICK = {"driver_compute_check": False}
FETCHED = ["apt", "apt_keep", "apt-get --download-only install x=2"]
CONFIGURE = "dpkg --configure --pending --force-confdef --force-confold"
IN_AGAIN = "k8s_node_drain uncordoned"

SCENARIOS = {
    "good": Scenario(
        {"nvidia_driver_plan": [CHANGE, DONE], "k8s_node_drain": [DRAINED, OPEN]}, {**QUICK, "driver_rollback": True}
    ),
    "broken": Scenario({"nvidia_driver_plan": [BROKEN, DONE], "k8s_node_drain": [DRAINED, OPEN]}, QUICK),
    "journal": Scenario({"nvidia_driver_plan": [JOURNAL, DONE], "k8s_node_drain": [DRAINED, OPEN]}, QUICK),
    "locked": Scenario(
        {"nvidia_driver_plan": [CHANGE], "command": [failed("E: Could not get lock")]},
        {**QUICK, "driver_rollback": False},
    ),
    "not-drained-then-broken": Scenario(
        {
            "nvidia_driver_plan": [CHANGE, CHANGE, WAY_BACK, DONE],
            "k8s_node_drain": [failed("pods stay", given_back=True), DRAINED, TOLD, OPEN],
            "command": [{}, {}, failed("does not build"), {}],
        },
        QUICK,
        times=2,
    ),
    "api-gone": Scenario(
        {
            "nvidia_driver_plan": [CHANGE, WAY_BACK, DONE],
            "k8s_node_drain": [DRAINED, TOLD, failed("no answer from the API")],
            "command": [{}, failed("does not build"), {}],
        },
        QUICK,
    ),
    "busy": Scenario(
        {"nvidia_driver_plan": [plan(step("busy"), *CHANGE["steps"])], "nvidia_busy_check": [failed("42 (train)")]},
        QUICK,
    ),
    "left": Scenario(
        {
            "nvidia_driver_plan": [plan(step("drain"), INSTALL, reboot_pending="the new driver")],
            "k8s_node_drain": [failed("no room", given_back=True)],
        },
        QUICK,
    ),
    "local": Scenario({"nvidia_driver_plan": [plan(INSTALL, step("reboot", "everything"))]}, QUICK),
    "refused": Scenario({"nvidia_driver_plan": [CHANGE]}, {**QUICK, "driver_rollback": "required"}),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Told]:
    return run(tmp_path_factory.mktemp("box"), SCENARIOS)


def test_packages_are_on_the_node_before_it_is_drained(told: dict[str, Told]) -> None:
    """Those that come, and those that go."""
    assert told["good"].ended == []
    assert told["good"].short == [*FETCHED, "k8s_node_drain", "apt-get install x=2", IN_AGAIN]


def test_a_package_that_is_broken_is_repaired_first_which_wants_an_empty_node(told: dict[str, Told]) -> None:
    assert told["broken"].short == ["k8s_node_drain", CONFIGURE, *FETCHED, "apt-get install x=2", IN_AGAIN]
    assert told["journal"].short == [CONFIGURE, *FETCHED, "k8s_node_drain", "apt-get install x=2", IN_AGAIN]


def test_a_lock_leads_nowhere(told: dict[str, Told]) -> None:
    """The node is not drained, and nothing goes back."""
    assert told["locked"].short == FETCHED
    assert "Could not get lock" in told["locked"].ended[0]


def test_a_drain_that_failed_in_one_run_does_not_keep_the_next_from_going_back(told: dict[str, Told]) -> None:
    """Facts outlive a run of the role."""
    first, second = told["not-drained-then-broken"].ended
    assert "pods stay" in first and "rolled back" not in first
    assert "does not build" in second and BACK in second
    assert told["not-drained-then-broken"].short[-3:] == [
        "k8s_node_drain failed",
        "apt-get install /kept/x.deb",
        IN_AGAIN,
    ]


def test_an_api_server_that_does_not_answer_says_nothing_of_the_driver(told: dict[str, Told]) -> None:
    (ended,) = told["api-gone"].ended
    assert f"{BACK} It takes no pods yet: " in ended and "no answer from the API" in ended
    assert "failed too" not in ended


def test_a_way_back_that_is_required_is_asked_for(told: dict[str, Told]) -> None:
    asked = [given for name, given in told["refused"].calls if name in ("nvidia_driver_plan", "apt_keep")]
    assert (asked[0]["rollback"], asked[1]["required"], asked[1]["name"]) == ("required", True, ["x:amd64=1"])
    good = dict(told["good"].calls)
    assert (good["nvidia_driver_plan"]["rollback"], good["apt_keep"]["required"]) == ("auto", False)
    assert dict(told["locked"].calls)["nvidia_driver_plan"]["rollback"] == "never"  # a boolean, as it was before


def test_a_run_does_not_install_what_it_cannot_reboot_for(told: dict[str, Told]) -> None:
    """ansible refuses to reboot its own host, which would be after the installation."""
    assert told["local"].short == []
    assert "run from another machine" in told["local"].ended[0]


def test_who_leaves_reboots_to_others_waits_for_no_room(told: dict[str, Told]) -> None:
    """Nobody would make any: the nodes that were left empty for their reboot count as away, and the others stay as they are."""
    assert told["left"].short == [*FETCHED, "k8s_node_drain"]
    assert dict(told["left"].calls)["k8s_node_drain"]["budget_timeout"] == 0
    waits = next(given for name, given in told["good"].calls if name == "k8s_node_drain")
    assert waits["budget_timeout"] == 21600


def test_work_outside_kubernetes_is_waited_for_before_anything_else(told: dict[str, Told]) -> None:
    assert told["busy"].short == ["nvidia_busy_check"]
    assert "42 (train)" in told["busy"].ended[0]


def test_the_node_remembers_what_the_change_came_to(told: dict[str, Told]) -> None:
    """With the task that failed, which is not known any more once others have run."""
    written = {
        name: [given for call, given in each.calls if call == "nvidia_driver_history"] for name, each in told.items()
    }
    assert [given["outcome"] for given in written["good"]] == ["ok"]
    for name in ("not-drained-then-broken", "api-gone"):
        (given,) = written[name]
        assert (given["outcome"], given["failed_at"]) == ("rolled back", "Install the driver in one transaction")
    assert written["locked"] == written["busy"] == []
