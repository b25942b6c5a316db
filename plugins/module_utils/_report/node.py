# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read one node of the report from its facts.

Every fact may be missing; a missing one is None here and shown as such, never guessed. The contract is docs/report.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.gpu import Gpu
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import Fault, judge_gpu

#: The worst first: the order in which pages and tables list nodes.
STATES = ("unreachable", "problem", "reboot", "changes", "unknown", "ok", "no GPU")

#: Facts without which nothing is known about a node.
_EVIDENCE = ("os", "kernel", "driver", "gpus", "plan", "cluster", "topology", "p2p")


@dataclass(frozen=True)
class Node:
    """What one row of the report needs."""

    name: str
    state: str
    os: str | None
    kernel: str | None
    gpu_count: int | None
    gpu_models: str | None
    driver_version: str | None
    kernel_modules: str | None
    gsp_enabled: bool | None
    persistence_enabled: bool | None
    held_packages: tuple[str, ...] | None
    reboot_pending: bool | None
    reboot_reason: str | None
    rebooted: bool | None
    away_seconds: int | None
    sharing: str | None
    allocatable: tuple[tuple[str, str], ...]
    steps: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else ()


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _shared(values: Sequence[bool | None]) -> bool | None:
    """Return True if all are true, False if one is not, None if nothing is known."""
    known = [value for value in values if value is not None]
    return all(known) if known else None


def short_model(product_name: str | None) -> str:
    """Shorten ``NVIDIA A100-SXM4-80GB`` to ``A100-SXM4-80GB``, as people say it."""
    return (product_name or "unknown GPU").replace("NVIDIA ", "", 1)


def gpu_models(gpus: Sequence[Any]) -> str | None:
    """Count the models: ``7x A40``, or ``2x A100-PCIE-40GB, 1x T4`` on a mixed node."""
    counts = Counter(short_model(_text(mapping(gpu).get("product_name"))) for gpu in gpus)
    return ", ".join(f"{count}x {model}" for model, count in counts.items()) or None


def faults(facts: Mapping[str, Any]) -> tuple[Fault, ...]:
    """Return what others told of the node's health, and what its GPUs' own facts say; the same fault of the same GPU once."""
    told = [Fault.of(entry) for entry in items(facts.get("health")) if mapping(entry)]
    gpus = (Gpu.of(mapping(gpu), position) for position, gpu in enumerate(items(facts.get("gpus"))))
    judged = [fault for gpu in gpus for fault in judge_gpu(gpu)]
    return tuple({fault.key: fault for fault in (*judged, *told)}.values())


def _driver_version(driver: Mapping[str, Any]) -> str | None:
    installed, loaded = _text(driver.get("installed_version")), _text(driver.get("loaded_version"))
    if installed and loaded and installed != loaded:
        return f"{loaded} loaded, {installed} installed"
    return loaded or (f"{installed} (not loaded)" if installed else None)


def _problems(facts: Mapping[str, Any]) -> tuple[str, ...]:
    found = [*map(str, items(facts.get("problems"))), *map(str, faults(facts))]
    test = mapping(facts.get("p2p"))
    if test.get("verdict") == "fail":
        found += [
            f"peer to peer: {mapping(reason).get('message', reason)}" for reason in items(test.get("reasons"))[:3]
        ]
    return tuple(dict.fromkeys(found))


def _state(facts: Mapping[str, Any], problems: Sequence[str], steps: Sequence[Any]) -> str:
    unseen = not any(facts.get(name) is not None for name in _EVIDENCE)
    if facts.get("reachable") is False or (unseen and not problems):
        return "unreachable"
    if problems:
        return "problem"
    if mapping(facts.get("driver")).get("reboot_pending") is True:
        return "reboot"
    if steps:
        return "changes"
    if facts.get("gpus") is None:
        return "unknown"
    return "ok" if facts["gpus"] else "no GPU"


def read_node(facts: Mapping[str, Any]) -> Node:
    """Make the row for one node's facts."""
    driver, cluster = mapping(facts.get("driver")), mapping(facts.get("cluster"))
    gpus = [mapping(gpu) for gpu in items(facts.get("gpus"))]
    held = driver.get("held_packages")
    steps = tuple(
        (str(mapping(step).get("name", step)), str(mapping(step).get("reason", "")))
        for step in items(mapping(facts.get("plan")).get("steps"))
    )
    problems = _problems(facts)
    persistence = _flag(driver.get("persistence_enabled"))
    gsp = _flag(driver.get("gsp_enabled"))
    return Node(
        name=str(facts.get("name") or "(no name)"),
        state=_state(facts, problems, steps),
        os=_text(facts.get("os")),
        kernel=_text(facts.get("kernel")),
        gpu_count=None if facts.get("gpus") is None else len(gpus),
        gpu_models=gpu_models(gpus),
        driver_version=_driver_version(driver),
        kernel_modules=_text(driver.get("kernel_modules")),
        gsp_enabled=gsp if gsp is not None else _shared([_flag(gpu.get("gsp_enabled")) for gpu in gpus]),
        persistence_enabled=persistence
        if persistence is not None
        else _shared([_flag(gpu.get("persistence_enabled")) for gpu in gpus]),
        held_packages=None if held is None else tuple(str(package) for package in items(held)),
        reboot_pending=_flag(driver.get("reboot_pending")),
        reboot_reason=_text(driver.get("reboot_reason")),
        rebooted=_flag(driver.get("rebooted")),
        away_seconds=away if isinstance(away := driver.get("away_seconds"), int) else None,
        sharing=_text(cluster.get("sharing")),
        allocatable=tuple((str(k), str(v)) for k, v in sorted(mapping(cluster.get("allocatable")).items())),
        steps=steps,
        problems=problems,
    )
