# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge which GPUs may be asked to compute, and what their answers mean. Pure; the computing is in ``cuda_kernel``.

Numbers and names of errors: the enumeration ``CUresult`` of the CUDA Driver API reference (``cuda.h``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.cuda_child import Outcome
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.gpu import Gpu
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import ERROR, Fault, GpuId
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import normal_address

#: What CUDA answers on an NVSwitch machine until its fabric is up.
NOT_READY = 802
_XID = "see `dmesg | grep -e NVRM -e Xid`"
#: By number: what the driver calls it (where it does not say so itself), and what to do.
_ERRORS: dict[int, tuple[str, str]] = {
    2: ("CUDA_ERROR_OUT_OF_MEMORY", "something fills the GPU's memory: see `nvidia-smi`"),
    3: ("CUDA_ERROR_NOT_INITIALIZED", f"the driver could not start: {_XID}"),
    34: (
        "CUDA_ERROR_STUB_LIBRARY",
        "libcuda.so.1 is the toolkit's stub: take its folder out of ld.so.conf, or install the driver's library",
    ),
    46: (
        "CUDA_ERROR_DEVICE_UNAVAILABLE",
        "another process has the GPU for itself, or its compute mode forbids: see `nvidia-smi -q -d COMPUTE,PIDS`",
    ),
    100: (
        "CUDA_ERROR_NO_DEVICE",
        "the module is not loaded, /dev/nvidia* is missing, or the GPU did not start: see `ls -l /dev/nvidia*`, "
        "`dmesg | grep NVRM`",
    ),
    101: ("CUDA_ERROR_INVALID_DEVICE", f"the GPU is gone for the driver: {_XID}"),
    214: (
        "CUDA_ERROR_ECC_UNCORRECTABLE",
        f"the GPU's memory is damaged: {_XID}, reset the GPU, replace it if it comes again",
    ),
    220: ("CUDA_ERROR_NVLINK_UNCORRECTABLE", f"an NVLink fails: {_XID}, reset the GPUs of this machine"),
    221: ("CUDA_ERROR_JIT_COMPILER_NOT_FOUND", "libnvidia-ptxjitcompiler of the driver's version is not installed"),
    222: (
        "CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
        "libnvidia-ptxjitcompiler is older than libcuda: install one version of both",
    ),
    304: (
        "CUDA_ERROR_OPERATING_SYSTEM",
        "the kernel refused a call of the driver: see `ls -l /dev/nvidia*` and `dmesg`",
    ),
    700: ("CUDA_ERROR_ILLEGAL_ADDRESS", f"the GPU reached a wrong address in a kernel known to be right: {_XID}"),
    719: ("CUDA_ERROR_LAUNCH_FAILED", f"a kernel known to be right broke off: {_XID}, reset the GPU"),
    NOT_READY: (
        "CUDA_ERROR_SYSTEM_NOT_READY",
        "the NVSwitch fabric is not up: see `systemctl status nvidia-fabricmanager` and "
        "`nvidia-smi -q | grep -A 4 Fabric`; fabric manager must be of the driver's version",
    ),
    803: (
        "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH",
        "the loaded kernel module and libcuda.so.1 are of different versions: reboot, or unload and load the modules",
    ),
    804: (
        "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
        "a forward compatibility package (cuda-compat) stands before the driver's libcuda.so.1: take it off the path",
    ),
    805: ("CUDA_ERROR_MPS_CONNECTION_FAILED", "an MPS control daemon runs that cannot serve: stop or repair it"),
    999: (
        "CUDA_ERROR_UNKNOWN",
        "often nvidia_uvm is not loaded or /dev/nvidia-uvm is missing (`modprobe nvidia_uvm`, `nvidia-modprobe -u -c 0`); "
        f"else {_XID}",
    ),
}


@dataclass(frozen=True)
class Check:
    """One GPU: ``ok``, ``failed``, ``timeout`` or ``skipped``, and why. ``error`` has ``call``, ``number``, ``name``."""

    index: int
    pci_address: str | None
    uuid: str | None
    product_name: str | None
    status: str
    message: str
    error: dict[str, Any] | None = None
    seconds: float | None = None
    fault: Fault | None = None

    def to_dict(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if key != "fault"}


def skip_reason(gpu: Gpu, holders: Sequence[str]) -> str | None:
    """Say why this GPU is left alone. ``holders`` count where nvidia-smi does not say which processes compute."""
    if gpu.mig_mode_current:
        return "MIG is on: its slices belong to those who use them"
    if gpu.compute_process_count:
        return f"busy: processes that compute on it: {gpu.compute_process_count}"
    if gpu.compute_process_count is None and holders:
        return f"busy: processes that may compute on it: {', '.join(holders[:5])}"
    if gpu.compute_mode == "Prohibited":
        return "its compute mode is Prohibited"
    return None


def skipped(gpu: Gpu, reason: str) -> Check:
    """Return the check of a GPU that was not asked."""
    return Check(gpu.index, gpu.pci_address, gpu.uuid, gpu.product_name, "skipped", f"left alone, {reason}")


def judge(gpu: Gpu, outcome: Outcome, timeout_s: float) -> Check:
    """Return what the child that computed on this GPU found."""
    told = outcome.told
    where = told.get("call", "the start of the check")
    if outcome.end in ("killed", "stuck"):
        evidence = _no_answer(outcome, where, timeout_s)
        return _wrong(gpu, "cuda_timeout", evidence, f"the driver hangs: {_XID}, then reboot the node")
    if "fault" in told:
        return _refused(gpu, told["fault"])
    if outcome.end == "signal":
        return _wrong(gpu, "cuda_crash", f"the driver's library crashed (signal {outcome.signal}) in {where}", _XID)
    if "missing" in told:
        evidence = f"libcuda.so.1 cannot be used: {told['missing']}"
        return _wrong(gpu, "cuda_library", evidence, "install the driver's compute libraries")
    if "differing" not in told:
        return _wrong(gpu, "cuda_crash", f"the check broke off: {told.get('exception', 'without a word')}", _XID)
    return _computed(gpu, told)


def may_pass(checks: Sequence[Check]) -> bool:
    """Tell whether all that is wrong is a fabric that may still come up."""
    faults = [check.fault for check in checks if check.fault]
    return bool(faults) and all(fault.may_pass for fault in faults)


def _wrong(gpu: Gpu, code: str, evidence: str, remedy: str, **more: Any) -> Check:
    passes = (more.get("error") or {}).get("number") == NOT_READY
    fault = Fault(code, ERROR, evidence, remedy, GpuId(gpu.index, gpu.pci_address, gpu.uuid), may_pass=passes)
    status = "timeout" if code == "cuda_timeout" else "failed"
    message = f"{evidence}. Next: {remedy}"
    return Check(gpu.index, gpu.pci_address, gpu.uuid, gpu.product_name, status, message, fault=fault, **more)


def _no_answer(outcome: Outcome, where: str, timeout_s: float) -> str:
    found = f"no end within {timeout_s:g} s, in {where}"
    if outcome.end != "stuck":
        return found
    state = outcome.state or "unknown"
    if state != "D":  # proc(5): only there no signal reaches it; the processors may have had no time for it
        return f"{found}; process {outcome.pid} was killed and has not ended yet (state {state})"
    return f"{found}; process {outcome.pid} cannot be killed (state {state}: it waits inside the kernel)"


def _refused(gpu: Gpu, fault: Mapping[str, Any]) -> Check:
    number = fault["number"]
    known, remedy = _ERRORS.get(number, ("an error unknown to this collection", _XID))
    error = {**fault, "name": fault["name"] or known}
    return _wrong(gpu, "cuda_error", f"{error['name']} ({number}) from {fault['call']}", remedy, error=error)


def _computed(gpu: Gpu, told: Mapping[str, Any]) -> Check:
    found, seconds = told["found"], told["seconds"]
    if (normal_address(found["pci_address"]), found["uuid"]) != (gpu.pci_address, gpu.uuid):
        evidence = f"CUDA computed on {found['pci_address']} ({found['uuid']}) in its place"
        return _wrong(
            gpu, "cuda_other_gpu", evidence, "see whether something presets the driver's choice", seconds=seconds
        )
    if told["differing"]:
        evidence = f"it computes wrongly: {told['differing']} bytes differ from what they must be"
        return _wrong(gpu, "cuda_wrong_result", evidence, f"{_XID}, have the GPU replaced", seconds=seconds)
    message = f"computed rightly in {seconds:g} s"
    return Check(gpu.index, gpu.pci_address, gpu.uuid, gpu.product_name, "ok", message, seconds=seconds)
