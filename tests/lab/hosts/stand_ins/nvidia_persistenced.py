#!/usr/bin/python3
"""Stand-in for nvidia-persistenced: a daemon that forks, writes its pid file, and holds the device files that there are.

Its command line is what the nvidia-smi stand-in reads persistence from. A container has no device files.

Source: nvidia-persistenced.c, options.c and option-table.h of NVIDIA/nvidia-persistenced 595.71.05. So from there: an unknown user
ends it with 1 and an unknown option with 0, before any daemon; the pid file stands, and is locked, before the driver
is asked; what the daemon does not find it says in syslog, and the command only that it failed; SIGTERM and SIGINT end it
in order; with --no-persistence-mode it keeps no device open. Its library runs nvidia-modprobe, which is setuid root; here that
is done before the user is changed.
"""

from __future__ import annotations

import argparse
import fcntl
import grp
import os
import pwd
import signal
import subprocess
import sys
import syslog
from pathlib import Path

import hardware

DEVICES = Path("/dev")
FAILED = "nvidia-persistenced failed to initialize. Check syslog for more details."
NO_DRIVER = (
    "Failed to query NVIDIA devices. Please ensure that the NVIDIA device files (/dev/nvidia*) exist, "
    "and that user {user} has read and write permissions for those files."
)
NO_DEVICE = "Unable to find any NVIDIA devices"
ENDS = {signal.SIGTERM, signal.SIGINT}


class Options(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        print(f"Invalid commandline, please run `{sys.argv[0]} --help` for usage information.", file=sys.stderr)
        sys.exit(0)


def main() -> int:
    parser = Options(prog="nvidia-persistenced", description=__doc__, allow_abbrev=False)
    parser.add_argument("-v", "--version", action="version", version="nvidia-persistenced:  a stand-in")
    parser.add_argument("-u", "--user")
    parser.add_argument("-g", "--group")
    parser.add_argument("-V", "--verbose", action="store_true")
    parser.add_argument("--persistence-mode", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--uvm-persistence-mode", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument("--nvidia-cfg-path")
    arguments = parser.parse_args()
    user, group = owner(arguments.user, arguments.group)
    ready, told = os.pipe()
    if os.fork() == 0:
        os.close(ready)
        daemon(user, group, arguments.persistence_mode, told)
    os.close(told)
    if os.read(ready, 1):
        return 0
    print(FAILED, file=sys.stderr)
    return 1


def owner(user: str | None, group: str | None) -> tuple[int, int]:
    """Whose the daemon is; a group that is named goes before the user's own."""
    uid, gid = os.getuid(), os.getgid()
    try:
        if user:
            uid, gid = pwd.getpwnam(user)[2:4]
        if group:
            gid = grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise SystemExit(f"Failed to find the ID of a user or group: {error.args[0]}") from None
    return uid, gid


def daemon(user: int, group: int, persistence: bool, told: int) -> None:
    """Become one, tell the command once all is well, and wait for a signal."""
    os.setsid()
    os.umask(0)
    syslog.openlog("nvidia-persistenced", 0, syslog.LOG_DAEMON)
    if hardware.MODPROBE.exists():
        subprocess.run([hardware.MODPROBE], check=False)
    fault = no_devices(user)  # told below; read here, as root, since the lab's files are
    folder = hardware.PERSISTENCED_PID.parent
    folder.mkdir(mode=0o755, exist_ok=True)
    if (os.getuid(), os.getgid()) != (user, group):
        os.chown(folder, user, group)
        os.setgid(group)
        os.setuid(user)
    pid_file = os.open(hardware.PERSISTENCED_PID, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.lockf(pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        fail(f"Failed to lock PID file: {error.strerror}")
    os.write(pid_file, f"{os.getpid()}\n".encode())
    if fault:
        hardware.PERSISTENCED_PID.unlink()
        fail(fault)
    if persistence:
        for path in DEVICES.glob("nvidia[0-9c]*"):
            os.open(path, os.O_RDWR)  # open until the daemon ends: the kernel counts it as a holder of the module
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    for standard in range(3):  # who waits for the command's output must not wait for the daemon
        os.dup2(os.open(os.devnull, os.O_RDWR), standard)
    os.write(told, b"1")
    os.close(told)
    signal.sigwait(ENDS)
    hardware.PERSISTENCED_PID.unlink(missing_ok=True)
    os._exit(0)


def no_devices(user: int) -> str | None:
    """What the daemon says where it has nothing to keep open."""
    if hardware.loaded_module() is None:
        return NO_DRIVER.format(user=user)
    there = any(hardware.bound(gpu) for gpu in hardware.gpus(hardware.host()))
    return None if there else NO_DEVICE


def fail(message: str) -> None:
    syslog.syslog(syslog.LOG_ERR, message)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
