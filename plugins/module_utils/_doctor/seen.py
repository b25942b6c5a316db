# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read what the doctor looks at besides the driver's state: kernel log, rivals, unattended-upgrades, container runtime."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run
from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under
from ansible_collections.t9k.gpu.plugins.module_utils._linux.modprobe import RIVALS

#: The kernel's own buffer loses old lines; the journal, where there is one, has the whole boot.
LOGS = (
    ["journalctl", "--dmesg", "--boot", "--no-pager", "--quiet", "--output=short-iso"],
    ["dmesg"],
)
LOG_TIMEOUT_S = 60
_UNATTENDED = re.compile(r'^\s*APT::Periodic::Unattended-Upgrade\s+"?(\d+)"?', re.MULTILINE)
#: Where a runtime says that systemd makes its cgroups. CRI-O does so unless told otherwise, which is not read here.
_CGROUP_DRIVERS = {
    "/etc/containerd/config.toml": re.compile(r"^\s*SystemdCgroup\s*=\s*true", re.MULTILINE),
    "/etc/docker/daemon.json": re.compile(r"native\.cgroupdriver=systemd"),
}
_CDI = ("/etc/cdi", "/run/cdi", "/var/run/cdi")
_DEVICE = re.compile(r"nvidia(?:\d+|ctl|-uvm|-uvm-tools|-modeset)")


@dataclass(frozen=True)
class Seen:
    """What was read. ``log`` is None where no log could be read."""

    log: str | None = None
    rivals: tuple[str, ...] = ()  # loaded
    unattended: bool = False
    systemd_cgroups: str | None = None  # the file that says so
    missing_links: tuple[str, ...] = ()
    cdi: bool = False


def _device_number(path: Path) -> int:
    return os.stat(path).st_rdev  # noqa: PTH116 - its own name, so that tests can stand in for it


def read(run: Run, root: str = "/", number: Callable[[Path], int] = _device_number) -> Seen:
    """Return what is there; nothing is written."""
    return Seen(
        log=_log(run),
        rivals=tuple(name for name in RIVALS if under(root, f"/sys/module/{name}").is_dir()),
        unattended=_unattended(root),
        systemd_cgroups=next(
            (path for path, says in _CGROUP_DRIVERS.items() if says.search(read_text(under(root, path)) or "")), None
        ),
        missing_links=tuple(_missing_links(root, number)),
        cdi=any(list(under(root, folder).glob("*nvidia*")) for folder in _CDI),
    )


def _log(run: Run) -> str | None:
    for argv in LOGS:
        result = run(list(argv), LOG_TIMEOUT_S)
        if result.ok and result.stdout:
            return result.stdout
    return None


def _unattended(root: str) -> bool:
    """Tell whether apt's timer runs it: the last file that sets it wins, and the program must be there."""
    if not under(root, "/usr/bin/unattended-upgrade").exists():
        return False
    texts = (read_text(path) or "" for path in sorted(under(root, "/etc/apt/apt.conf.d").glob("*")))
    said = [value for text in texts for value in _UNATTENDED.findall(text)]
    return bool(said) and said[-1] != "0"


def _missing_links(root: str, number: Callable[[Path], int]) -> Iterator[str]:
    for device in sorted(under(root, "/dev").glob("nvidia*")):
        if not _DEVICE.fullmatch(device.name):
            continue
        rdev = number(device)
        link = f"/dev/char/{os.major(rdev)}:{os.minor(rdev)}"
        if not os.path.lexists(under(root, link)):
            yield link
