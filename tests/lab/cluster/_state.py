"""Where the state of one lab's cluster lies, and the little of it that is remembered between two commands."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.cluster._log import LabError


def cache_root() -> Path:
    """The cache outside the clone, the same as ``./dev`` uses."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("T9K_GPU_CACHE") or base / "t9k-gpu")


@dataclass(frozen=True)
class Lab:
    """The paths of the cluster of the lab ``name``. Everything of the cluster lies here and nowhere else."""

    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", self.name):
            raise LabError(f"--name: wanted up to 40 of a-z, 0-9 and '-', found {self.name!r}")

    @property
    def root(self) -> Path:
        """Shared with the lab's hosts."""
        return cache_root() / "labs" / self.name

    @property
    def directory(self) -> Path:
        """The cluster's own."""
        return self.root / "cluster"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        return self.root / "audit.log"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def pki(self) -> Path:
        return self.directory / "pki"

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    def read(self) -> dict[str, Any]:
        """What was remembered; empty for a lab that is not up."""
        try:
            state: dict[str, Any] = json.loads((self.directory / "state.json").read_text())
        except FileNotFoundError:
            return {}
        return state

    def write(self, state: dict[str, Any]) -> None:
        write_atomically(self.directory / "state.json", json.dumps(state, indent=2))

    def remove(self) -> None:
        """Everything of the cluster, nothing of the hosts."""
        for directory in (self.directory, self.bin):
            shutil.rmtree(directory, ignore_errors=True)
        for file in (self.kubeconfig, *self.root.glob("audit*.log"), *self.root.glob("kubeconfig-*")):
            file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.root.rmdir()


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """``text`` at ``path`` by way of a temporary file that only we can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
    temporary.replace(path)


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """One process at a time may work on what ``name`` stands for; the others wait."""
    path = cache_root() / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
