"""The little that a lab's cluster remembers between two commands: its ports and its processes."""

from __future__ import annotations

import contextlib
import json
import shutil
from pathlib import Path
from typing import Any

from tests.lab.state import Lab, write_atomically


def _file(lab: Lab) -> Path:
    return lab.cluster / "state.json"


def read(lab: Lab) -> dict[str, Any]:
    """Return what was remembered; nothing for a lab that is not up."""
    try:
        remembered: dict[str, Any] = json.loads(_file(lab).read_text())
    except FileNotFoundError:
        return {}
    return remembered


def write(lab: Lab, remembered: dict[str, Any]) -> None:
    write_atomically(_file(lab), json.dumps(remembered, indent=2))


def remove(lab: Lab) -> None:
    """Remove everything of the cluster and nothing of the hosts."""
    for directory in (lab.cluster, lab.bin):
        shutil.rmtree(directory, ignore_errors=True)
    for file in (lab.kubeconfig, *lab.folder.glob("audit*.log"), *lab.folder.glob("kubeconfig-*")):
        file.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        lab.folder.rmdir()
