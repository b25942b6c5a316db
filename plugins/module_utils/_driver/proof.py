# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find what is wrong with a node that has a driver: the proof after the plan is done. Pure.

Whether GPUs are well is judged in ``_nvidia.health``; here is what only a node with a wanted state, or with a state before, can
have wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._driver import before as driver_before
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._gsp import verdict as gsp_verdict
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import fabric as nvidia_fabric
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import health as nvidia_health
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import ERROR, Fault


@dataclass(frozen=True)
class Proof:
    """What is wrong, and what of it fails nothing since it was so before."""

    health: tuple[Fault, ...] = ()
    excused: tuple[Fault, ...] = ()
    changed: bool = False  # whether there is a state before to excuse by

    @property
    def errors(self) -> tuple[Fault, ...]:
        return tuple(fault for fault in self.health if fault.severity == ERROR)

    @property
    def failures(self) -> tuple[Fault, ...]:
        """The errors that fail the run, and keep pods away."""
        return tuple(fault for fault in self.errors if fault not in self.excused)

    @property
    def known(self) -> tuple[Fault, ...]:
        return tuple(fault for fault in self.errors if fault in self.excused)

    @property
    def warnings(self) -> tuple[str, ...]:
        why = "known before the change" if self.changed else "of the hardware, not of this run"
        plain = (str(fault) for fault in self.health if fault.severity != ERROR)
        return (*plain, *(f"{why}: {fault}" for fault in self.known))

    @property
    def waiting_for(self) -> tuple[Fault, ...]:
        """The failures, where all of them may pass by themselves; it is no use to wait for some."""
        return self.failures if all(fault.may_pass for fault in self.failures) else ()

    @property
    def mended_by_going_back(self) -> bool:
        """MIG devices that a boot took are not there after one more boot either."""
        return not self.failures or any(fault.code not in driver_before.MIG_CODES for fault in self.failures)

    def to_dict(self) -> dict[str, Any]:
        """Return the proof as the module returns it."""
        return {
            "problems": [str(fault) for fault in self.errors],
            "failures": [str(fault) for fault in self.failures],
            "known_problems": [str(fault) for fault in self.known],
            "waiting_for": [str(fault) for fault in self.waiting_for],
            "mended_by_going_back": self.mended_by_going_back,
            "health": [fault.to_dict() for fault in self.health],
        }


def prove(state: NodeState, wanted: Wanted, gsp: gsp_verdict.Verdict | None) -> Proof:
    """Judge the node as it runs now. ``gsp`` is None where nothing is known of the driver that should run."""
    health = (*faults(state, wanted), *(gsp_faults(gsp, wanted) if gsp else ()))
    before = driver_before.read(state)
    return Proof(health, driver_before.excused(before, health, state), before is not None)


def faults(state: NodeState, wanted: Wanted) -> tuple[Fault, ...]:
    """Empty: all GPUs that were and should be there are seen and sound, and package, module and library are one version."""
    if wanted.state == "absent":
        return ()
    before = driver_before.read(state)
    health = nvidia_health.judge(state.pci, state.kernel_module, state.smi)
    health += tuple(driver_before.compare(before, state)) if before else ()
    if not state.smi.gpus:
        return health  # nothing else can be told of a driver that does not answer
    ours = wanted.fabric_manager != "absent"
    fabric = nvidia_fabric.judge(state.fabric, state.kernel_module.version, ours)
    return (*health, *_count(state, wanted), *_versions(state), *_persistence(state, wanted), *fabric)


def gsp_faults(verdict: gsp_verdict.Verdict, wanted: Wanted) -> tuple[Fault, ...]:
    """GSP was asked for by name, and the loaded driver does something else; ``auto`` fights nobody."""
    if wanted.gsp == "auto" or verdict.effective is not False:
        return ()
    found = f"GSP firmware is not {wanted.gsp} as wanted: {verdict.reboot_reason}"
    return (Fault("gsp_not_as_wanted", ERROR, found, "see docs/driver.md on driver_gsp, or set it to auto"),)


def _count(state: NodeState, wanted: Wanted) -> Iterator[Fault]:
    answering = sum(not gpu.lost for gpu in state.smi.gpus)
    if wanted.gpus_expected and answering != wanted.gpus_expected:
        found = f"{answering} GPUs answer, {wanted.gpus_expected} are expected"
        remedy = "look for Xid messages in the kernel log, or set driver_gpus_expected to what the node has"
        yield Fault("gpu_count", ERROR, found, remedy, may_pass=True)


def _versions(state: NodeState) -> Iterator[Fault]:
    if state.driver is None:
        return
    versions = {
        "package": state.driver.driver_version,
        "library": state.driver.library_version,
        "loaded module": state.kernel_module.version,
        "nvidia-smi": state.smi.driver_version,
        "fabric manager": state.driver.fabric_manager_version,
    }
    loaded = state.kernel_module.kernel_modules
    if loaded is not None and loaded != state.driver.kernel_modules:
        found = f"{loaded} kernel modules are loaded, {state.driver.kernel_modules} ones are installed"
        yield Fault("kernel_modules_differ", ERROR, found, "reboot, and see which modules the kernel finds")
    known = {what: version for what, version in versions.items() if version}
    if len(set(known.values())) > 1:
        found = "driver versions differ: " + ", ".join(f"{what} {version}" for what, version in known.items())
        yield Fault("versions_differ", ERROR, found, "run again with the version that is wanted, and reboot")


def _persistence(state: NodeState, wanted: Wanted) -> Iterator[Fault]:
    off = [str(gpu.index) for gpu in state.smi.gpus if gpu.persistence_enabled is False]
    if wanted.persistence and off:
        found = f"persistence mode is off on GPU {', '.join(off)}"
        yield Fault("persistence_off", ERROR, found, "see systemctl status nvidia-persistenced", may_pass=True)
