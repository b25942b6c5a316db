"""Read a lab's spec and the hardware profiles: what hosts are wanted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PROFILES = Path(__file__).resolve().parents[1] / "profiles.yml"
SYSTEMS = ("debian-12", "ubuntu-like")
COMPONENTS = ("main", "all")


class SpecError(ValueError):
    """The spec asks for something that the lab cannot be."""


@dataclass(frozen=True)
class Host:
    name: str
    os: str
    gpus: str = "none"  # a name in profiles.yml
    components: str = "main"  # debian-12: "all" switches contrib, non-free and non-free-firmware on
    hardware: dict[str, Any] | None = None  # fields that replace the profile's on this host

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", self.name):
            raise SpecError(f"host name {self.name!r}: lower-case letters, digits and '-' are wanted")
        _one_of(f"host {self.name}: os", self.os, SYSTEMS)
        _one_of(f"host {self.name}: components", self.components, COMPONENTS)
        _one_of(f"host {self.name}: gpus", self.gpus, tuple(profiles()))

    def profile(self) -> dict[str, Any]:
        return {**profiles()[self.gpus], **(self.hardware or {})}


def profiles() -> dict[str, dict[str, Any]]:
    return yaml.safe_load(PROFILES.read_text())


def read(path: Path) -> tuple[Host, ...]:
    """The hosts of the spec in the order given."""
    document = yaml.safe_load(path.read_text())
    rows = document.get("hosts") if isinstance(document, dict) else None
    if not rows:
        raise SpecError(f"{path}: a list 'hosts' with one host or more is wanted")
    try:
        hosts = tuple(Host(**row) for row in rows)
    except TypeError as error:
        raise SpecError(f"{path}: {error}") from error
    names = [host.name for host in hosts]
    if len(set(names)) != len(names):
        raise SpecError(f"{path}: each host needs a name of its own, found {', '.join(names)}")
    return hosts


def _one_of(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise SpecError(f"{what}: {value!r} is none of {', '.join(allowed)}")
