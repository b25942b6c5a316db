# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the report as data: the fleet, its nodes, what changed.

Pure: node facts in (docs/report.md), a JSON-like model out. The page and the JSON file are both made from the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.gpu import Gpu
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import judge_gpu
from ansible_collections.t9k.gpu.plugins.module_utils._p2p import samples as p2p
from ansible_collections.t9k.gpu.plugins.module_utils._report.node import (
    STATES,
    items,
    mapping,
    read_node,
    short_model,
)

FORMAT = 1
#: The states of which somebody should do something.
ATTENTION = ("unreachable", "problem", "reboot", "changes")
#: The matrices shown, in this order; the rest is in the JSON.
SHOWN = {
    p2p.UNIDIRECTIONAL_ON: ("One-way bandwidth, peer access on", "GB/s"),
    p2p.BIDIRECTIONAL_ON: ("Two-way bandwidth, peer access on", "GB/s"),
    p2p.GPU_LATENCY_ON: ("Latency, peer access on", "us"),
}
_GPU_KEYS = (
    "index",
    "product_name",
    "uuid",
    "pci_address",
    "memory_total_mib",
    "ecc_uncorrected_count",
    "mig_mode_current",
    "vbios_version",
)
#: What history compares, and how it is called.
_COMPARED = {
    "state": "state",
    "os": "OS",
    "kernel": "kernel",
    "driver_version": "driver",
    "kernel_modules": "kernel modules",
    "gsp_enabled": "GSP firmware",
    "persistence_enabled": "persistence",
    "reboot_pending": "reboot pending",
    "sharing": "sharing",
    "p2p_verdict": "peer-to-peer verdict",
}


def build(facts: Iterable[Mapping[str, Any]], title: str, generated_at: str, previous: Any = None) -> dict[str, Any]:
    """Build the whole model. ``previous`` is an older model as read from its JSON file; what is none is ignored."""
    nodes = sorted((_node(node) for node in facts), key=lambda node: (STATES.index(node["state"]), node["name"]))
    return {
        "format": FORMAT,
        "title": title,
        "generated_at": generated_at,
        "summary": summary(nodes),
        "history": history(previous, nodes),
        "nodes": nodes,
    }


def _node(facts: Mapping[str, Any]) -> dict[str, Any]:
    row = read_node(facts)
    test, topology = mapping(facts.get("p2p")), mapping(facts.get("topology"))
    count = len(items(topology.get("gpus")))
    links = [list(items(line))[:count] for line in items(topology.get("links"))[:count]]
    return {
        **row.to_dict(),
        "allocatable": dict(row.allocatable),
        "steps": [{"name": name, "reason": reason} for name, reason in row.steps],
        "problems": list(row.problems),
        "held_packages": None if row.held_packages is None else list(row.held_packages),
        "gpus": [_gpu(mapping(gpu), position, facts) for position, gpu in enumerate(items(facts.get("gpus")))],
        "labels": {str(k): str(v) for k, v in sorted(mapping(mapping(facts.get("cluster")).get("labels")).items())},
        "links": links if links and all(len(line) == count for line in links) else [],
        "past": [_past(mapping(entry)) for entry in reversed(items(facts.get("history")))],
        "p2p_verdict": test.get("verdict"),
        "p2p": {
            "note": test.get("note"),
            "reasons": [_reason(reason) for reason in items(test.get("reasons"))],
            "cautions": [str(caution) for caution in items(test.get("cautions"))],
            "matrices": {str(name): _square(rows) for name, rows in mapping(test.get("matrices")).items()},
        },
    }


def _gpu(gpu: Mapping[str, Any], position: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    checks = (mapping(check) for check in items(facts.get("compute")))
    check = next((check for check in checks if check.get("uuid") and check["uuid"] == gpu.get("uuid")), mapping(None))
    problems = [fault.evidence for fault in judge_gpu(Gpu.of(gpu, position))]
    kept = {key: gpu.get(key) for key in _GPU_KEYS}
    return {
        **kept,
        "index": gpu.get("index", position),
        "model": short_model(gpu.get("product_name")),
        "compute": {key: check.get(key) for key in ("status", "message", "error", "seconds")} if check else None,
        "problems": problems,
    }


def _past(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a change was and what it came to, as words of a row."""
    before, after = (str(entry.get(key) or "none") for key in ("before", "after"))
    return {
        "at": str(entry.get("at", "")),
        "what": ", ".join(str(step) for step in items(entry.get("steps"))),
        "driver": before if before == after else f"{before} → {after}",
        "away_s": entry["away_s"] if isinstance(entry.get("away_s"), int) else None,
        "outcome": str(entry.get("outcome", "")),
        "why": ": ".join(str(entry[key]) for key in ("failed_at", "why") if entry.get(key)),
    }


def _reason(reason: Any) -> dict[str, Any]:
    told = mapping(reason)
    gpus = items(told.get("pair"))
    pair = list(gpus) if len(gpus) == 2 and all(isinstance(gpu, int) for gpu in gpus) else None
    message = str(told.get("message", reason))
    return {
        "severity": str(told.get("severity", "warn")),
        "message": message,
        "pair": pair,
        "matrix": told.get("matrix"),
    }


def _square(rows: Any) -> list[list[float | None]]:
    """Keep numbers and holes only, whatever the file says."""

    def number(cell: Any) -> float | None:
        return cell if isinstance(cell, (int, float)) and not isinstance(cell, bool) else None

    lines = items(rows)
    size = len(lines)
    return [[*(number(cell) for cell in items(row)[:size]), *[None] * (size - len(items(row)))] for row in lines]


def summary(nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sum the fleet up in numbers."""
    states = Counter(node["state"] for node in nodes)
    models = Counter(gpu["model"] for node in nodes for gpu in node["gpus"])
    drivers = Counter(node["driver_version"] for node in nodes if node["driver_version"])
    return {
        "node_count": len(nodes),
        "gpu_count": sum(node["gpu_count"] or 0 for node in nodes),
        "attention_count": sum(states[state] for state in ATTENTION),
        "reboot_count": sum(node["reboot_pending"] is True for node in nodes),
        "problem_count": sum(len(node["problems"]) for node in nodes),
        "states": {state: states[state] for state in STATES if states[state]},
        "gpu_models": dict(models.most_common()),
        "driver_versions": dict(drivers.most_common()),
    }


def history(previous: Any, nodes: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return what changed since ``previous``; None if that is no report of this format."""
    told = mapping(previous)
    if told.get("format") != FORMAT:
        return None
    old = {str(mapping(node).get("name")): mapping(node) for node in items(told.get("nodes"))}
    new = {node["name"]: node for node in nodes}
    both = [(name, old[name], new[name]) for name in sorted(new) if name in old]
    return {
        "since": str(told.get("generated_at", "")),
        "added": sorted(set(new) - set(old)),
        "removed": sorted(set(old) - set(new)),
        "changes": [change for name, before, after in both for change in _changes(name, before, after)],
    }


def _changes(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for key, what in _COMPARED.items():
        if before.get(key) != after.get(key):
            yield {"node": name, "what": what, "before": said(before.get(key)), "after": said(after.get(key))}
    for what, gone, come in (
        ("GPU", *_moved(_uuids(before), _uuids(after))),
        ("held package", *_moved(items(before.get("held_packages")), items(after.get("held_packages")))),
        ("problem", *_moved(items(before.get("problems")), items(after.get("problems")))),
        ("allocatable", *_moved(_pairs(before), _pairs(after))),
    ):
        if gone or come:
            yield {"node": name, "what": what, "before": ", ".join(gone), "after": ", ".join(come)}


def _moved(before: Sequence[Any], after: Sequence[Any]) -> tuple[list[str], list[str]]:
    """Return what is gone, and what is new."""
    return [str(x) for x in before if x not in after], [str(x) for x in after if x not in before]


def _uuids(node: Mapping[str, Any]) -> list[str]:
    return [str(mapping(gpu)["uuid"]) for gpu in items(node.get("gpus")) if mapping(gpu).get("uuid")]


def _pairs(node: Mapping[str, Any]) -> list[str]:
    return [f"{name}: {amount}" for name, amount in sorted(mapping(node.get("allocatable")).items())]


def said(value: Any) -> str:
    """Put a value into words: on, off, or unknown."""
    return "unknown" if value is None else "on" if value is True else "off" if value is False else str(value)
