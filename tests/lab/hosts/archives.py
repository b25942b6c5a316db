"""Downloaded packages, kept between labs by hard links: every host has its own folder, so apt's locks stay apart."""

from __future__ import annotations

from pathlib import Path

from tests.lab.hosts import machine
from tests.lab.state import Lab, cache


def _link(source: Path, target: Path) -> None:
    for folder in (source, target):
        folder.mkdir(parents=True, exist_ok=True)
    find = ["find", str(source), "-maxdepth", "1", "-name", "*.deb", "-exec"]
    machine.run([*machine.as_root(), *find, "cp", "--link", "--no-clobber", "-t", str(target), "{}", "+"])


def shared(system: str) -> Path:
    return cache() / "archives" / system


def give(lab: Lab, host: str, system: str) -> Path:
    """The host's /var/cache/apt/archives with all that was downloaded before."""
    _link(shared(system), lab.archives(host))
    return lab.archives(host)


def keep(lab: Lab, host: str, system: str) -> None:
    """Put what the host downloaded into the cache."""
    _link(lab.archives(host), shared(system))
