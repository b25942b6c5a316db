# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make one frozen wanted state of the role's variables, with every mistake in them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.t9k.gpu.plugins.module_utils._operator import checks
from ansible_collections.t9k.gpu.plugins.module_utils._operator import objects as operator_objects
from ansible_collections.t9k.gpu.plugins.module_utils._operator import values as operator_values
from ansible_collections.t9k.gpu.plugins.module_utils._operator.helm import digest_of, is_remote
from ansible_collections.t9k.gpu.plugins.module_utils._operator.left_out import limit
from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import OPERANDS_LABEL, Expect
from ansible_collections.t9k.gpu.plugins.module_utils._operator.values import uses_gpu_cluster
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import documents as sharing_documents
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.documents import CONFIG_LABEL, MIG_LABEL

#: The guide's name.
SHARING_NAME = "time-slicing-config"
#: Which chart is meant, and which images, as plugins/doc_fragments/chart.py documents it.
ARGUMENT_SPEC: dict[str, Any] = {
    "chart": {"type": "str", "required": True},
    "version": {"type": "str", "required": True},
    "versions": {"type": "dict", "required": True},
    "version_unchecked": {"type": "bool", "default": False},
    "driver": {"type": "str", "choices": ["host", "operator"], "default": "host"},
    "values": {"type": "dict", "default": {}},
    "image_registry": {"type": "str", "default": ""},
    "images": {"type": "dict", "default": {}},
}


@dataclass(frozen=True)
class Wanted:
    """What the operator and everything around it should be. ``faults``: what is wrong with the variables."""

    present: bool
    mode: str
    chart: str
    #: Fingerprint of a local chart: it may change without its version changing.
    digest: str
    version: str
    series: Mapping[str, Any]
    #: The series whose data is used; another than the version's own if it is not known.
    taken_for: str
    release: str
    namespace: str
    driver: str
    values: Mapping[str, Any]
    monitor: Mapping[str, Any]
    #: Sharing config name → document of the device plugin; {} if nothing is shared.
    sharing: Mapping[str, Mapping[str, Any]]
    #: node → label → value; None: must not be there.
    labels: Mapping[str, Mapping[str, str | None]]
    #: All nodes of the inventory; labels of others are left as they are.
    scope: tuple[str, ...]
    objects: tuple[Mapping[str, Any], ...]
    pull_secrets: tuple[str, ...]
    crds_remove: bool
    #: Whether an operator that nobody owns, or a release that was not made here, is taken over.
    adopt: bool
    #: Whether running GPU pods may lose their GPUs.
    interrupt: bool
    stale_after_s: int
    expect: Expect
    faults: tuple[str, ...] = field(default=())
    #: Version and kind of those further objects that are in no namespace; only the API server knows them.
    cluster_kinds: frozenset[tuple[str, str]] = frozenset()

    def ref(self, item: Mapping[str, Any]) -> operator_objects.Ref:
        """Return the address of a further object; one that names no namespace is in the operator's, if it is in any."""
        nowhere = (item["apiVersion"], item["kind"]) in self.cluster_kinds
        return operator_objects.ref_of(item, "" if nowhere else self.namespace)

    @property
    def unplaced(self) -> tuple[str, ...]:
        """Return the API versions of custom objects that name no namespace: they may be in none."""
        found = (item for item in self.objects if not item["metadata"].get("namespace"))
        return tuple(sorted({item["apiVersion"] for item in found if self.ref(item).crd}))

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Wanted:
        """Read the plan module's parameters. Never raises: what is wrong is in ``faults``."""
        faults = checks.Faults()
        nothing: dict[str, Any] = {}
        named = (params["version"], params["versions"], params["version_unchecked"])
        taken_for = faults.attempt(lambda: operator_values.series_name(*named), "")
        series = params["versions"].get(taken_for, nothing)
        sharing = faults.attempt(lambda: sharing_documents.documents(params["sharing"]), nothing)
        values = operator_values.build(series, _typed(params, sharing)) if series else nothing
        labels = node_labels(params)
        if sharing or not params["sharing"]:
            checks.check_nodes(_by_node(labels, CONFIG_LABEL), _by_node(labels, MIG_LABEL), sharing, faults)
        checks.check_chart(params, faults)
        checks.check_monitor(params, values, faults)
        checks.check_shape(params, values, faults)
        faults.attempt(lambda: limit(params["nodes_tolerated"], 1), 0)
        return cls(
            present=params["state"] == "present",
            digest="" if is_remote(params["chart"]) else digest_of(params["chart"]),
            series=series,
            taken_for=taken_for,
            driver="operator" if (values.get("driver") or {}).get("enabled") else "host",
            values=values,
            monitor=params["service_monitor"],
            sharing=sharing,
            labels=labels,
            scope=tuple(node for node in params["nodes"] if node not in params["nodes_failed"]) or tuple(labels),
            objects=_objects(params, uses_gpu_cluster(values)),
            pull_secrets=tuple(params["own_pull_secrets"]),
            stale_after_s=params["wait_timeout"],
            expect=_expect(params, labels, sharing, values),
            faults=tuple(faults.found),
            **{
                name: params[name]
                for name in ("mode", "chart", "version", "release", "namespace", "crds_remove", "adopt", "interrupt")
            },
        )


def _typed(params: Mapping[str, Any], sharing: Mapping[str, Any]) -> operator_values.Typed:
    return operator_values.Typed(
        driver=params["driver"],
        sharing_name=SHARING_NAME if sharing else "",
        monitor=params["service_monitor"],
        registry=params["image_registry"],
        images=params["images"],
        pull_secrets=tuple(params["pull_secrets"]),
        free=params["values"],
    )


def node_labels(params: Mapping[str, Any]) -> dict[str, dict[str, str | None]]:
    """Make labels of the three variables that a host may have. A host without one is not in the result, nor is one on which this
    run has failed: its labels would send pods to it."""
    wanted: dict[str, dict[str, str | None]] = {}
    failed = params["nodes_failed"]
    for key, option in ((CONFIG_LABEL, "node_sharing"), (MIG_LABEL, "node_mig")):
        for node, config in params[option].items():
            if config not in (None, "") and node not in failed:
                wanted.setdefault(node, {})[key] = str(config)
    for node, operands in params["node_operands"].items():
        if operands not in (None, "") and node not in failed:
            wanted.setdefault(node, {})[OPERANDS_LABEL] = None if boolean(operands) else "false"
    return wanted


def _by_node(labels: Mapping[str, Mapping[str, str | None]], key: str) -> dict[str, str]:
    return {node: value for node, found in labels.items() for value in [found.get(key)] if value}


def _expect(
    params: Mapping[str, Any],
    labels: Mapping[str, Mapping[str, Any]],
    documents: Mapping[str, Any],
    values: Mapping[str, Any],
) -> Expect:
    active = {node: found for node, found in labels.items() if found.get(OPERANDS_LABEL) != "false"}
    return Expect(
        nfd=bool((values.get("nfd") or {}).get("enabled", True)),
        configs=documents,
        sharing=_by_node(active, CONFIG_LABEL),
        mig=_by_node(active, MIG_LABEL),
        gpu_nodes=tuple(node for node in params["gpu_nodes"] if labels.get(node, {}).get(OPERANDS_LABEL) != "false"),
        gpu_cluster=uses_gpu_cluster(values),
        tolerated=params["nodes_tolerated"],
        failed=tuple(params["nodes_failed"]),
    )


def _objects(params: Mapping[str, Any], gpu_cluster: bool) -> tuple[dict[str, Any], ...]:
    found = []
    if params["service_monitor"]["by"] == "role":
        app = "nvidia-dcgm-exporter-dra" if gpu_cluster else "nvidia-dcgm-exporter"
        found.append(operator_objects.service_monitor(params["service_monitor"], params["namespace"], app))
    if params["queue"]:
        found.append(operator_objects.queue(params["queue"]))
    return (*found, *params["manifests"])
