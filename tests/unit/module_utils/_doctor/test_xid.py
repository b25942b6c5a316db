"""What the kernel log tells, message by message. The lines have the form of NVIDIA's Xid document; SXid as quoted in reports of others."""

from __future__ import annotations

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._doctor import xid
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import PciDevice

GPU = PciDevice("0000:06:00.0", "10de", "2335", "030200", "nvidia")
MESSAGES = [
    # line, code, severity, GPU
    ("NVRM: Xid (PCI:0000:06:00): 79, pid=1, GPU has fallen off the bus.", "xid_reboot", "error", GPU.address),
    ("NVRM: Xid (PCI:0000:06:00): 119, pid=1, Timeout waiting for RPC from GSP", "xid_reset", "error", GPU.address),
    ("NVRM: Xid (0000:06:00): 95, Uncontained ECC error", "xid_reset", "error", GPU.address),
    ("NVRM: Xid (PCI:0000:06:00): 54, auxiliary power", "xid_support", "error", GPU.address),
    ("NVRM: Xid (PCI:0000:06:00): 31, pid=7, MMU Fault", "xid_application", "warning", GPU.address),
    ("NVRM: Xid (PCI:0000:06:00): 94, Contained", "xid_application", "warning", GPU.address),
    ("NVRM: Xid (PCI:0000:06:00): 999, new", "xid_unknown", "warning", GPU.address),
    ("NVRM: Xid (PCI:0000:99:00): 79, gone", "xid_reboot", "error", "0000:99:00"),
    ("nvidia-nvswitch3: SXid (PCI:0000:05:00.0): 12028, Non-fatal, Link 32 egress", "sxid_nonfatal", "warning", None),
    ("nvidia-nvswitch0: SXid (PCI:0000:05:00.0): 20034, Fatal, Link 30 LTSSM Fault Up", "sxid_fatal", "error", None),
]


@pytest.mark.parametrize(("line", "code", "severity", "address"), MESSAGES)
def test_a_message(line: str, code: str, severity: str, address: str | None) -> None:
    (fault,) = xid.faults(f"[ 1.0] usb 1-1: new\n[ 2.0] {line}\n", (GPU,))
    assert (fault.code, fault.severity) == (code, severity)
    assert (fault.gpu.pci_address if fault.gpu else None) == address
    assert line in fault.evidence


@pytest.mark.parametrize("line", ["NVRM: Xid (PCI:0000:06:00): 63, Row Remapper", "NVRM: loading NVIDIA UNIX", ""])
def test_what_needs_nothing(line: str) -> None:
    assert list(xid.faults(line, (GPU,))) == []


def test_the_newest_line_of_each_code_and_gpu_with_its_count() -> None:
    lines = [f"[{n}] NVRM: Xid (PCI:0000:0{gpu}:00): 31, pid={n}" for n, gpu in ((1, 6), (2, 7), (3, 6))]
    found = {event.address: (event.count, event.line) for event in xid.events("\n".join(lines))}
    assert found == {"0000:06:00": (2, lines[2]), "0000:07:00": (1, lines[1])}


def test_a_code_has_one_action() -> None:
    assert not set(xid.ACTIONS) & xid.QUIET
