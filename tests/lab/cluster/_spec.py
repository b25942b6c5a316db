"""The spec of a lab, read for the cluster's part. Pure but for ``load``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.lab.cluster._log import LabError

HERE = Path(__file__).resolve().parent
PROFILES = HERE.parent / "profiles.yml"
#: The CRDs of other products that a spec may ask for: name in the spec → file below crds/.
KNOWN_CRDS = {"servicemonitor": "servicemonitor.yml", "queue": "queue.yml"}


@dataclass(frozen=True)
class NodeSpec:
    """One node of the cluster: its name, the hardware profile it pretends to have and the system it pretends to run."""

    name: str
    gpus: str = "none"
    os: str = "debian-12"
    extra: bool = False


@dataclass(frozen=True)
class ClusterSpec:
    nodes: tuple[NodeSpec, ...]
    crds: tuple[str, ...] = ()


def load_profiles() -> dict[str, dict[str, Any]]:
    """The hardware profiles by name."""
    profiles: dict[str, dict[str, Any]] = yaml.safe_load(PROFILES.read_text())
    return profiles


def load(path: Path) -> ClusterSpec:
    """The cluster's part of the spec file at ``path``."""
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise LabError(f"no spec at {path}; give one with --spec, e.g. tests/lab/specs/demo.yml") from None
    return parse(document, load_profiles(), str(path))


def parse(document: Any, profiles: Mapping[str, Any], where: str = "spec") -> ClusterSpec:
    """A ``ClusterSpec`` from a spec document; every mistake is an error that names its place."""
    if not isinstance(document, dict) or not isinstance(document.get("hosts"), list):
        raise LabError(f"{where}: wanted a mapping with a list 'hosts', found {type(document).__name__}")
    nodes = tuple(_node(host, profiles, f"{where}: hosts[{i}]") for i, host in enumerate(document["hosts"]))
    names = [node.name for node in nodes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise LabError(f"{where}: host names must be unique, found twice: {', '.join(twice)}")
    return ClusterSpec(nodes, _crds(document.get("cluster", True), where))


def _node(host: Any, profiles: Mapping[str, Any], where: str) -> NodeSpec:
    if not isinstance(host, dict) or not isinstance(host.get("name"), str):
        raise LabError(f"{where}: wanted a mapping with a 'name', found {host!r}")
    gpus = host.get("gpus", "none")
    if gpus not in profiles:
        raise LabError(f"{where}: gpus: wanted one of {', '.join(profiles)}, found {gpus!r}")
    return NodeSpec(host["name"], gpus, host.get("os", "debian-12"))


def _crds(cluster: Any, where: str) -> tuple[str, ...]:
    """``cluster: true`` is a cluster without extras; ``cluster: {crds: [...]}`` names them."""
    if cluster is True:
        return ()
    if not isinstance(cluster, dict):
        raise LabError(f"{where}: cluster: wanted true or a mapping, found {cluster!r}; this spec has no cluster")
    crds = cluster.get("crds", [])
    unknown = [crd for crd in crds if crd not in KNOWN_CRDS]
    if unknown:
        raise LabError(f"{where}: cluster.crds: wanted some of {', '.join(KNOWN_CRDS)}, found {', '.join(unknown)}")
    return tuple(crds)


def extra_nodes(plain: int, with_gpus: int, profile: str) -> tuple[NodeSpec, ...]:
    """Nodes that no host stands behind, for benchmarks."""
    return (
        *(NodeSpec(f"extra-{i:04}", extra=True) for i in range(1, plain + 1)),
        *(NodeSpec(f"extra-gpu-{i:04}", profile, extra=True) for i in range(1, with_gpus + 1)),
    )
