# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Collect a node's facts for the report, from what a play knows of its host.

Later sources win: the local fact file, the role driver's plan, gathered facts, ``nvidia_smi_facts``, the peer-to-peer
test, the check that GPUs compute, the cluster's Node, and the variable ``gpu_report_node``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._report.node import items, mapping

#: ``/etc/ansible/facts.d/t9k_gpu.fact``
LOCAL_FACT = "t9k_gpu"
#: The variable that adds to or overrides everything else.
OVERRIDE = "gpu_report_node"
#: Where the role gpu_validate leaves what nvidia_p2p_test returned.
P2P = "gpu_validate_p2p"
#: Where the roles gpu_validate and driver leave what nvidia_cuda_check returned.
COMPUTE = ("gpu_validate_compute", "__driver_compute")

_NESTED = ("driver", "cluster")
_LABELS = ("nvidia.com/", "tensorstack.dev/")
_PRODUCT, _REPLICAS, _STRATEGY = "nvidia.com/gpu.product", "nvidia.com/gpu.replicas", "nvidia.com/gpu.sharing-strategy"


def collect(
    name: str,
    variables: Mapping[str, Any],
    cluster_node: Mapping[str, Any] | None = None,
    planned: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return one node of the contract in docs/report.md. ``planned``: what the filter ``driver_nodes`` makes of the host."""
    facts = mapping(variables.get("ansible_facts"))
    node: dict[str, Any] = {}
    for source in (
        mapping(mapping(facts.get("ansible_local")).get(LOCAL_FACT)),
        {key: value for key, value in mapping(planned).items() if value not in (False, [], None) or key == "gpus"},
        _system(facts),
        _smi(mapping(facts.get("nvidia_smi"))),
        {"p2p": variables[P2P]} if mapping(variables.get(P2P)) else {},
        next((_compute(mapping(variables[name])) for name in COMPUTE if mapping(variables.get(name))), {}),
        {"cluster": cluster(cluster_node)} if cluster_node else {},
        mapping(variables.get(OVERRIDE)),
    ):
        node = _merged(node, source)
    seen = [key for key in node if key not in ("cluster", "name")]
    return {"reachable": bool(seen), **node, "name": name}


def _merged(node: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """The two together; sections are joined, None does not erase what is known, faults and problems add up."""
    merged = {**node, **{key: value for key, value in source.items() if value is not None}}
    for section in _NESTED:
        known = {key: value for key, value in mapping(source.get(section)).items() if value is not None}
        if known:
            merged[section] = {**mapping(node.get(section)), **known}
    problems = [*items(node.get("problems")), *items(source.get("problems"))]
    health = [*items(node.get("health")), *items(source.get("health"))]
    return {
        **merged,
        **({"problems": list(dict.fromkeys(problems))} if problems else {}),
        **({"health": health} if health else {}),
    }


def _system(facts: Mapping[str, Any]) -> dict[str, Any]:
    words = [str(facts[key]) for key in ("distribution", "distribution_version") if facts.get(key)]
    return {"os": " ".join(words) or None, "kernel": facts.get("kernel")}


def _smi(smi: Mapping[str, Any]) -> dict[str, Any]:
    """Read the facts of ``nvidia_smi_facts``. A host without any GPU on its bus has no fault in having no driver."""
    if not smi:
        return {}
    module = mapping(smi.get("kernel_module"))
    if not smi.get("pci_gpus") and not smi.get("gpus"):
        return {"gpus": []}
    return {
        "gpus": list(items(smi.get("gpus"))),
        "topology": smi.get("topology"),
        "health": list(items(smi.get("health"))),
        "driver": {
            "loaded_version": smi.get("driver_version") or module.get("version"),
            "kernel_modules": module.get("kernel_modules"),
        },
    }


def _compute(told: Mapping[str, Any]) -> dict[str, Any]:
    """Read what ``nvidia_cuda_check`` returned; a task that was skipped left something else."""
    return {"compute": told["gpus"], "health": told.get("health")} if items(told.get("gpus")) else {}


def cluster(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a Node object says about GPUs."""
    labels = mapping(mapping(node.get("metadata")).get("labels"))
    allocatable = mapping(mapping(node.get("status")).get("allocatable"))
    return {
        "allocatable": {key: str(amount) for key, amount in allocatable.items() if key.startswith("nvidia.com/")},
        "labels": {key: str(value) for key, value in labels.items() if key.startswith(_LABELS)},
        "sharing": _sharing(labels, allocatable),
    }


def _sharing(labels: Mapping[str, Any], allocatable: Mapping[str, Any]) -> str | None:
    """Say in words how GPUs are shared, by what the device plugin and the feature discovery say."""
    if not any(str(key).startswith("nvidia.com/") for key in allocatable):
        return None
    slices = [key for key in allocatable if key.startswith("nvidia.com/mig-") and str(allocatable[key]) != "0"]
    if slices:
        return "MIG " + ", ".join(sorted(key[len("nvidia.com/mig-") :] for key in slices))
    replicas = str(labels.get(_REPLICAS, "1"))
    if replicas.isdigit() and int(replicas) > 1:
        return f"{labels.get(_STRATEGY) or 'time-slicing'} x{replicas}"
    shared = "nvidia.com/gpu.shared" in allocatable or str(labels.get(_PRODUCT, "")).endswith("-SHARED")
    return "shared" if shared else "exclusive"


def by_name(nodes: Sequence[Any]) -> dict[str, Mapping[str, Any]]:
    """Return Node objects by their names."""
    return {str(mapping(mapping(node).get("metadata")).get("name")): mapping(node) for node in nodes}
