# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read small text files, and write them atomically."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ansible_collections.t9k.gpu.plugins.module_utils._change import Change

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def under(root: str, path: str) -> Path:
    """Return ``path`` (absolute) below ``root``: ``/`` on a host, a folder of captures in tests."""
    return Path(root) / path.lstrip("/")


def read_text(path: Path | str) -> str | None:
    """Return the file's text; None if it is not there or may not be looked at (procfs and sysfs answer both ways)."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
        return None


def apply_file(module: AnsibleModule, path: str, wanted: str | None, mode: int = 0o644) -> Change:
    """Bring one file to ``wanted`` (None: absent), atomically; in check mode only say what would change.

    The text goes to a temporary file in the same folder first, so a live file is never half written.
    """
    change = Change(path, read_text(path), wanted)
    if not change.changed or module.check_mode:
        return change
    if wanted is None:
        Path(path).unlink(missing_ok=True)
        return change
    parent = Path(path).parent
    parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=parent, prefix=".t9k-")
    module.add_cleanup_file(temporary)  # where writing fails
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(wanted)
    module.atomic_move(temporary, path)
    Path(path).chmod(mode)  # after: atomic_move keeps the mode of a file that is there, and gives a new one umask's
    return change
