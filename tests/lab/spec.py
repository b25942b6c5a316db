"""Read a lab's spec and the hardware profiles: what hosts and what cluster are wanted. Pure but for ``read``."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.lab.log import LabError

HERE = Path(__file__).resolve().parent
DEMO = HERE / "specs" / "demo.yml"
#: What a host of each kind can run.
SYSTEMS = {"container": ("debian-12", "debian-13", "ubuntu-like"), "vm": ("debian-12", "debian-13", "ubuntu-like")}
COMPONENTS = ("main", "all")
#: The CRDs of other products that a spec may ask for: name in the spec → file.
CRDS = {path.stem: path for path in sorted((HERE / "cluster" / "crds").glob("*.yml"))}


@dataclass(frozen=True)
class Host:
    """Say what one host is; the cluster, where there is one, has a node of the same name."""

    name: str
    os: str
    gpus: str = "none"  # a name in profiles.yml
    components: str = "main"  # debian: "all" switches contrib, non-free and non-free-firmware on
    hardware: dict[str, Any] | None = None  # fields that replace the profile's on this host
    kind: str = "container"  # or vm: kernels of its own
    secure_boot: bool = False  # vm: the firmware starts and the kernel loads only what is signed

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?", self.name):
            raise LabError(f"host name: wanted lower-case letters, digits and '-', found {self.name!r}")
        _one_of(f"host {self.name}: kind", self.kind, tuple(SYSTEMS))
        _one_of(f"host {self.name}: os", self.os, SYSTEMS[self.kind])
        _one_of(f"host {self.name}: components", self.components, COMPONENTS)
        _one_of(f"host {self.name}: gpus", self.gpus, tuple(profiles()))
        if self.secure_boot and self.kind != "vm":
            raise LabError(f"host {self.name}: secure_boot: wanted a host of kind vm, found {self.kind}")

    def profile(self) -> dict[str, Any]:
        """Return the hardware of this host."""
        return {**profiles()[self.gpus], **(self.hardware or {})}


@dataclass(frozen=True)
class Cluster:
    """Say what the control plane has from the beginning."""

    crds: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spec:
    hosts: tuple[Host, ...] = ()
    cluster: Cluster | None = None


@functools.cache
def profiles() -> dict[str, dict[str, Any]]:
    """Return the hardware profiles by name; nobody changes them."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((HERE / "profiles.yml").read_text())
    return found


def read(path: Path) -> Spec:
    """Return the spec in the file at ``path``."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise LabError(f"no spec at {path}; give one with --spec, e.g. tests/lab/specs/demo.yml") from None
    return parse(yaml.safe_load(text), str(path))


def parse(document: Any, where: str = "spec") -> Spec:
    """Return the spec of a document; every mistake is an error that names its place."""
    if not isinstance(document, dict) or not isinstance(document.get("hosts"), list):
        raise LabError(f"{where}: wanted a mapping with a list 'hosts', found {type(document).__name__}")
    hosts = tuple(_host(row, f"{where}: hosts[{index}]") for index, row in enumerate(document["hosts"]))
    names = [host.name for host in hosts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise LabError(f"{where}: each host needs a name of its own, found twice: {', '.join(twice)}")
    return Spec(hosts, _cluster(document.get("cluster", False), f"{where}: cluster"))


def _host(row: Any, where: str) -> Host:
    if not isinstance(row, dict):
        raise LabError(f"{where}: wanted a mapping with a 'name', found {row!r}")
    try:
        return Host(**row)
    except (TypeError, LabError) as error:  # TypeError: a key that is not a field, or a field that is missing
        raise LabError(f"{where}: {error}") from None


def _cluster(value: Any, where: str) -> Cluster | None:
    """``true`` is a cluster without extras; ``{crds: [...]}`` names them."""
    if value in (True, False):
        return Cluster() if value else None
    if not isinstance(value, dict):
        raise LabError(f"{where}: wanted true, false or a mapping, found {value!r}")
    for crd in value.get("crds", []):
        _one_of(f"{where}.crds", crd, tuple(CRDS))
    return Cluster(tuple(value.get("crds", [])))


def _one_of(what: str, found: str, allowed: tuple[str, ...]) -> None:
    if found not in allowed:
        raise LabError(f"{what}: wanted one of {', '.join(allowed)}, found {found!r}")
