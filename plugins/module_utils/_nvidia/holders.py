# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Processes that have a GPU open for computing, from ``/proc/PID/fd``. Private: subject to change without notice.

nvidia-smi does not list processes everywhere (N/A in a guest, or for want of rights). A CUDA process holds
``/dev/nvidia-uvm`` beside the GPU's own device; what only watches (nvidia-persistenced, DCGM, nvidia-smi) does not.
"""

from __future__ import annotations

import os
from pathlib import Path

from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under

_UVM = "/dev/nvidia-uvm"


def computing(minor: int | None, root: str = "/") -> tuple[str, ...]:
    """``PID (name)`` of each process that may compute on the GPU with this minor number."""
    if minor is None:
        return ()
    wanted = {_UVM, f"/dev/nvidia{minor}"}
    proc = under(root, "/proc")
    pids = (name for name in sorted(os.listdir(proc)) if name.isdigit())  # noqa: PTH208 - names are all that is wanted
    return tuple(f"{pid} ({_name(proc / pid)})" for pid in pids if wanted <= _open_devices(proc / pid))


def _open_devices(process: Path) -> set[str]:
    """Empty for a process that is gone or may not be looked at."""
    found = set()
    try:
        for number in (process / "fd").iterdir():
            found.add(os.readlink(number))
    except OSError:
        return found
    return found


def _name(process: Path) -> str:
    return (read_text(process / "comm") or "").strip() or "unknown"
