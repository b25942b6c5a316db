#!/usr/bin/python3
"""Stand-in for dmesg: the host is a container, and the machine's log is not its own.

Shows what the stand-in of the driver said since boot, and the Xid that is switched on; options have no effect.

Sources: the form of an Xid line, and its words, from kernel logs in leptonai/gpud pull requests 46 (13), 500 (119) and
1174 (94), congphase/my-t450s troubleshoot_log.md (79); which Xid means what: NVIDIA's "XID Errors".
"""

from __future__ import annotations

import hardware

WORDS = {
    "13": "pid='<unknown>', name=<unknown>, Graphics SM Warp Exception on (GPC 7, TPC 7, SM 0): Illegal Instruction "
    "Parameter",
    "79": "pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
    "94": "pid=1234, name=python3, Contained ECC error",
    "119": "pid=4071838, name=python, Timeout after 45s of waiting for RPC response from GPU{index} GSP! Expected function "
    "76 (GSP_RM_CONTROL) (0x20801702 0x4).",
}


def main() -> None:
    said = hardware.KERNEL_LOG.read_text() if hardware.KERNEL_LOG.exists() else ""
    number, slot = (hardware.fault("xid") or ["", ""])[:2]
    for gpu in hardware.fitted(hardware.host()):
        if number and str(gpu.slot) == slot:
            address = gpu.address.rpartition(".")[0]
            said += hardware.line(f"NVRM: Xid (PCI:{address}): {number}, {WORDS[number].format(index=gpu.index)}")
    print(said, end="")


if __name__ == "__main__":
    main()
