"""Faults, steps, health and summary put together: what stops what, and what the diff says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from node_builder import bare_node, finished_node, package_plan
from role_tables import role_support

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result, Run
from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Move, Transaction, install_arguments
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import result as driver_result
from ansible_collections.t9k.gpu.plugins.module_utils._driver import target as driver_target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.support import Support
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._linux import modprobe

SUPPORTED = {"ubuntu-22.04": {"branch": "525"}}
V525 = "525.147.05"
MOVES = Transaction(
    install=(Move("nvidia-utils", None, "2"), Move("libnvidia", None, "2")),
    upgrade=(Move("nvidia-dkms", "1", "2"),),
    remove=(Move("nvidia-utils-515", "1", None),),
)
TARGET = Target(V525, "proprietary", package_plan(V525), transaction=MOVES)


def never(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
    raise AssertionError(argv)


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Target | GpuError], None]:
    """Decides what comes of asking apt."""

    def set_answer(answer: Target | GpuError) -> None:
        def answered(*_arguments: Any) -> Target:
            if isinstance(answer, GpuError):
                raise answer
            return answer

        monkeypatch.setattr(driver_target, "resolve", answered)

    return set_answer


def purge(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
    """apt takes what it is told and, as a stand-in for a package that depends on the driver, one more."""
    assert argv[:4] == ["apt-get", "-s", "-q", "purge"]
    taken = [word for word in argv if word.endswith("-server")]
    return Result(tuple(argv), 0, "".join(f"Purg {name} [1]\n" for name in (*taken, *depending)), "")


depending: list[str] = []


def make(node: NodeState, run: Run = never, support: Support | None = None, **wanted: Any) -> dict[str, Any]:
    return driver_result.make(run, node, Wanted(drain="never", **wanted), SUPPORTED, support or Support())


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
    ("may_remove", "faults"), [((), 1), (("cuda-drivers-x",), 1), (("libcuda-user",), 0), (("*",), 0)]
)
def test_absent_takes_nothing_of_others_along(
    monkeypatch: pytest.MonkeyPatch, may_remove: tuple[str, ...], faults: int
) -> None:
    monkeypatch.setitem(globals(), "depending", ["libcuda-user"])
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
    told = {"problems": plan["problems"], "warnings_found": plan["warnings_found"]}
    assert {key: value for key, value in told.items() if value} == {place: [plan["health"][0]["message"]]}


def diffs(plan: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {entry["before_header"][: -len(" (before)")]: (entry["before"], entry["after"]) for entry in plan["diff"]}


def test_the_diff_of_an_installation(resolve: Callable[[Any], None]) -> None:
    resolve(TARGET)
    found = diffs(make(bare_node()))
    assert list(found) == [modprobe.BLACKLIST_PATH, "packages", "hold", "initramfs", "reboot"]
    assert found[modprobe.BLACKLIST_PATH] == ("", modprobe.render_blacklist())
    assert found["packages"] == ("nvidia-dkms 1\nnvidia-utils-515 1\n", "libnvidia 2\nnvidia-dkms 2\nnvidia-utils 2\n")
    assert found["reboot"] == ("", "the new driver is loaded at boot\n")


def test_the_diff_of_a_removal() -> None:
    found = diffs(make(finished_node(V525), purge, state="absent"))
    before, after = found["packages"]
    assert f"nvidia-dkms-525-server {V525}-0ubuntu1" in before.splitlines()
    assert after == ""
    assert found[modprobe.BLACKLIST_PATH] == (modprobe.render_blacklist(), "")


def test_no_diff_has_a_password_of_a_source() -> None:
    finished = finished_node(V525)
    text = "Types: deb\nURIs: https://user:secret@mirror.example/\nSuites: jammy\nComponents: restricted\n"
    plan = make(replace(finished, files={**finished.files, driver_files.SOURCES: text}))
    assert "https://mirror.example/" in str(plan["diff"]) and "secret" not in str(plan["diff"])


def test_the_diff_of_a_file_that_changes() -> None:
    finished = finished_node(V525)
    state = replace(finished, files={**finished.files, driver_files.PREFERENCES: "old\n"})
    assert diffs(make(state, pin=True)) == {driver_files.PREFERENCES: ("old\n", driver_files.preferences(V525))}
