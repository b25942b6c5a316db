"""The way out: what goes with the driver, and the kernels that are let go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from node_builder import KERNEL, bare_node, finished_node, package_plan

from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import plan as driver_plan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._gsp.facts import DEFAULT_PATH
from ansible_collections.t9k.gpu.plugins.module_utils._linux import modprobe
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step

WANTED = Wanted(drain="never")
V525 = "525.147.05"
GSP_LINE = "options nvidia NVreg_EnableGpuFirmware=0\n"
OTHER_LINE = "options nvidia NVreg_RegistryDwords=RMx=1\n"
FINISHED = finished_node(V525)


def names(steps: Sequence[Step]) -> list[str]:
    return [step.name for step in steps]


def target(version: str = V525, packages: bool = True, **rest: object) -> Target:
    return Target(version, "proprietary", package_plan(version) if packages else None, **rest)  # type: ignore[arg-type]


def changed(**fields: object) -> NodeState:
    return replace(finished_node(V525), **fields)  # type: ignore[arg-type]


def remembered(status: str) -> NodeState:
    """A node where dpkg still knows a package of a driver that was there."""
    former = Package("nvidia-utils-525-server", "amd64", "1", "deinstall", status)
    return replace(bare_node(), packages=(*bare_node().packages, former))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (FINISHED, ["remove", "files", "initramfs", "reboot"]),
        (bare_node(), []),
        (replace(bare_node(), files={**bare_node().files, driver_files.PREFERENCES: "x"}), ["files"]),
        (replace(bare_node(), files={**bare_node().files, DEFAULT_PATH: GSP_LINE}), ["files", "initramfs"]),
        (replace(bare_node(), files={**bare_node().files, DEFAULT_PATH: OTHER_LINE}), []),
        (remembered("config-files"), ["remove"]),  # its configuration is still there
        (remembered("not-installed"), []),
    ],
)
def test_absent(state: NodeState, expected: list[str]) -> None:
    assert names(driver_plan.plan(state, replace(WANTED, state="absent"), None)) == expected


def test_absent_takes_ours_and_only_ours() -> None:
    steps = {step.name: step for step in driver_plan.plan(FINISHED, replace(WANTED, state="absent"), None)}
    assert {file["path"] for file in steps["files"].data["files"]} == {modprobe.BLACKLIST_PATH}
    assert "openssh-server" not in steps["remove"].data["packages"]


def test_absent_takes_our_option_under_either_name_of_the_module() -> None:
    """Debian's module is nvidia-current; a file written before the driver came names nvidia."""
    state = replace(bare_node(), files={**bare_node().files, DEFAULT_PATH: GSP_LINE})
    state = replace(state, gsp_facts=replace(state.gsp_facts, module_name="nvidia-current"))
    steps = driver_plan.plan(state, replace(WANTED, state="absent"), None)
    assert steps[0].data == {"files": [{"path": DEFAULT_PATH, "content": None}]}


def test_absent_leaves_what_others_wrote_beside_our_option() -> None:
    state = replace(bare_node(), files={**bare_node().files, DEFAULT_PATH: GSP_LINE + OTHER_LINE})
    steps = driver_plan.plan(state, replace(WANTED, state="absent"), None)
    assert steps[0].data == {"files": [{"path": DEFAULT_PATH, "content": OTHER_LINE}]}


PREBUILT, IMAGE, META = f"linux-modules-nvidia-525-server-{KERNEL}", f"linux-image-{KERNEL}", "linux-image-generic"


def with_held_kernels(record: str | None) -> NodeState:
    """Pre-built modules, their kernel and a metapackage on hold, of which ``record`` names what we put there."""
    more = tuple(Package(name, "amd64", "1", "hold", "installed") for name in (PREBUILT, IMAGE, META, "linux-base"))
    files = {**FINISHED.files, driver_files.HELD_KERNELS: record}
    return changed(packages=(*FINISHED.packages, *more), files=files)


RECORDS = [
    # our record, what is let go with the driver
    (f"{IMAGE}\n{META}\n", [IMAGE, META]),
    (f"{IMAGE}\n", [IMAGE]),  # the metapackage was on hold before we came: an administrator's
    (None, []),
    ("linux-image-gone\n", []),
]


@pytest.mark.parametrize(("record", "released"), RECORDS)
def test_absent_releases_the_kernels_that_we_hold_and_no_others(record: str | None, released: list[str]) -> None:
    steps = driver_plan.plan(with_held_kernels(record), replace(WANTED, state="absent"), None)
    assert steps[0].data["release"] == released
    assert PREBUILT in steps[0].data["packages"]


@pytest.mark.parametrize(("record", "released"), RECORDS)
@pytest.mark.parametrize("coming", ["dkms", "prebuilt"])
def test_an_installation_with_dkms_releases_the_kernels_that_we_hold(
    coming: str, record: str | None, released: list[str]
) -> None:
    """With dkms any kernel will do; pre-built modules keep the one that they are made for."""
    packages = replace(package_plan("535.54.03"), module_build=coming)
    goal = Target("535.54.03", "proprietary", packages, leaving=(PREBUILT,))
    steps = driver_plan.plan(with_held_kernels(record), WANTED, goal)
    (install,) = [step for step in steps if step.name == "install"]
    let_go = released if coming == "dkms" else []
    assert install.data["release"] == [PREBUILT, *let_go]


@pytest.mark.parametrize(("record", "released"), RECORDS)
def test_without_a_hold_only_what_we_hold_is_released(record: str | None, released: list[str]) -> None:
    steps = driver_plan.plan(with_held_kernels(record), replace(WANTED, hold=False), target(packages=False))
    (hold,) = [step for step in steps if step.name == "hold"]
    driver = sorted([*(p.label for p in FINISHED.packages if p.held), PREBUILT])
    assert hold.data["packages"] == [*driver, *released]
