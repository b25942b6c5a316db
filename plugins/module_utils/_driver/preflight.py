# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say why a node cannot get the driver asked for: every fault at once, before any change. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Transaction
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target, gsp_verdict
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.support import Support
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._linux.secure_boot import ENROLLED, MISSING
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import version as versions

_NOTHING_KNOWN = Support()
#: A driver with its libraries unpacks to about 1 GiB, dkms builds need as much again.
NEEDED_MIB = 2048


def os_key(state: NodeState) -> str:
    """Return the key of the table of supported systems: ID and VERSION_ID of os-release, joined by a dash."""
    return f"{state.system.os_id}-{state.system.os_version}"


def privilege(state: NodeState) -> Iterator[GpuError]:
    if not state.system.as_root:
        yield GpuError("to act as root", "another user", "the play", "run with --become")


def faults(state: NodeState, supported: Mapping[str, Any]) -> Iterator[GpuError]:
    """Yield what the node itself tells."""
    yield from privilege(state)
    if os_key(state) not in supported:
        yield GpuError(
            f"an operating system of {', '.join(sorted(supported))}",
            f"{state.system.os_name} ({os_key(state)})",
            "/etc/os-release",
            "take the host out of the play, or install the driver by other means",
        )
    if state.foreign_driver:
        yield GpuError(
            "a driver from packages",
            state.foreign_driver,
            "the node's files",
            "remove that driver (nvidia-uninstall, driver.enabled=false in the operator, the provider's own way), boot, run again",
        )


def count(state: NodeState, wanted: Wanted) -> Iterator[GpuError]:
    """Refuse another number of GPUs than expected: it would fail the proof, so nothing is begun."""
    there = [device.address for device in state.gpus if not device.virtual_function]
    if wanted.gpus_expected and len(there) != wanted.gpus_expected:
        yield GpuError(
            f"{wanted.gpus_expected} GPUs (driver_gpus_expected)",
            f"{len(there)}: {', '.join(there) or 'none'}",
            "/sys/bus/pci/devices",
            "look for Xid messages in the kernel log and at the hardware, or set driver_gpus_expected to what the node has",
        )


def target_faults(
    state: NodeState, wanted: Wanted, target: Target, support: Support = _NOTHING_KNOWN
) -> Iterator[GpuError | str]:
    """Yield what only the chosen driver tells: GPUs it does not drive, room, signing, and GSP that may not be switched as asked."""
    yield from support.faults(state.gpus, versions.branch(target.driver_version), target.kernel_modules)
    if target.packages is not None:
        yield from target.packages.faults
        yield from removals(wanted, target.transaction)
        yield from _room(state)
        yield from _next_kernel(state, wanted, target)
        if target.packages.module_build == "dkms":
            yield from _signing(state)
    verdict = gsp_verdict(state, wanted, target)
    if verdict.action == "refuse":
        yield GpuError(verdict.reason, verdict.found, verdict.where, verdict.next_step)


def removals(wanted: Wanted, transaction: Transaction) -> Iterator[GpuError]:
    """Refuse what apt would take away with the driver, or for it: what is not the driver's goes with the user's consent only."""
    going = [move.name for move in transaction.remove if not names.goes_along(move.name)]
    refused = [name for name in going if not any(fnmatchcase(name, allowed) for allowed in wanted.may_remove)]
    if refused:
        yield GpuError(
            "nothing removed but packages of the driver",
            f"apt would remove {', '.join(refused)} too",
            "apt-get -s",
            "see what depends on the driver's packages; name these packages in driver_may_remove if they may go",
        )


def _next_kernel(state: NodeState, wanted: Wanted, target: Target) -> Iterator[GpuError]:
    """Refuse what ends in a reboot into another kernel that cannot have the module: pre-built ones come for the running kernel."""
    kernels, packages = state.kernels, target.packages
    if (
        kernels is None
        or packages is None
        or kernels.next.unsure
        or kernels.next.release == state.system.kernel_release
    ):
        return
    coming, same = kernels.next.release, state.driver and state.driver.driver_version == target.driver_version
    dkms = packages.module_build == "dkms"
    if (same and coming not in kernels.without) or (dkms and (kernels.headers or wanted.headers == "ignore")):
        return
    yield GpuError(
        f"driver {target.driver_version} for the kernel that boots next, {coming}",
        "no headers to build it with"
        if dkms
        else f"pre-built modules for {state.system.kernel_release}, which runs, only",
        kernels.next.where,
        f"install linux-headers-{coming}"
        if dkms
        else f"boot {coming} and run again, or have the running kernel boot again",
    )


def _room(state: NodeState) -> Iterator[GpuError]:
    if state.system.free_mib < NEEDED_MIB:
        yield GpuError(f"{NEEDED_MIB} MiB free on /", f"{state.system.free_mib} MiB", "statvfs /", "make room")


def _signing(state: NodeState) -> Iterator[GpuError]:
    """Refuse a module that the kernel would refuse: dkms makes and uses a key of its own where there is none, which nobody enrolled."""
    secure_boot = state.system.secure_boot
    if secure_boot.on and secure_boot.key != ENROLLED:
        there = secure_boot.key != MISSING
        yield GpuError(
            "an enrolled key to sign the dkms module with, since Secure Boot is on",
            "a key that is not enrolled" if there else "no key",
            secure_boot.certificate,
            f"{'enrol it' if there else 'make one and enrol it'} (mokutil --import {secure_boot.certificate}, then confirm "
            "at the console at the next boot), use pre-built signed modules (driver_module_build: prebuilt), or turn "
            "Secure Boot off",
        )
