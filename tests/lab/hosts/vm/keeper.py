"""Keep one virtual machine powered: start QEMU again whenever the guest resets itself, end when it switches itself off.

A reset is a fresh process, so that the firmware begins in memory that nobody has executed: emulated, writing over code that ran is a
hundred times slower, and OVMF 2022.11 waits for the second processor for ever after a reset. Its flash is a file, so
what the firmware remembers stays. A power cut is the end of this process. QEMU says why it ends in its event SHUTDOWN (qapi/run-state.json,
``ShutdownCause``: guest-reset, guest-shutdown, host-signal, …).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Sequence

RESET = "guest-reset"
#: QEMU ends instead of resetting, and speaks on the pipes that this process has.
ENDS = ("-action", "reboot=shutdown", "-qmp", "stdio")


def run(argv: Sequence[str]) -> str:
    """Run QEMU once; return the cause of its end, "" for none."""
    process = subprocess.Popen([*argv, *ENDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdin and process.stdout
        process.stdin.write('{"execute": "qmp_capabilities"}\n')
        process.stdin.flush()
        events = [json.loads(line) for line in process.stdout]
    finally:
        process.terminate()  # without waiting for the guest: the power is gone
        process.wait()
    causes = [event["data"]["reason"] for event in events if event.get("event") == "SHUTDOWN"]
    return causes[-1] if causes else ""


def main(argv: Sequence[str]) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while run(argv) == RESET:
        pass


if __name__ == "__main__":
    main(sys.argv[1:])
