"""Faults, steps, health and summary put together: what stops what, and what the diff says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import driver_results
import pytest
from driver_results import MOVES, SUPPORTED, TARGET, V525, make, never, purge
from node_builder import bare_node, finished_node, package_plan
from role_tables import role_support

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Move, install_arguments
from ansible_collections.t9k.gpu.plugins.module_utils._debian.security import Update
from ansible_collections.t9k.gpu.plugins.module_utils._driver import before as driver_before
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import result as driver_result
from ansible_collections.t9k.gpu.plugins.module_utils._driver.next_boot import Kernels
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._linux.boot import NextKernel
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.smi import SmiReport


def names(plan: dict[str, Any]) -> list[str]:
    return [step["name"] for step in plan["steps"]]


def test_a_bare_node(resolve: Callable[[Any], None]) -> None:
    resolve(TARGET)
    plan = make(bare_node())
    assert names(plan) == ["files", "install", "hold", "initramfs", "reboot"]
    assert (plan["faults"], plan["problems"], plan["previous"]) == ([], [], None)
    assert (plan["target_version"], plan["reboot_pending"]) == (V525, None)


def test_the_warnings_of_the_packages_are_shown(resolve: Callable[[Any], None]) -> None:
    resolve(
        replace(
            TARGET, driver_version="580.1.1", packages=replace(package_plan("580.1.1"), warnings=("built by dkms",))
        )
    )
    assert make(bare_node())["warnings_found"] == ["built by dkms"]


def test_a_branch_past_its_end_is_a_warning_on_every_run() -> None:
    plan = make(finished_node(V525), support=role_support())
    assert (plan["steps"], plan["faults"]) == ([], [])
    assert plan["warnings_found"] == [
        "NVIDIA's support of driver branch 525 has ended: it gets no security fixes of theirs any more"
    ]


@pytest.mark.parametrize(("without", "expected"), [((), []), (("6.1.0-9-amd64", "6.1.0-8-amd64"), [
    "Installed kernels without a module of the driver, if booted: 6.1.0-9-amd64, 6.1.0-8-amd64.",
])])  # fmt: skip
def test_installed_kernels_without_a_module_are_a_warning(without: tuple[str, ...], expected: list[str]) -> None:
    kernels = Kernels(NextKernel("6.1.0-9-amd64", "/boot", "no GRUB"), without=without)
    plan = make(replace(finished_node(V525), kernels=kernels))
    assert (plan["steps"], plan["faults"], plan["warnings_found"]) == ([], [], expected)


def test_security_updates_that_a_hold_keeps_away_are_counted() -> None:
    found = tuple(Update(f"linux-{name}", "1", "2") for name in "abcd")
    plan = make(replace(finished_node(V525), security_updates=found))
    assert plan["security_held_back"][0] == {"name": "linux-a", "installed": "1", "offered": "2"}
    assert plan["warnings_found"] == [
        "Holds keep 4 security updates away: linux-a 1 (2), linux-b 1 (2), linux-c 1 (2) and 1 more."
    ]


def test_a_driver_that_does_not_drive_the_gpus_is_refused(resolve: Callable[[Any], None]) -> None:
    bare = bare_node()
    resolve(TARGET)
    plan = make(replace(bare, pci=(replace(bare.pci[0], device_id="2901"),)), support=role_support())
    assert plan["steps"] == []
    assert [fault.split(". Found")[0] for fault in plan["faults"]] == [
        "Wanted: a driver of branch 570 and later, for a Blackwell GPU",
        "Wanted: open kernel modules, for a Blackwell GPU",
    ]


def test_a_finished_node() -> None:
    """No stand-in for apt: it is not asked."""
    plan = make(finished_node(V525))
    assert (plan["steps"], plan["diff"], plan["faults"], plan["problems"]) == ([], [], [], [])
    assert plan["previous"] == {
        "version": V525,
        "kernel_modules": "proprietary",
        "module_build": "dkms",
        "flavour": "server",
    }
    assert plan["node"]["driver"]["installed_version"] == V525


def test_the_nodes_faults_stop_everything_and_apt_is_not_asked() -> None:
    bare = bare_node()
    state = replace(bare, foreign_driver="a .run installer", system=replace(bare.system, os_version="18.04"))
    plan = make(state)
    assert len(plan["faults"]) == 2
    assert (plan["steps"], plan["diff"], plan["problems"], plan["target_version"]) == ([], [], [], None)


def test_what_apt_refuses_is_a_fault(resolve: Callable[[Any], None]) -> None:
    resolve(GpuError("branch 999", "none", "apt", "ask for another"))
    plan = make(bare_node())
    assert plan["faults"] == ["Wanted: branch 999. Found: none (apt). Next: ask for another."]
    assert plan["steps"] == []


def test_the_targets_faults_are_listed_at_once(resolve: Callable[[Any], None]) -> None:
    bare = bare_node()
    resolve(replace(TARGET, packages=replace(package_plan(V525), faults=("no headers",))))
    plan = make(replace(bare, system=replace(bare.system, free_mib=1)), gsp="disabled", mig=True)
    assert [fault.split(".")[0] for fault in plan["faults"]] == [
        "no headers",
        "Wanted: 2048 MiB free on /",
        "Wanted: GSP firmware disabled",
    ]
    assert (plan["steps"], plan["diff"]) == ([], [])


def test_absent_needs_neither_a_supported_system_nor_apt() -> None:
    finished = finished_node(V525)
    state = replace(finished, system=replace(finished.system, os_version="18.04"))
    plan = make(state, purge, state="absent")
    assert names(plan) == ["remove", "files", "initramfs", "reboot"]
    assert (plan["faults"], plan["target_version"]) == ([], None)


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("glx-alternative-nvidia", 0),  # these came with Debian's driver, and go with it
        ("glx-diversions", 0),
        ("glx-alternative-fglrx", 1),
        ("libgl1", 1),
    ],
)
def test_what_came_with_the_driver_may_go_with_it(monkeypatch: pytest.MonkeyPatch, name: str, faults: int) -> None:
    monkeypatch.setattr(driver_results, "depending", [name])
    plan = make(finished_node(V525), purge, state="absent")
    assert (len(plan["faults"]), bool(plan["steps"])) == (faults, not faults)


@pytest.mark.parametrize(
    ("may_remove", "faults"), [((), 1), (("cuda-drivers-x",), 1), (("libcuda-user",), 0), (("*",), 0)]
)
def test_absent_takes_nothing_of_others_along(
    monkeypatch: pytest.MonkeyPatch, may_remove: tuple[str, ...], faults: int
) -> None:
    monkeypatch.setattr(driver_results, "depending", ["libcuda-user"])
    plan = make(finished_node(V525), purge, state="absent", may_remove=may_remove)
    assert len(plan["faults"]) == faults
    assert all("apt would remove libcuda-user too" in fault for fault in plan["faults"])
    assert bool(plan["steps"]) is not faults


def test_an_installation_that_would_remove_something_else_is_refused(resolve: Callable[[Any], None]) -> None:
    resolve(replace(TARGET, transaction=replace(MOVES, remove=(*MOVES.remove, Move("nvidia-raid-config", "1", None)))))
    plan = make(bare_node())
    assert (plan["steps"], len(plan["faults"])) == ([], 1)
    assert "apt would remove nvidia-raid-config too" in plan["faults"][0]
    assert make(bare_node(), may_remove=("nvidia-raid-*",))["faults"] == []


def test_what_is_tried_is_what_is_done(resolve: Callable[[Any], None]) -> None:
    """The packages that must go are named in the command that is run, as in the one that is simulated."""
    resolve(replace(TARGET, leaving=("nvidia-utils-515",)))
    (install,) = [step for step in make(bare_node())["steps"] if step["name"] == "install"]
    assert install["data"]["apt_get"] == install_arguments([*package_plan(V525).install, "nvidia-utils-515-"])


def test_a_pending_reboot_stands_before_the_problems() -> None:
    finished = finished_node(V525)
    state = replace(finished, kernel_module=replace(finished.kernel_module, version="525.105.17"))
    plan = make(state, reboot="never")
    assert plan["steps"] == []
    assert plan["reboot_pending"] == f"driver 525.105.17 is loaded, {V525} is installed"
    assert plan["problems"] == []
    assert plan["node"]["driver"]["reboot_pending"] is True


def test_with_nothing_left_to_do_the_problems_show() -> None:
    finished = finished_node(V525)
    sick = replace(finished.smi.gpus[0], ecc_uncorrected_count=2)
    plan = make(replace(finished, smi=replace(finished.smi, gpus=(sick,))))
    assert len(plan["problems"]) == 1
    assert plan["node"]["problems"] == plan["problems"]


@pytest.mark.parametrize(
    ("sick", "code", "place"),
    [
        ({"remapped_rows_failure": True}, "row_remap_failure", "problems"),
        ({"remapped_rows_pending": True}, "memory_retirement_pending", "warnings_found"),
    ],
)
def test_errors_are_problems_and_warnings_are_not(sick: dict[str, Any], code: str, place: str) -> None:
    finished = finished_node(V525)
    gpu = replace(finished.smi.gpus[0], **sick)
    plan = make(replace(finished, smi=replace(finished.smi, gpus=(gpu,))))
    assert [fault["code"] for fault in plan["health"]] == [code]
    assert plan["node"]["health"] == plan["health"]
    assert plan["problems"] == ([plan["health"][0]["message"]] if place == "problems" else [])
    assert (place == "warnings_found") is (plan["health"][0]["message"] in plan["warnings_found"])


SICK_BEFORE = {"ecc_uncorrected_count": 2}


def with_gpu(node: NodeState, **sick: Any) -> NodeState:
    return replace(node, smi=replace(node.smi, gpus=(replace(node.smi.gpus[0], **sick),)))


def after_change(before: NodeState, now: NodeState) -> dict[str, Any]:
    """The proof of a change of the first node that led to the second."""
    now = replace(now, files={**now.files, driver_files.BEFORE: driver_before.render(before)})
    wanted = Wanted(drain="never")
    return driver_result.make(never, now, wanted, SUPPORTED, after_change=True)


SOUND = finished_node(V525)
UNLOADED = replace(SOUND, smi=SmiReport("driver_not_loaded"))
DEAD = replace(SOUND, smi=SmiReport("timeout"))
#: How the GPU was before the change, how it is after it, code of what fails, code of what is excused
PROOFS = [
    (SOUND, SOUND, [], []),
    (with_gpu(SOUND, **SICK_BEFORE), with_gpu(SOUND, ecc_uncorrected_count=5), [], ["ecc_uncorrected"]),
    (SOUND, with_gpu(SOUND, **SICK_BEFORE), ["ecc_uncorrected"], []),
    (with_gpu(SOUND, **SICK_BEFORE), with_gpu(SOUND, remapped_rows_failure=True), ["row_remap_failure"], []),
    (bare_node(), with_gpu(SOUND, **SICK_BEFORE), ["ecc_uncorrected"], []),
    (DEAD, DEAD, ["smi_timeout"], []),
    (UNLOADED, UNLOADED, ["smi_driver_not_loaded"], []),
    (with_gpu(SOUND, lost=True), with_gpu(SOUND, lost=True), ["gpu_lost"], []),
    (with_gpu(SOUND, persistence_enabled=None), SOUND, [], []),
]


@pytest.mark.parametrize(("before", "now", "failing", "excused"), PROOFS)
def test_only_a_hardware_fault_of_one_gpu_that_was_there_before_is_excused(
    before: NodeState, now: NodeState, failing: list[str], excused: list[str]
) -> None:
    plan = after_change(before, now)
    coded = {fault["message"]: fault["code"] for fault in plan["health"]}
    assert [coded[sentence] for sentence in plan["failures"]] == failing
    assert [coded[sentence] for sentence in plan["known_problems"]] == excused
    assert [f"known before the change: {sentence}" for sentence in plan["known_problems"]] == plan["warnings_found"]
    assert plan["problems"] == plan["node"]["problems"]
    assert plan["steps"] == []


def test_of_two_gpus_that_were_not_in_the_driver_before_both_are_excused_but_not_all() -> None:
    other = replace(SOUND.pci[0], address="0000:af:00.0")
    one_missing = replace(SOUND, pci=(*SOUND.pci, other))
    assert after_change(one_missing, one_missing)["failures"] == []
    all_lost = replace(one_missing, smi=with_gpu(SOUND, lost=True).smi)
    assert len(after_change(all_lost, all_lost)["failures"]) == 2


@pytest.mark.parametrize(
    ("sick", "failing"), [(SICK_BEFORE, 0), ({"recovery_action": "Reset"}, 0), ({"lost": True}, 1)]
)
def test_without_a_change_an_old_fault_of_one_gpu_fails_nothing_and_is_said(sick: dict[str, Any], failing: int) -> None:
    plan = make(with_gpu(finished_node(V525), **sick))
    assert (len(plan["failures"]), len(plan["problems"])) == (failing, 1)
    assert all("of the hardware, not of this run" in warning for warning in plan["warnings_found"])
    assert len(plan["warnings_found"]) == 1 - failing


@pytest.mark.parametrize("text", ["", "null", "[]", "{", '{"gpus": 3}', '{"gpus": [7], "faults": []}'])
def test_a_memory_that_cannot_be_read_excuses_nothing(text: str) -> None:
    now = with_gpu(SOUND, **SICK_BEFORE)
    plan = make(replace(now, files={**now.files, driver_files.BEFORE: text}))
    assert len(plan["failures"]) == 1


WAITS = [
    # what is wrong after the change, whether it may pass by itself, whether going back could mend it
    (SOUND, False, True),
    (UNLOADED, True, True),
    (with_gpu(SOUND, **SICK_BEFORE), False, True),
    (replace(SOUND, smi=SmiReport("version_mismatch")), False, True),
    (with_gpu(SOUND, mig_mode_current=False), True, False),
    (with_gpu(SOUND, mig_mode_current=False, ecc_uncorrected_count=1), False, True),
]


@pytest.mark.parametrize(("now", "waits", "mended"), WAITS)
def test_what_may_pass_is_waited_for_unless_something_else_will_not(now: NodeState, waits: bool, mended: bool) -> None:
    plan = after_change(
        with_gpu(SOUND, mig_mode_current=True), with_gpu(now, mig_mode_current=True) if now is SOUND else now
    )
    assert plan["waiting_for"] == (plan["failures"] if waits else [])
    assert bool(plan["waiting_for"]) is waits
    assert plan["mended_by_going_back"] is mended


def test_what_was_before_is_remembered_where_something_is_disturbed(resolve: Callable[[Any], None]) -> None:
    assert make(SOUND)["before"] is None  # nothing to do
    resolve(TARGET)
    sick = with_gpu(finished_node("525.105.17"), **SICK_BEFORE)
    text = make(sick, version=V525)["before"]
    told = driver_before.read(replace(SOUND, files={**SOUND.files, driver_files.BEFORE: text}))
    assert told is not None
    assert [gpu.pci_address for gpu in told.gpus] == ["0000:18:00.0"]
    assert [fault.code for fault in told.faults] == ["ecc_uncorrected"]
    changing = replace(sick, files={**sick.files, driver_files.BEFORE: text})
    assert make(changing, version=V525)["before"] is None  # the first memory stays
    assert make(SOUND, purge, state="absent")["before"] is None


def test_a_memory_that_an_interrupted_run_left_is_settled_by_a_proof() -> None:
    left = replace(SOUND, files={**SOUND.files, driver_files.BEFORE: driver_before.render(SOUND)})
    plan = make(left)
    assert (names(plan), plan["failures"]) == (["settle"], [])
    assert after_change(SOUND, SOUND)["steps"] == []


def test_another_number_of_gpus_than_expected_is_refused_before_anything_changes(
    resolve: Callable[[Any], None],
) -> None:
    resolve(TARGET)
    plan = make(bare_node(), gpus_expected=8)
    assert plan["faults"][0].startswith("Wanted: 8 GPUs (driver_gpus_expected). Found: 1: 0000:18:00.0")
    assert plan["steps"] == []
    assert make(bare_node(), gpus_expected=1)["faults"] == []
