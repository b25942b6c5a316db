# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wait for dpkg's lock, and name who holds it."""

from __future__ import annotations

import re
import time

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result, Run
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import ADMIN_DIR
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under

_LOCKS = (f"{ADMIN_DIR}/lock-frontend", f"{ADMIN_DIR}/lock")
#: dpkg's own words of all versions for "somebody else is at work".
_BUSY = re.compile(r"(?:frontend|database)(?: lock)? (?:is|was) locked by another process")


def run_unlocked(run: Run, argv: list[str], stdin: str, root: str, limit_s: int) -> Result:
    """Run a dpkg that needs the lock, again each second while somebody else holds it."""
    for second in range(max(limit_s, 0) + 1):
        result = run(argv, timeout_s=60, stdin=stdin)
        if not _BUSY.search(result.stderr):
            return result
        if second < limit_s:
            time.sleep(1)
    raise GpuError(
        "dpkg's lock",
        f"it is held by {lock_holder(root)}, still after {limit_s} s",
        ", ".join(str(under(root, path)) for path in _LOCKS),
        "wait until that program has ended (often unattended-upgrades) or raise lock_timeout",
    )


def lock_holder(root: str = "/", proc: str = "/proc") -> str:
    """Name who holds one of dpkg's locks, from the kernel's table of locks."""
    inodes = {str(path.stat().st_ino) for path in (under(root, lock) for lock in _LOCKS) if path.exists()}
    pids = [pid for pid, inode in _locks(read_text(f"{proc}/locks") or "") if inode in inodes]
    shown = [f"process {pid} ({_command_line(proc, pid)})" for pid in dict.fromkeys(pids)]
    return " and ".join(shown) or "another process"


def _locks(text: str) -> list[tuple[str, str]]:
    """Return (process, inode) of every lock that is held; a line with an arrow is one that waits."""
    return [(words[4], words[5].rsplit(":", 1)[-1]) for words in map(str.split, text.splitlines()) if len(words) == 8]


def _command_line(proc: str, pid: str) -> str:
    return (read_text(f"{proc}/{pid}/cmdline") or "").replace("\0", " ").strip()[:120] or "its command line is hidden"
