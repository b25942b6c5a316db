# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find what is wrong with a node that has a driver: the proof after the plan is done. Pure.

Whether GPUs are well is judged in ``_nvidia.health``; here is what only a node with a wanted state can have wrong.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._gsp import verdict as gsp_verdict
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import fabric as nvidia_fabric
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import health as nvidia_health
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import ERROR, Fault


def faults(state: NodeState, wanted: Wanted) -> tuple[Fault, ...]:
    """Empty: every GPU of the PCI bus is seen and sound, and package, module and library are one version."""
    if wanted.state == "absent":
        return ()
    health = nvidia_health.judge(state.pci, state.kernel_module, state.smi)
    if not state.smi.gpus:
        return health  # nothing else can be told of a driver that does not answer
    ours = wanted.fabric_manager != "absent"
    fabric = nvidia_fabric.judge(state.fabric, state.kernel_module.version, state.smi.gpus, ours)
    return (*health, *_versions(state), *_persistence(state, wanted), *fabric)


def gsp_faults(verdict: gsp_verdict.Verdict, wanted: Wanted) -> tuple[Fault, ...]:
    """GSP was asked for by name, and the loaded driver does something else; ``auto`` fights nobody."""
    if wanted.gsp == "auto" or verdict.effective is not False:
        return ()
    found = f"GSP firmware is not {wanted.gsp} as wanted: {verdict.reboot_reason}"
    return (Fault("gsp_not_as_wanted", ERROR, found, "see docs/driver.md on driver_gsp, or set it to auto"),)


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
        yield Fault("persistence_off", ERROR, found, "see systemctl status nvidia-persistenced")
