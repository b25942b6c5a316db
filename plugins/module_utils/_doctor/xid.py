# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read Xid and SXid messages out of a kernel log, and say what NVIDIA wants done about each. Pure.

Source: the table that NVIDIA's NVSentinel keeps of the Xid catalogue (xiderrorsmapping.csv in github.com/NVIDIA/NVSentinel), whose actions
are flattened here to five. Where it names a workflow, the action is the one that the workflow begins with on hardware that is at
fault; where it only says "unexpected, report it", the number is in ``SUPPORT`` if it speaks of power, memory or firmware, else
unknown. SXid messages say themselves whether they are fatal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import ERROR, WARNING, Fault, GpuId
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import PciDevice

RESET, REBOOT, SUPPORT, APPLICATION, UNKNOWN = "reset", "reboot", "support", "application", "unknown"
#: What the catalogue has no action for (IGNORE), or what only repeats another Xid's (154).
QUIET = frozenset((14, 37, 38, 43, 44, 63, 66, 67, 92, 93, 106, 107, 121, 137, 141, 152, 153, 154, 157, 161))
#: The engines' faults (copy, video, JPEG and optical flow) and those of a program's own commands and addresses.
_APPLICATION = (8, 11, 13, 25, 31, 32, 39, 40, 41, 45, 60, *range(68, 73), 75, 76, 77, 80, *range(82, 87), 88, 89, 94)
_MORE_APPLICATION = (*range(96, 106), *range(126, 136), 139)
_RESET = (46, 48, 62, 64, 74, 95, 109, 110, 119, 120, 136, 140, 143, *range(144, 151), 155, 156, 158, 162)
ACTIONS: dict[int, str] = {
    **dict.fromkeys((*_APPLICATION, *_MORE_APPLICATION), APPLICATION),
    **dict.fromkeys(_RESET, RESET),
    **dict.fromkeys((79, 151, 160), REBOOT),
    **dict.fromkeys((54, 58, 61, 78, 90, 122, 123, 124, 125), SUPPORT),
}
_FOUND = re.compile(
    r"NVRM: Xid \((?:PCI:)?(?P<gpu>[0-9a-fA-F:.]+)\): (?P<xid>\d+)|SXid \(PCI:(?P<switch>[0-9a-fA-F:.]+)\): (?P<sxid>\d+), (?P<kind>\S+),"
)


@dataclass(frozen=True)
class Event:
    """One message as often as the log has it; ``line`` is the newest."""

    address: str
    code: int
    switch: bool
    fatal: bool
    count: int
    line: str


def events(log: str) -> tuple[Event, ...]:
    """Return each code of each device once, with its newest line and its count."""
    seen: dict[tuple[str, int, bool], Event] = {}
    for line in log.splitlines():
        found = _FOUND.search(line)
        if found is None:
            continue
        switch = found["sxid"] is not None
        key = ((found["switch"] or found["gpu"]).lower(), int(found["sxid"] or found["xid"]), switch)
        fatal = (found["kind"] or "").lower() == "fatal"
        count = seen[key].count + 1 if key in seen else 1
        seen[key] = Event(*key, fatal, count, line.strip())
    return tuple(seen.values())


def faults(log: str, devices: Iterable[PciDevice]) -> Iterator[Fault]:
    """Judge what the log has. A log cannot tell of a reset that came after, so a message counts until the next boot."""
    addresses = [device.address for device in devices]
    for event in events(log):
        address = next((each for each in addresses if each.startswith(event.address)), event.address)
        yield from _switch(event, address) if event.switch else _gpu(event, GpuId(pci_address=address))


def _gpu(event: Event, who: GpuId) -> Iterator[Fault]:
    if event.code in QUIET:
        return
    action = ACTIONS.get(event.code, UNKNOWN)
    said = f"Xid {event.code}, {event.count} times since the boot, at last: {event.line}"
    if action == RESET:
        yield Fault(
            "xid_reset", ERROR, said, "drain the node and reset the GPU, then reboot if it comes back", who, True
        )
    elif action == REBOOT:
        yield Fault(
            "xid_reboot", ERROR, said, "drain the node and power-cycle it; replace the GPU if it comes back", who, True
        )
    elif action == SUPPORT:
        remedy = "check power, cooling and seat, run nvidia-bug-report.sh and ask the vendor"
        yield Fault("xid_support", ERROR, said, remedy, who, True)
    elif action == APPLICATION:
        remedy = "restart the program and look for its fault; if other programs get it on this GPU too, test the GPU"
        yield Fault("xid_application", WARNING, said, remedy, who)
    else:
        yield Fault("xid_unknown", WARNING, said, "look it up in NVIDIA's Xid catalogue", who)


def _switch(event: Event, address: str) -> Iterator[Fault]:
    said = f"SXid {event.code} of the NVSwitch at {address}, {event.count} times since the boot, at last: {event.line}"
    if event.fatal:
        remedy = "drain the node, reset all GPUs and switches or reboot, and see the fabric manager's log"
        yield Fault("sxid_fatal", ERROR, said, remedy)
    else:
        yield Fault("sxid_nonfatal", WARNING, said, "watch it; look the number up in the fabric manager's user guide")
