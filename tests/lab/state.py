"""Where the lab keeps what it makes: always outside the clone, below $T9K_GPU_CACHE (``./dev`` exports it)."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.lab.log import LabError


def cache() -> Path:
    """Return the folder of everything that may be deleted at any time and made again."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("T9K_GPU_CACHE") or base / "t9k-gpu")


@dataclass(frozen=True)
class Lab:
    """Know the files of one lab: hosts and cluster find each other's files here."""

    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", self.name):
            raise LabError(f"a lab's name: wanted up to 40 of a-z, 0-9 and '-', found {self.name!r}")

    @property
    def folder(self) -> Path:
        return cache() / "labs" / self.name

    # what both parts hand out

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yml"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def bin(self) -> Path:
        """Links to the programs, for a PATH."""
        return self.folder / "bin"

    # the hosts' own

    @property
    def ssh_key(self) -> Path:
        return self.folder / "ssh" / "id_ed25519"

    @property
    def control_sockets(self) -> Path:
        """Shared ssh connections, of this lab alone so that no stale one outlives its hosts.

        Not in the cache: the name of a socket may have 107 characters at most.
        """
        key = hashlib.sha256(str(self.folder).encode()).hexdigest()[:10]
        return Path(tempfile.gettempdir()) / f"t9k-gpu-{os.getuid()}-{key}"

    def archives(self, host: str) -> Path:
        """What a host's apt downloads: /var/cache/apt/archives there."""
        return self.folder / "archives" / host

    @property
    def machines(self) -> Path:
        """A folder for each host that is a virtual machine."""
        return self.folder / "machines"

    # the cluster's own

    @property
    def cluster(self) -> Path:
        return self.folder / "cluster"

    @property
    def pki(self) -> Path:
        return self.cluster / "pki"

    @property
    def logs(self) -> Path:
        return self.cluster / "logs"

    @property
    def audit_log(self) -> Path:
        return self.folder / "audit.log"


def write_atomically(path: Path, text: str, mode: int = 0o600) -> None:
    """Put ``text`` at ``path`` by way of a temporary file that only we can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
    temporary.replace(path)


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Let one process at a time work on what ``name`` stands for; the others wait."""
    path = cache() / "locks" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
