"""Why a node cannot get the driver asked for: one row a fault, and all of them at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from node_builder import bare_node, finished_node, package_plan

from ansible_collections.t9k.gpu.plugins.module_utils._driver import preflight as driver_preflight
from ansible_collections.t9k.gpu.plugins.module_utils._driver.next_boot import Kernels
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._linux.boot import NextKernel
from ansible_collections.t9k.gpu.plugins.module_utils._linux.secure_boot import SecureBoot

SUPPORTED = {"ubuntu-22.04": {}, "debian-12": {}}
BARE = bare_node()
V525 = "525.147.05"
DKMS = Target(V525, "proprietary", package_plan(V525))
PREBUILT = replace(DKMS, packages=replace(package_plan(V525), module_build="prebuilt"))
IN_PLACE = replace(DKMS, packages=None)


def system(**fields: Any) -> NodeState:
    return replace(BARE, system=replace(BARE.system, **fields))


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (BARE, []),
        (system(os_version="18.04"), ["operating system of debian-12, ubuntu-22.04. Found: Ubuntu 22.04 (ubuntu-18.04)"]),
        (system(as_root=False), ["run with --become"]),
        (replace(BARE, foreign_driver="a .run installer"), ["Found: a .run installer"]),
        (replace(system(os_id="fedora"), foreign_driver="a .run installer"), ["(fedora-22.04)", "Found: a .run installer"]),
    ],
)  # fmt: skip
def test_faults(state: NodeState, expected: list[str]) -> None:
    found = [str(fault) for fault in driver_preflight.faults(state, SUPPORTED)]
    assert len(found) == len(expected)
    assert all(part in fault for part, fault in zip(expected, found))


NEXT = "5.15.0-200-generic"


def next_kernel(release: str = NEXT, unsure: str | None = None, **fields: Any) -> NodeState:
    return replace(BARE, kernels=Kernels(NextKernel(release, "grub.cfg", unsure), **{"without": (NEXT,), **fields}))


def with_driver(state: NodeState) -> NodeState:
    return replace(state, driver=finished_node(V525).driver)


@pytest.mark.parametrize(
    ("state", "wanted", "target", "expected"),
    [
        (next_kernel(), Wanted(), DKMS, f"next, {NEXT}. Found: no headers to build it with (grub.cfg). Next: install linux-headers-"),
        (next_kernel(), Wanted(), PREBUILT, f"next, {NEXT}. Found: pre-built modules for {BARE.system.kernel_release}, which runs"),
        (next_kernel(headers=True), Wanted(), DKMS, None),
        (next_kernel(headers=True), Wanted(), PREBUILT, "pre-built modules"),
        (next_kernel(), Wanted(headers="ignore"), DKMS, None),
        (next_kernel(), Wanted(), IN_PLACE, None),
        (next_kernel(unsure="no GRUB"), Wanted(), PREBUILT, None),
        (next_kernel(BARE.system.kernel_release), Wanted(), PREBUILT, None),
        (with_driver(next_kernel(without=())), Wanted(), PREBUILT, None),  # a part of this very version was missing
        (with_driver(next_kernel()), Wanted(), PREBUILT, "pre-built modules"),
        (next_kernel(without=()), Wanted(), PREBUILT, "pre-built modules"),  # a module of another version
    ],
)  # fmt: skip
def test_the_kernel_that_boots_next_can_have_the_module(
    state: NodeState, wanted: Wanted, target: Target, expected: str | None
) -> None:
    found = [str(fault) for fault in driver_preflight.target_faults(state, wanted, target)]
    assert len(found) == (expected is not None)
    assert expected is None or expected in found[0]


def locked(key: str, **fields: Any) -> NodeState:
    return system(secure_boot=SecureBoot(on=True, key=key), **fields)


@pytest.mark.parametrize(
    ("state", "wanted", "target", "expected"),
    [
        (BARE, Wanted(), DKMS, []),
        (system(free_mib=2048), Wanted(), DKMS, []),
        (system(free_mib=2047), Wanted(), DKMS, ["2048 MiB free on /. Found: 2047 MiB"]),
        (system(free_mib=0), Wanted(), IN_PLACE, []),
        (locked("missing"), Wanted(), DKMS, ["an enrolled key to sign the dkms module with, since Secure Boot is on. Found: no key"]),
        (locked("not enrolled"), Wanted(), DKMS, ["Found: a key that is not enrolled (/var/lib/dkms/mok.pub). Next: enrol it (mokutil"]),
        (locked("missing"), Wanted(), PREBUILT, []),
        (locked("missing"), Wanted(), IN_PLACE, []),
        (locked("enrolled"), Wanted(), DKMS, []),
        (system(secure_boot=SecureBoot(on=False, key="not enrolled")), Wanted(), DKMS, []),
        (BARE, Wanted(gsp="disabled"), DKMS, []),
        (BARE, Wanted(gsp="disabled", mig=True), DKMS, ["GSP firmware disabled. Found: MIG is wanted"]),
        (BARE, Wanted(gsp="disabled"), replace(DKMS, kernel_modules="open"), ["open kernel modules"]),
        (BARE, Wanted(gsp="disabled", vgpu=True), IN_PLACE, ["vGPU"]),
        (locked("missing", free_mib=1), Wanted(gsp="disabled", mig=True), DKMS, ["MiB free", "key to sign", "MIG"]),
    ],
)  # fmt: skip
def test_target_faults(state: NodeState, wanted: Wanted, target: Target, expected: list[str]) -> None:
    found = [str(fault) for fault in driver_preflight.target_faults(state, wanted, target)]
    assert len(found) == len(expected)
    assert all(part in fault for part, fault in zip(expected, found))


def test_the_packages_own_faults_come_first() -> None:
    packages = replace(package_plan(V525), faults=("Wanted: headers.",))
    found = list(driver_preflight.target_faults(system(free_mib=1), Wanted(), replace(DKMS, packages=packages)))
    assert str(found[0]) == "Wanted: headers."
    assert len(found) == 2
