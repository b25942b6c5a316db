# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put everything together that a person should know of a node: what the proof knows, and what it does not. Pure.

Every code has a section in docs/doctor.md. Sources: nvidia-container-toolkit issues 48 and 1227 (containers lose their GPUs on
``systemctl daemon-reload`` where systemd cannot resolve ``/dev/char`` links); the manual of unattended-upgrades (held packages stay).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._doctor import xid
from ansible_collections.t9k.gpu.plugins.module_utils._doctor.seen import Seen
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import installed as driver_installed
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._linux.secure_boot import ENROLLED
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import health
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import ERROR, WARNING, Fault, GpuId


def findings(state: NodeState, seen: Seen, plan: Mapping[str, Any]) -> tuple[Fault, ...]:
    """Return every finding once, errors first. ``plan``: what ``nvidia_driver_plan`` returned; empty where it could not."""
    proved = tuple(Fault.of(each) for each in plan.get("health", ()))
    known = {fault.key for fault in proved}
    told = (
        *proved,  # empty while a step is due, so the GPUs are judged here too
        *(fault for fault in health.judge(state.pci, state.kernel_module, state.smi) if fault.key not in known),
        *_plan(plan),
        *_log(state, seen),
        *_packages(state, seen),
        *_rivals(state, seen),
        *_signing(state),
        *_runtime(seen),
        *_links(state),
    )
    return tuple(sorted(told, key=lambda fault: fault.severity != ERROR))


def table(node: str, found: Iterable[Fault]) -> list[str]:
    """Return one line for each finding."""
    return [f"{node}  {fault.severity:7}  {fault.code}  {fault}" for fault in found]


def _plan(plan: Mapping[str, Any]) -> Iterator[Fault]:
    if not plan or (plan.get("failed") and "faults" not in plan):
        found = str(plan.get("msg", "no plan could be made"))
        yield Fault("plan_failed", ERROR, found, "run the playbook driver.yml with --check and see why")
    for fault in plan.get("faults", ()):
        yield Fault("plan_refused", ERROR, str(fault).rstrip("."), "mend it, or change what is wanted")
    if plan.get("steps"):
        names = ", ".join(step["name"] for step in plan["steps"])
        found = f"the node is not as it is wanted; the role driver would do: {names}"
        yield Fault("drift", WARNING, found, "run the playbook driver.yml, with --check first")
    if plan.get("reboot_pending"):
        yield Fault(
            "reboot_pending", WARNING, f"a reboot is due: {plan['reboot_pending']}", "drain and reboot the node"
        )
    known = set(plan.get("known_problems", ()))
    for said in plan.get("warnings_found", ()):
        if not any(said.endswith(each) for each in known):
            yield Fault("plan_warning", WARNING, str(said).rstrip("."), "see docs/driver.md")


def _log(state: NodeState, seen: Seen) -> Iterator[Fault]:
    if seen.log is None:
        yield Fault("log_unreadable", WARNING, "neither journalctl nor dmesg shows a kernel log", "look as root")
        return
    yield from xid.faults(seen.log, state.pci)


def _packages(state: NodeState, seen: Seen) -> Iterator[Fault]:
    if state.driver is None:
        return
    wanted = set(driver_installed.hold_set(state.packages, state.system.kernel_release))
    loose = sorted(package.label for package in state.packages if package.label in wanted and not package.held)
    if not loose:
        return
    said = f"{len(loose)} packages of the driver are not held: {', '.join(loose)}"
    yield Fault("packages_unheld", WARNING, said, "run the role driver with driver_hold, or apt-mark hold them")
    if seen.unattended and not state.files.get(driver_files.UNATTENDED):
        found = f"unattended-upgrades runs here, and nothing keeps it from {len(loose)} packages of the driver"
        remedy = "hold them, or set driver_unattended_exclusion"
        yield Fault("unattended_upgrades", WARNING, found, remedy)


def _rivals(state: NodeState, seen: Seen) -> Iterator[Fault]:
    if state.rival_bound:
        found = f"{state.rival_bound} holds a GPU, so NVIDIA's module cannot"
        yield Fault("rival_bound", ERROR, found, "run the role driver with driver_blacklist, and reboot")
    elif seen.rivals:
        found = f"the kernel module {', '.join(seen.rivals)} is loaded, and may take a GPU at the next boot"
        yield Fault("rival_loaded", WARNING, found, "run the role driver with driver_blacklist, and reboot")


def _signing(state: NodeState) -> Iterator[Fault]:
    driver, secure_boot = state.driver, state.system.secure_boot
    if secure_boot.on and driver and driver.module_build == "dkms" and secure_boot.key != ENROLLED:
        found = f"Secure Boot is on, and the key that dkms signs with ({secure_boot.certificate}) is {secure_boot.key}"
        remedy = (
            f"use pre-built modules (driver_module_build), or enrol the key: mokutil --import {secure_boot.certificate}"
        )
        yield Fault("secure_boot", ERROR, found, remedy)


def _runtime(seen: Seen) -> Iterator[Fault]:
    if seen.systemd_cgroups and seen.missing_links and not seen.cdi:
        found = (
            f"{seen.systemd_cgroups} has systemd make the cgroups, {', '.join(seen.missing_links)} are missing and there "
            "is no CDI specification: systemctl daemon-reload takes the GPUs from running containers"
        )
        yield Fault(
            "daemon_reload", WARNING, found, "nvidia-ctk system create-dev-char-symlinks --create-all, or use CDI"
        )


def _links(state: NodeState) -> Iterator[Fault]:
    for gpu in state.smi.gpus:
        now, most = gpu.pcie_link_width_current, gpu.pcie_link_width_max
        if now and most and now < most:
            who = GpuId(gpu.index, gpu.pci_address, gpu.uuid)
            found = f"its PCIe link has {now} lanes, {most} are possible"
            remedy = "look again while the GPU works, since an idle link may be narrower; then see seat, riser and slot"
            yield Fault("pcie_width", WARNING, found, remedy, who, True)
