# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with a node that has a driver, in a person's words: the proof after the plan is done. Pure.

Private: subject to change without notice.
"""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._gsp import verdict as gsp_verdict


def problems(state: NodeState, wanted: Wanted) -> tuple[str, ...]:
    """Empty: every GPU of the PCI bus is seen and sound, and package, module and library are one version."""
    if wanted.state == "absent":
        return ()
    if state.smi.status != "ok":
        return (f"nvidia-smi: {state.smi.message}",)
    return (*_missing_gpus(state), *_versions(state), *_persistence(state, wanted), *_gpu_health(state))


def gsp_problem(verdict: gsp_verdict.Verdict, wanted: Wanted) -> tuple[str, ...]:
    """GSP was asked for by name, and the loaded driver does something else; ``auto`` fights nobody."""
    if wanted.gsp == "auto" or verdict.effective is not False:
        return ()
    return (f"GSP firmware is not {wanted.gsp} as wanted: {verdict.reboot_reason}",)


def _missing_gpus(state: NodeState) -> Iterator[str]:
    seen = {gpu.pci_address for gpu in state.smi.gpus}
    for device in state.gpus:
        if device.address not in seen:
            yield f"the GPU at PCI {device.address} is not seen by the driver (look for Xid messages in the kernel log)"


def _versions(state: NodeState) -> Iterator[str]:
    if state.driver is None:
        return
    versions = {
        "package": state.driver.driver_version,
        "library": state.driver.library_version,
        "loaded module": state.kernel_module.version,
        "nvidia-smi": state.smi.driver_version,
        "fabric manager": state.driver.fabric_manager_version,
    }
    flavour = state.kernel_module.flavour
    if flavour is not None and flavour != state.driver.kernel_modules:
        yield f"{flavour} kernel modules are loaded, {state.driver.kernel_modules} ones are installed"
    known = {what: version for what, version in versions.items() if version}
    if len(set(known.values())) > 1:
        yield "driver versions differ: " + ", ".join(f"{what} {version}" for what, version in known.items())


def _persistence(state: NodeState, wanted: Wanted) -> Iterator[str]:
    off = [str(gpu.index) for gpu in state.smi.gpus if gpu.persistence_enabled is False]
    if wanted.persistence and off:
        yield f"persistence mode is off on GPU {', '.join(off)}"


def _gpu_health(state: NodeState) -> Iterator[str]:
    for gpu in state.smi.gpus:
        if gpu.ecc_uncorrected_count:
            yield f"GPU {gpu.index} ({gpu.uuid}) counts {gpu.ecc_uncorrected_count} uncorrected ECC errors"
        if gpu.recovery_action not in (None, "None"):
            yield f"GPU {gpu.index} ({gpu.uuid}) asks for recovery: {gpu.recovery_action}"
