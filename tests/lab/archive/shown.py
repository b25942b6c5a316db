"""Answer ``apt-cache show`` and ``apt-cache policy`` from the table, as text, with no apt and no host.

The forms are those of apt's own output; tests/unit/fixtures/apt holds captures of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._debian.version import sort_key
from tests.lab.archive import cuda, table, ubuntu
from tests.lab.archive.deb import Package

MIRRORS = {"updates": "http://archive.ubuntu.com/ubuntu", "security": "http://security.ubuntu.com/ubuntu"}
CUDA_MIRROR = "https://developer.download.nvidia.com/compute/cuda/repos/ubuntu2204/x86_64  Packages"


@dataclass(frozen=True)
class Offer:
    """One version of a package in one place."""

    package: Package
    origin: str
    priority: int = 500


def ubuntu_offers(series: str, day: str, releases: Mapping[str, str] | None = None) -> list[Offer]:
    """Ubuntu's archive of that series on that day, both pockets."""
    return [
        Offer(package, f"{MIRRORS[pocket]} {series}-{pocket}/{package.component} amd64 Packages")
        for pocket, found in ubuntu.moment(ubuntu.entries(series, releases), day).items()
        for package in found
    ]


def cuda_offers(day: str, priority: int = 600) -> list[Offer]:
    """NVIDIA's repository on that day; cuda-keyring gives it priority 600."""
    return [Offer(package, CUDA_MIRROR, priority) for package in cuda.packages(day)]


def kernels(series: str) -> list[str]:
    """Every kernel release of the table, as `uname -r` shows it."""
    facts = table.read(series)
    return [f"{row['abi']}-{kernel['flavour']}" for kernel in facts["kernels"] for row in kernel["abis"]]


class AptCache:
    """A ``run`` of the collection that knows these packages, and no other command."""

    def __init__(self, offers: Iterable[Offer]) -> None:
        self.versions: dict[str, dict[str, list[Offer]]] = {}
        for offer in offers:
            there = self.versions.setdefault(offer.package.name, {})
            there.setdefault(offer.package.version, []).append(offer)

    def __call__(self, argv: Sequence[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        if list(argv) == ["dpkg", "--print-architecture"]:
            return Result(tuple(argv), 0, "amd64\n", "")
        command, verb, pattern = argv
        if command != "apt-cache" or verb not in ("show", "policy"):
            raise AssertionError(f"the table answers apt-cache show and policy, not {' '.join(argv)}")
        names = sorted(name for name in self.versions if re.search(pattern, name))
        return Result(tuple(argv), 0, "".join(map(getattr(self, verb), names)), "")

    def show(self, name: str) -> str:
        """One stanza for each version, newest first, however many pockets have it."""
        return "".join(f"{self.versions[name][version][0].package.control}\n" for version in self._ordered(name))

    def policy(self, name: str) -> str:
        lines = [f"{name}:", "  Installed: (none)", f"  Candidate: {self._candidate(name)}", "  Version table:"]
        for version in self._ordered(name):
            offers = self.versions[name][version]
            lines.append(f"     {version} {max(each.priority for each in offers)}")
            lines += [f"        {each.priority} {each.origin}" for each in offers]
        return "\n".join(lines) + "\n"

    def _ordered(self, name: str) -> list[str]:
        return sorted(self.versions[name], key=sort_key, reverse=True)

    def _candidate(self, name: str) -> str:
        """The newest of the highest priority."""
        ranked = {version: max(each.priority for each in found) for version, found in self.versions[name].items()}
        return next(version for version in self._ordered(name) if ranked[version] == max(ranked.values()))
