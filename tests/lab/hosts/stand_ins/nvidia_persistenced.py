#!/usr/bin/python3
"""Stand-in for nvidia-persistenced: a daemon that forks, writes its pid file, and holds the device files that there are.

Its command line is what the nvidia-smi stand-in reads persistence from. Like the real one it has the driver loaded, keeps
every GPU open (nvidia-persistenced.c of NVIDIA/nvidia-persistenced) and fails where no driver is loaded. A container has no device files.
"""

from __future__ import annotations

import argparse
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import hardware

FOLDER = hardware.PERSISTENCED_PID.parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="nvidia-persistenced", description=__doc__)
    parser.add_argument("-u", "--user")
    parser.add_argument("-g", "--group")
    parser.add_argument("-V", "--verbose", action="store_true")
    parser.add_argument("--persistence-mode", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--nvidia-cfg-path")
    arguments = parser.parse_args()
    if hardware.MODPROBE.exists():
        subprocess.run([hardware.MODPROBE], check=False)
    if hardware.loaded_module() is None:
        print("Failed to query NVIDIA devices. Please ensure that the NVIDIA device files (/dev/nvidia*) exist.")
        return 1
    daemon(arguments.user)
    return 0


def daemon(user: str | None) -> None:
    """Fork, let the parent end once the pid file is there, then wait for a signal."""
    FOLDER.mkdir(mode=0o755, exist_ok=True)
    ready, told = os.pipe()
    if os.fork():
        os.close(told)
        os.read(ready, 1)
        return
    os.setsid()
    for path in Path("/dev").glob("nvidia[0-9c]*"):
        os.open(path, os.O_RDWR)  # open until the daemon ends: the kernel counts it as a holder of the module
    hardware.PERSISTENCED_PID.write_text(f"{os.getpid()}\n")
    if user:
        entry = pwd.getpwnam(user)
        os.chown(FOLDER, entry.pw_uid, entry.pw_gid)
        os.chown(hardware.PERSISTENCED_PID, entry.pw_uid, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
    os.write(told, b"1")
    os.close(told)
    signal.sigwait({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
    hardware.PERSISTENCED_PID.unlink(missing_ok=True)
    sys.exit(0)


if __name__ == "__main__":
    sys.exit(main())
