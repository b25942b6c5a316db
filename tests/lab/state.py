"""Where the lab keeps what it makes: always outside the clone, below $T9K_GPU_CACHE (``./dev`` exports it)."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path


def cache() -> Path:
    """The folder of everything that may be deleted at any time and made again."""
    named = os.environ.get("T9K_GPU_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "t9k-gpu"


@dataclass(frozen=True)
class Lab:
    """The files of one lab. Both parts of the lab, hosts and cluster, find each other's files here."""

    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,40}", self.name):
            raise ValueError(f"a lab's name is lower-case letters, digits and '-' (41 at most), not {self.name!r}")

    @property
    def folder(self) -> Path:
        return cache() / "labs" / self.name

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yml"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

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
