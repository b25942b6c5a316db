# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell what ``nvidia-smi -q -x`` says, or why it says nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result, Run
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.gpu import Gpu, read_gpu
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.proc import KernelModule
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.xml import (
    DocumentError,
    read_document,
    split_document,
    text,
)

QUERY = ("nvidia-smi", "-q", "-x")
#: Sixteen GPUs with full accounting buffers stay below half of this.
LARGEST = 64 * 1024 * 1024
#: nvidia-smi's exit status for a damaged infoROM: the document is complete, a warning follows it.
_INFOROM_CORRUPTED = 14

#: What each status means.
MEANINGS = {
    "ok": "the driver answers",
    "not_installed": "nvidia-smi or its library libnvidia-ml is not installed",
    "driver_not_loaded": "nvidia-smi cannot talk to the kernel module: it is not loaded, not built for the running "
    "kernel, or another driver has the GPUs",
    "version_mismatch": "the loaded kernel module and the installed libraries are of different versions, as after an "
    "upgrade of the packages",
    "no_devices": "the driver is loaded and finds no GPU it can use",
    "gpu_lost": "a GPU has stopped answering (it fell off the bus; Xid 79)",
    "timeout": "nvidia-smi gave no answer in time: the driver or a GPU hangs",
    "malformed": "nvidia-smi's answer is not the complete XML document it should be",
    "failed": "nvidia-smi failed in a way this collection does not know",
}
#: What to do about each.
REMEDIES = {
    "not_installed": "Install the NVIDIA driver with its utilities",
    "driver_not_loaded": "See `dmesg | grep -i -e nvidia -e nouveau` and `modprobe -v nvidia`; "
    "reboot if the driver was installed after the last boot",
    "version_mismatch": "Reboot, or unload and load the modules while no GPU is in use, and hold the packages",
    "no_devices": "See `lspci -d 10de:` and `dmesg | grep NVRM`; a "
    "virtual machine needs the device passed through, an old GPU needs an older branch of the driver",
    "gpu_lost": "Drain the node and reboot it; if it "
    "happens again, look at power, cooling, seating and the hardware's warranty",
    "timeout": "See `dmesg | grep -e NVRM -e Xid`; drain the node and reboot it",
    "malformed": "Run `nvidia-smi -q -x` by hand",
    "failed": "Run `nvidia-smi -q -x` by hand",
}

# Status, exit statuses, words: the words decide before the exit status does, since wrappers change the latter.
_FAULTS: tuple[tuple[str, tuple[int, ...], str], ...] = (
    ("version_mismatch", (18,), r"driver/library version mismatch"),
    ("gpu_lost", (15,), r"gpu is lost|fallen off the bus|unable to determine the device handle"),
    ("no_devices", (6,), r"no devices were found"),
    ("driver_not_loaded", (9,), r"couldn't communicate with the nvidia driver|driver not loaded|driver is not loaded"),
    ("not_installed", (12,), r"couldn't find libnvidia-ml|nvml shared library .*not found"),
)
_LIBRARY = re.compile(r"NVML library version:\s*([\d.]+\d)")


@dataclass(frozen=True)
class SmiReport:
    """``status`` is a key of ``MEANINGS``; ``found`` are the words that say so. ``warnings`` are lines around the document."""

    status: str
    found: str = ""
    driver_version: str | None = None
    cuda_version: str | None = None
    library_version: str | None = None
    schema: str | None = None
    gpus: tuple[Gpu, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What the status means, what to do about it, and what was found."""
        parts = (MEANINGS[self.status], REMEDIES.get(self.status), self.found and f"Found: {self.found}")
        return "".join(f"{part}. " for part in parts if part).rstrip()

    def to_dict(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__ if name != "found"},
            "message": self.message,
            "gpus": [gpu.to_dict() for gpu in self.gpus],
            "warnings": list(self.warnings),
        }


def query(run: Run, timeout_s: int = 30) -> SmiReport:
    """Ask nvidia-smi once."""
    return classify(run(list(QUERY), timeout_s=timeout_s), timeout_s)


def classify(result: Result, timeout_s: int | None = None) -> SmiReport:
    """Return what one run of nvidia-smi amounts to."""
    if result.missing:
        return _report("not_installed", result.stderr)
    if result.timed_out:
        return _report("timeout", f"no answer within {timeout_s} s; {result.stderr}" if timeout_s else result.stderr)
    report = parse(result.stdout)
    outside = "\n".join([*report.warnings, *result.stderr.splitlines()])
    if report.gpus and result.rc in (0, _INFOROM_CORRUPTED):
        return report
    said = outside if report.gpus else f"{result.stdout[:4000]}\n{result.stderr[:4000]}"
    status = _fault(said, result.rc)
    if status is None:
        return report if result.rc == 0 else _with(report, "failed", f"exit status {result.rc}: {said}")
    library = _LIBRARY.search(said)
    return replace(_with(report, status, said), library_version=library.group(1) if library else None)


def parse(output: str) -> SmiReport:
    """Return the report in the text that ``nvidia-smi -q -x`` printed. Never raises: what is no report is ``malformed``."""
    if len(output) > LARGEST:
        return _report("malformed", f"{len(output)} characters, more than {LARGEST}")
    document, around = split_document(output)
    if not document:
        return _report("malformed", _start(output) or "no output")
    try:
        root, schema = read_document(document)
    except DocumentError as error:
        return _report("malformed", str(error))
    gpus = tuple(read_gpu(index, element) for index, element in enumerate(root.iterfind("gpu")))
    lost = ", ".join(gpu.pci_address or f"GPU {gpu.index}" for gpu in gpus if gpu.lost)
    status = "gpu_lost" if lost else "ok" if gpus else "no_devices"
    return SmiReport(
        status=status,
        found=lost,
        driver_version=text(root, "driver_version"),
        cuda_version=text(root, "cuda_version"),
        schema=schema,
        gpus=gpus,
        warnings=tuple(line.strip()[:500] for line in around.splitlines() if line.strip())[:20],
    )


def complete(report: SmiReport, module: KernelModule) -> SmiReport:
    """Return the report with what only the kernel module says: GSP where nvidia-smi is silent, the version where it fails."""
    gpus = []
    for gpu in report.gpus:
        information = module.gpus.get(gpu.pci_address or "")
        if information is not None and gpu.gsp_enabled is None and not gpu.lost:
            gpu = replace(gpu, gsp_enabled=information.gsp_enabled, gsp_firmware_version=information.firmware_version)
        gpus.append(gpu)
    return replace(report, gpus=tuple(gpus), driver_version=report.driver_version or module.version)


def _fault(said: str, rc: int) -> str | None:
    lowered = said.lower()
    by_words = (status for status, _codes, words in _FAULTS if re.search(words, lowered))
    by_code = (status for status, codes, _words in _FAULTS if rc in codes)
    return next(by_words, None) or next(by_code, None)


def _report(status: str, found: str) -> SmiReport:
    return SmiReport(status, _start(found))


def _with(report: SmiReport, status: str, found: str) -> SmiReport:
    return replace(report, status=status, found=_start(found))


def _start(output: str) -> str:
    """Return the first words of an output, on one line."""
    return " ".join(output[:2000].split())[:300].rstrip(".; ")
