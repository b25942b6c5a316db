"""Each step whole: why, what it disturbs, and what the role's task file gets to do it with. Which steps, and when: test_plan.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
from node_builder import A40, KERNEL, UNIT, bare_node, finished_node, package_plan

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import (
    Move,
    Transaction,
    install_arguments,
    purge_arguments,
)
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package
from ansible_collections.t9k.gpu.plugins.module_utils._debian.sources import Entry
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import plan as driver_plan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import EVERYTHING, GPU_WORK, Target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._gsp.facts import DEFAULT_PATH, OPTION
from ansible_collections.t9k.gpu.plugins.module_utils._linux import modprobe
from ansible_collections.t9k.gpu.plugins.module_utils._linux.modprobe import Setting
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.fabric import Fabric
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step

V525, V535 = "525.147.05", "535.54.03"
WANTED, ABSENT = Wanted(drain="never"), Wanted(drain="never", state="absent")
BARE, FINISHED = bare_node(), finished_node(V525)
INTERRUPTED = "dpkg was interrupted, and apt refuses to work until it has finished"
BLACKLIST, PREFERENCES = modprobe.BLACKLIST_PATH, driver_files.PREFERENCES
ENTRY = Entry(("https://mirror.example",), ("jammy", "jammy-updates"), ("restricted",), "/key.asc")
RELEASES = ("5.15.0-91-generic", "5.15.0-92-generic")


def changed(state: NodeState = FINISHED, **fields: object) -> NodeState:
    return replace(state, **fields)  # type: ignore[arg-type]


def system(state: NodeState = FINISHED, **fields: object) -> NodeState:
    return replace(state, system=replace(state.system, **fields))  # type: ignore[arg-type]


def files(state: NodeState = FINISHED, **texts: str) -> NodeState:
    """The node with these texts in files of ours, named as ``_driver.files`` names them."""
    return replace(state, files={**state.files, **{getattr(driver_files, name): text for name, text in texts.items()}})


def packages(state: NodeState, *more: Package) -> NodeState:
    return replace(state, packages=(*state.packages, *more))


def last_package(state: NodeState = FINISHED, **fields: object) -> NodeState:
    *rest, last = state.packages
    return replace(state, packages=(*rest, replace(last, **fields)))  # type: ignore[arg-type]


def module(**fields: object) -> NodeState:
    return changed(kernel_module=replace(FINISHED.kernel_module, **fields))  # type: ignore[arg-type]


def gpu(**fields: object) -> NodeState:
    gpus = tuple(replace(each, **fields) for each in FINISHED.smi.gpus)  # type: ignore[arg-type]
    return changed(smi=replace(FINISHED.smi, gpus=gpus))


def target(version: str = V525, coming: bool = False, **rest: object) -> Target:
    return Target(version, "proprietary", package_plan(version) if coming else None, **rest)  # type: ignore[arg-type]


PLAN = package_plan(V535)
DEBS = replace(PLAN, install=("/debs/a.deb", "/debs/b.deb"))
MOVES = Transaction(upgrade=(Move("a", "1", "2"),), download_bytes=7)
OFF = replace(
    UNIT, fragment=replace(UNIT.fragment, text=UNIT.fragment.text.replace("nvpd", "nvpd --no-persistence-mode"))
)
KEPT = Setting("nvidia", OPTION, "0", DEFAULT_PATH, 1)
TWO = sorted(package.label for package in FINISHED.packages[1:3])
GSP_LINE = f"options nvidia {OPTION}=0\n"

STEPS: list[tuple[str, NodeState, Wanted, Target | None, Step]] = [
    ("packages left half done", last_package(status="unpacked"), WANTED, target(),
     Step("repair", "dpkg was interrupted: xserver-xorg-video-nvidia-525-server half installed", GPU_WORK,
          {"reinstall": [], "apt_get": install_arguments(["--reinstall"])})),
    ("several left half done", changed(packages=tuple(replace(p, status="unpacked") if "-gl-" in p.name or "-cfg1-" in p.name
                                                      else p for p in FINISHED.packages)), WANTED, target(),
     Step("repair", "dpkg was interrupted: libnvidia-cfg1-525-server, libnvidia-gl-525-server half installed", GPU_WORK, {})),
    ("a journal before an installation", system(BARE, dpkg_interrupted=True), WANTED, target(coming=True),
     Step("repair", INTERRUPTED, "", {"reinstall": [], "apt_get": install_arguments(["--reinstall"])})),
    ("a journal before a removal", system(dpkg_interrupted=True), ABSENT, None,
     Step("repair", INTERRUPTED, "", {"reinstall": [], "apt_get": install_arguments(["--reinstall"])})),
    ("files", BARE, replace(WANTED, pin=True), target(),
     Step("files", f"{PREFERENCES}, {BLACKLIST} not as wanted", "", {"files": [
         {"path": PREFERENCES, "content": driver_files.preferences(V525)},
         {"path": BLACKLIST, "content": modprobe.render_blacklist()}]})),
    ("a source that is not wanted any more", files(SOURCES="Types: deb\n"), WANTED, target(),
     Step("files", f"{driver_files.SOURCES} not as wanted", "", {"files": [{"path": driver_files.SOURCES, "content": None}]})),
    ("a source", FINISHED, WANTED, target(sources={driver_files.SOURCES: ENTRY}),
     Step("sources", f"{driver_files.SOURCES} must add https://mirror.example jammy jammy-updates, by way of python3-debian", "",
          {"entries": [{"name": "t9k-gpu-driver", "uris": ["https://mirror.example"], "suites": ["jammy", "jammy-updates"],
                        "components": ["restricted"], "signed_by": "/key.asc"}], "needs": ["python3-debian"],
           "logins": []})),
    ("an installation", BARE, WANTED, target(V535, coming=True, transaction=MOVES),
     Step("install", "driver none installed, 535.54.03 wanted", GPU_WORK,
          {"packages": list(PLAN.install), "apt_get": install_arguments(PLAN.arguments(())), "local": False,
           "release": [], "keep": None, "transaction": MOVES.to_dict()})),
    ("another driver, and packages that leave", FINISHED, WANTED, target(V535, coming=True, leaving=("a", "b")),
     Step("install", "driver 525.147.05 installed, 535.54.03 wanted", GPU_WORK,
          {"apt_get": install_arguments(PLAN.arguments(("a", "b"))), "release": ["a", "b"]})),
    ("an installation from a folder", BARE, WANTED, replace(target(V535), packages=DEBS),
     Step("install", "driver none installed, 535.54.03 wanted", GPU_WORK, {"packages": ["/debs/a.deb", "/debs/b.deb"], "local": True})),
    ("a driver that lacks one thing", FINISHED, WANTED, target(coming=True, gaps=("a",)),
     Step("install", "driver 525.147.05 is not whole: a", GPU_WORK, {})),
    ("a driver that lacks three things", FINISHED, WANTED, target(coming=True, gaps=("a", "b", "c")),
     Step("install", "driver 525.147.05 is not whole: a, b, c", GPU_WORK, {})),
    ("a driver that lacks four things", FINISHED, WANTED, target(coming=True, gaps=("a", "b", "c", "d")),
     Step("install", "driver 525.147.05 is not whole: a, b, c and 1 more", GPU_WORK, {})),
    ("a hold after an installation", BARE, WANTED, target(V535, coming=True),
     Step("hold", "the packages of driver 535.54.03 must not drift", "", {"state": "held", "kernels": False})),
    ("a hold that is missing", last_package(want="install"), WANTED, target(),
     Step("hold", "not held: xserver-xorg-video-nvidia-525-server", "", {"state": "held", "kernels": False})),
    ("holds that are missing", changed(packages=tuple(replace(p, want="install") for p in FINISHED.packages
                                                      if "-gl-" in p.name or "-cfg1-" in p.name)), WANTED, target(),
     Step("hold", "not held: libnvidia-cfg1-525-server, libnvidia-gl-525-server", "", {"state": "held", "kernels": False})),
    ("holds that are not wanted", changed(packages=tuple(p for p in FINISHED.packages if "-gl-" in p.name or "-cfg1-" in p.name)),
     replace(WANTED, hold=False), target(),
     Step("hold", "held, but no hold is wanted: libnvidia-cfg1-525-server, libnvidia-gl-525-server", "",
          {"state": "unheld", "packages": ["libnvidia-cfg1-525-server", "libnvidia-gl-525-server"]})),
    ("pre-built modules without a hold on their kernel",
     packages(FINISHED, Package(f"linux-modules-nvidia-525-server-{KERNEL}", "amd64", "1", "hold", "installed"),
              Package(f"linux-image-{KERNEL}", "amd64", "1", "install", "installed")), WANTED, target(),
     Step("hold", f"not held: linux-image-{KERNEL}", "", {"state": "held", "kernels": False})),
    ("a fabric manager", changed(fabric=Fabric("NVSwitch")), WANTED, target(),
     Step("fabric", "nvidia-fabricmanager.service does not start at boot, and this machine has an NVSwitch fabric", "", {"start": True})),
    ("GSP off", FINISHED, replace(WANTED, gsp="disabled"), target(),
     Step("gsp", "GSP firmware is to be disabled", "",
          {"mode": "disabled", "driver_version": V525, "kernel_modules": "proprietary"})),
    ("GSP back to the driver's choice",
     changed(files(), gsp_facts=replace(FINISHED.gsp_facts, settings=(KEPT,), architectures=("Hopper",))), WANTED,
     target("550.54.14"), Step("gsp", "GSP stays as the driver has it: GPUs of architecture Hopper", "", {"mode": "auto"})),
    ("a vendor's unit that is to come", BARE, WANTED, target(coming=True, vendor_persistence_off=True),
     Step("persistence", "the vendor's unit will start with --no-persistence-mode", "", {"switch": False})),
    ("a vendor's unit that is there", changed(persistenced=OFF), WANTED, target(),
     Step("persistence", "without this drop-in the command is /usr/bin/nvidia-persistenced --user nvpd --no-persistence-mode",
          "", {"switch": False})),
    ("a daemon that is not enabled", changed(persistenced_enabled=False), WANTED, target(),
     Step("persistence", "nvidia-persistenced.service is not enabled", "", {"switch": False})),
    ("persistence off on a GPU", gpu(persistence_enabled=False), WANTED, target(),
     Step("persistence", "persistence mode is off on a GPU", "", {"switch": True})),
    ("options that change", system(BARE, initramfs_releases=RELEASES), WANTED, target(),
     Step("initramfs", "module options changed", "", {"kernel_releases": list(RELEASES)})),
    ("options that changed", changed(system(initramfs_releases=RELEASES), modprobe_mtime=3000.0), WANTED, target(),
     Step("initramfs", "an initramfs is older than the module options", "", {"kernel_releases": list(RELEASES)})),
    ("a boot for a new driver", BARE, WANTED, target(coming=True),
     Step("reboot", "the new driver is loaded at boot", EVERYTHING, {"mark": f"{V525}/proprietary default the-boot"})),
    ("a boot for an option", FINISHED, replace(WANTED, gsp="disabled"), target(),
     Step("reboot", "the kernel module takes its options at boot", EVERYTHING, {"mark": f"{V525}/proprietary 0 the-boot"})),
    ("a boot without the driver", FINISHED, ABSENT, None,
     Step("reboot", "the removed driver is still loaded", EVERYTHING, {"mark": "none default the-boot"})),
    ("a driver that was removed and still runs", changed(BARE, kernel_module=FINISHED.kernel_module), ABSENT, None,
     Step("reboot", f"driver {V525} is still loaded", EVERYTHING, {})),
    ("a driver that is not loaded", module(loaded=False), WANTED, target(),
     Step("reboot", f"driver {V525} is installed but not loaded", EVERYTHING, {})),
    ("a former driver that runs", module(version="525.105.17"), WANTED, target(),
     Step("reboot", f"driver 525.105.17 is loaded, {V525} is installed", EVERYTHING, {})),
    ("other modules that run", module(kernel_modules="open"), WANTED, target(),
     Step("reboot", "open modules are loaded, proprietary ones are installed", EVERYTHING, {})),
    ("a rival", changed(pci=(replace(A40, driver="nouveau"),)), WANTED, target(),
     Step("reboot", "nouveau holds a GPU", EVERYTHING, {})),
    ("an option that waits for its boot",
     changed(gsp_facts=replace(FINISHED.gsp_facts, settings=(KEPT,)), files={**FINISHED.files, DEFAULT_PATH: GSP_LINE}),
     replace(WANTED, gsp="disabled"), target(),
     Step("reboot", "the loaded driver runs with GSP on until the next boot", EVERYTHING,
          {"mark": f"{V525}/proprietary 0 the-boot"})),
    ("a removal", changed(packages=FINISHED.packages[:3]), ABSENT, None,
     Step("remove", "2 packages of the driver are there", GPU_WORK,
          {"packages": TWO, "apt_get": purge_arguments(TWO), "release": []})),
    ("files that go", files(PREFERENCES="x", UNATTENDED="y"), ABSENT, None,
     Step("files", f"ours, and no longer wanted: {BLACKLIST}, {PREFERENCES}, {driver_files.UNATTENDED}", "", {})),
    ("options that go", system(initramfs_releases=RELEASES), ABSENT, None,
     Step("initramfs", "module options changed", "", {"kernel_releases": list(RELEASES)})),
    ("a drain", FINISHED, replace(WANTED, drain="always"), target(V535, coming=True),
     Step("drain", f"the step install comes: {GPU_WORK}", "", {})),
    ("pods that come back", FINISHED, replace(WANTED, drain="always"), target(V535, coming=True),
     Step("uncordon", "the node was drained by this run", "", {})),
    ("pods that an earlier run kept away", files(CORDON_MARK="schedulable before\n"), WANTED, target(),
     Step("uncordon", "an earlier run drained the node and did not let it in again", "", {})),
    ("a change that was not proved", files(BEFORE="{}"), WANTED, target(),
     Step("settle", "an earlier run changed the node and did not prove it", "", {})),
]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "wanted", "goal", "expected"), [row[1:] for row in STEPS], ids=[row[0] for row in STEPS]
)
def test_a_step_is_whole(state: NodeState, wanted: Wanted, goal: Target | None, expected: Step) -> None:
    steps = {step.name: step for step in driver_plan.plan(state, wanted, goal)}
    found = steps[expected.name]
    assert (found.reason, found.disturbs) == (expected.reason, expected.disturbs)
    assert {key: found.data.get(key) for key in expected.data} == expected.data
