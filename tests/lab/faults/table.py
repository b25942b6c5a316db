"""The faults that one command of the lab switches on and off; docs/lab.md shows this table, and a test holds them together.

Faults of a host are files below /var/lib/t9k-gpu-lab/faults there, which its stand-ins read; each stand-in's head names
the source of what it answers. Faults of the cluster are keys of a ConfigMap that the operator's stand-in reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.lab.log import LabError

INDEX = r"\d+"


@dataclass(frozen=True)
class Fault:
    """Name a fault, what it is told, and what it does."""

    name: str
    value: str  # for people; empty where it takes none
    pattern: str  # what a value has to be
    begins: str
    effect: str


HOST = (
    Fault("module-late", "SECONDS", r"\d+", "boot", "the driver is loaded so long after boot"),
    Fault("module-refused", "VERSION or any", r"any|\d[\d.]*", "boot", "the module of this version does not load"),
    Fault("gpu-missing", "INDEX", INDEX, "boot", "the GPU is not on the PCI bus"),
    Fault(
        *("gpu-off-bus", "INDEX", INDEX, "boot"),
        "the GPU is on the PCI bus and does not answer: no device of the driver's, three lines in the kernel's log",
    ),
    Fault("gpu-lost", "INDEX", INDEX, "at once", "`nvidia-smi`: GPU is lost, exit status 15"),
    Fault(
        *("fabric-in-progress", "SECONDS or forever", r"\d+|forever", "boot"),
        "on a host with switches `fabric.state` is In Progress so long, fabric manager or not",
    ),
    Fault("row-remap-failure", "INDEX", INDEX, "at once", "`remapped_row_failure` of the GPU is Yes"),
    Fault("xid", "13, 79, 94 or 119, INDEX", rf"(13|79|94|119) {INDEX}", "at once", "an Xid line in `dmesg`"),
    Fault(
        *("smi", "hang, no-devices or malformed", r"hang|no-devices|malformed", "at once"),
        "`nvidia-smi` never answers, finds no device, or ends in the middle of its document",
    ),
    Fault(
        *("cuda", "WHAT [ADDRESS]", r"(\d+|wrong|hang|crash)( [\da-f:.]+)?", "at once"),
        "`libcuda.so.1`: this error (802, 100 and their like at once, 719 and its like from a kernel), a wrong bit, no answer, or a crash",
    ),
    Fault("sriov", "COUNT", r"\d+", "boot", "the first GPU has so many virtual functions on the PCI bus"),
)

CLUSTER = (
    Fault("never-ready", "true", "true", "at once", "the ClusterPolicy stays notReady"),
    Fault("no-allocatable", "NODE,… or *", r"\S+", "at once", "these nodes show no GPU resource"),
    Fault("pending-operands", "DAEMONSET,…", r"\S+", "at once", "the pods of these DaemonSets stay Pending"),
    Fault("mig-fails", "true", "true", "at once", "a MIG configuration ends in failed"),
)


def find(table: tuple[Fault, ...], name: str, value: str) -> Fault:
    """Return the fault of this name, for this value."""
    known = {fault.name: fault for fault in table}
    if name not in known:
        raise LabError(f"fault: wanted one of {', '.join(known)}, found {name!r}")
    if not re.fullmatch(known[name].pattern, value):
        raise LabError(f"fault {name}: wanted {known[name].value}, found {value!r}")
    return known[name]


def rows(table: tuple[Fault, ...]) -> list[str]:
    """Return the table as Markdown."""
    return [f"| `{fault.name}` | {fault.value} | {fault.begins} | {fault.effect} |" for fault in table]
