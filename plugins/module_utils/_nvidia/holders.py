# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find processes that have a GPU open, from ``/proc/PID/fd``.

nvidia-smi does not list processes everywhere (N/A in a guest, or for want of rights). A CUDA process holds
``/dev/nvidia-uvm`` beside the GPU's own device; what only watches (nvidia-persistenced, DCGM, nvidia-smi) does not.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under

_UVM = "/dev/nvidia-uvm"
_DEVICE = re.compile(r"/dev/nvidia(\d+|-uvm)")
#: What belongs to the driver or watches GPUs, and is no work: each by the 15 characters that the kernel keeps of a name (proc(5), comm).
_NO_WORK = frozenset(
    name[:15]
    for name in (
        *("nvidia-persistenced", "nvidia-smi", "nvidia-powerd", "nvidia-imex", "nv-fabricmanager", "nvlsm"),
        *("nv-hostengine", "dcgm-exporter"),
    )
)
#: In the path of every pod's control group, with both drivers of the kubelet (kubernetes/kubernetes pull request 31546).
_PODS = "kubepods"


@dataclass(frozen=True)
class Process:
    """One process, and what it runs in: a service, a job of a batch system, a container."""

    pid: int
    name: str
    cgroup: str

    def __str__(self) -> str:
        return f"{self.pid} ({self.name} in {self.cgroup})"


def computing(minor: int | None, root: str = "/") -> tuple[str, ...]:
    """Return ``PID (name)`` of each process that may compute on the GPU with this minor number."""
    if minor is None:
        return ()
    wanted = {_UVM, f"/dev/nvidia{minor}"}
    return tuple(
        f"{process.name} ({_name(process)})" for process in _processes(root) if wanted <= _open_devices(process)
    )


def outside_pods(root: str = "/") -> tuple[Process, ...]:
    """Return what works on a GPU and is no pod's, so that no drain ends it: under Slurm, in docker, by hand."""
    found = []
    for process in _processes(root):
        if any(_DEVICE.fullmatch(path) for path in _open_devices(process)):
            name, cgroup = _name(process), read_text(process / "cgroup") or ""
            if name not in _NO_WORK and _PODS not in cgroup:
                found.append(Process(int(process.name), name, _shown(cgroup)))
    return tuple(found)


def _processes(root: str) -> Iterator[Path]:
    proc = under(root, "/proc")
    names = sorted((name for name in os.listdir(proc) if name.isdigit()), key=int)  # noqa: PTH208 - names are all that is wanted
    return (proc / name for name in names)


def _open_devices(process: Path) -> set[str]:
    """Return none for a process that is gone or may not be looked at."""
    found = set()
    try:
        for number in (process / "fd").iterdir():
            found.add(os.readlink(number))
    except OSError:
        return found
    return found


def _name(process: Path) -> str:
    return (read_text(process / "comm") or "").strip() or "unknown"


def _shown(cgroup: str) -> str:
    """Return the path of systemd's hierarchy, which is the only one with control groups of version 2."""
    lines = [line.split(":", 2) for line in cgroup.splitlines() if line.count(":") >= 2]
    ours = [path for _number, kind, path in lines if kind in ("", "name=systemd")]
    return next((path for path in ours if path != "/"), next((path for *_rest, path in lines if path != "/"), "/"))
