# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role's variables → one frozen wish, and every mistake in them at once.

Private: subject to change without notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, TypeVar

from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._operator import objects as operator_objects
from ansible_collections.t9k.gpu.plugins.module_utils._operator import values as operator_values
from ansible_collections.t9k.gpu.plugins.module_utils._operator.helm import digest_of, is_remote, local_chart_version
from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import OPERANDS_LABEL, Expect
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import documents as sharing_documents
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.documents import CONFIG_LABEL, MIG_LABEL

Made = TypeVar("Made")

#: The guide's name.
SHARING_NAME = "time-slicing-config"
_MONITOR_BY = ("none", "role", "chart")


@dataclass(frozen=True)
class Wish:
    """What the operator and everything around it should be."""

    present: bool
    mode: str
    chart: str
    #: Fingerprint of a local chart: it may change without its version changing.
    digest: str
    version: str
    series: Mapping[str, Any]
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
    stale_after_s: int
    expect: Expect
    faults: tuple[str, ...] = field(default=())


class _Faults:
    """Collects what each part of the wish has to complain about."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def attempt(self, make: Callable[[], Made], otherwise: Made) -> Made:
        try:
            return make()
        except GpuError as error:
            self.found.append(str(error))
            return otherwise

    def add(self, wanted: str, found: str, where: str, next_step: str) -> None:
        self.found.append(str(GpuError(wanted, found, where, next_step)))


def node_labels(params: Mapping[str, Any]) -> dict[str, dict[str, str | None]]:
    """The three wishes a host may have → labels. A host without a wish is not in the result."""
    wanted: dict[str, dict[str, str | None]] = {}
    for key, option in ((CONFIG_LABEL, "node_sharing"), (MIG_LABEL, "node_mig")):
        for node, config in params[option].items():
            if config not in (None, ""):
                wanted.setdefault(node, {})[key] = str(config)
    for node, operands in params["node_operands"].items():
        if operands not in (None, ""):
            wanted.setdefault(node, {})[OPERANDS_LABEL] = None if boolean(operands) else "false"
    return wanted


def _by_node(labels: Mapping[str, Mapping[str, str | None]], key: str) -> dict[str, str]:
    return {node: value for node, found in labels.items() for value in [found.get(key)] if value}


def _check_nodes(labels: Mapping[str, Any], documents: Mapping[str, Any], faults: _Faults) -> None:
    for fault in sharing_documents.assignment_faults(
        _by_node(labels, CONFIG_LABEL), _by_node(labels, MIG_LABEL), documents
    ):
        step = "correct gpu_sharing or gpu_mig of the host, or gpu_operator_sharing"
        faults.add("hosts whose sharing and MIG configs exist and fit", fault, "the inventory", step)


def _expect(labels: Mapping[str, Mapping[str, Any]], documents: Mapping[str, Any], nfd: bool) -> Expect:
    active = {node: found for node, found in labels.items() if found.get(OPERANDS_LABEL) != "false"}
    return Expect(nfd, documents, _by_node(active, CONFIG_LABEL), _by_node(active, MIG_LABEL))


def _objects(params: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    found = []
    if params["service_monitor"]["by"] == "role":
        found.append(operator_objects.service_monitor(params["service_monitor"], params["namespace"]))
    if params["queue"]:
        found.append(operator_objects.queue(params["queue"]))
    return (*found, *params["manifests"])


def _check_chart(params: Mapping[str, Any], faults: _Faults) -> None:
    chart = params["chart"]
    if params["state"] != "present" or is_remote(chart):
        return
    if not Path(chart).exists():
        faults.add(
            "the GPU operator's chart",
            "no such file or folder on the control host",
            chart,
            "correct gpu_operator_chart: oci://…, https://…, a folder or a .tgz",
        )
        return
    found = faults.attempt(lambda: local_chart_version(chart), "")
    if found and operator_values.plain(found) != operator_values.plain(params["version"]):
        faults.add(
            f"GPU operator chart {params['version']}",
            f"chart {found}",
            chart,
            "correct gpu_operator_version or gpu_operator_chart",
        )


def _check_monitor(params: Mapping[str, Any], values: Mapping[str, Any], faults: _Faults) -> None:
    by = params["service_monitor"]["by"]
    if by not in _MONITOR_BY:
        faults.add(f"one of {', '.join(_MONITOR_BY)}", repr(by), "gpu_operator_service_monitor.by", "correct it")
    charts = ((values.get("dcgmExporter") or {}).get("serviceMonitor") or {}).get("enabled")
    if by == "role" and charts:
        faults.add(
            "one ServiceMonitor for dcgm-exporter",
            "two: the role's and the chart's; every metric would be scraped twice",
            "gpu_operator_values.dcgmExporter.serviceMonitor.enabled",
            "set gpu_operator_service_monitor.by to chart or none, or drop the value",
        )


def wish_of(params: Mapping[str, Any]) -> Wish:
    """Never raises: what is wrong is in ``faults``."""
    faults = _Faults()
    nothing: dict[str, Any] = {}
    series = faults.attempt(lambda: operator_values.series_of(params["version"], params["versions"]), nothing)
    configs = params["sharing"]
    sharing = faults.attempt(lambda: sharing_documents.documents(configs), nothing)
    values: dict[str, Any] = {}
    if series:
        name = SHARING_NAME if sharing else ""
        values = operator_values.build(
            series,
            params["driver"],
            name,
            params["service_monitor"],
            params["image_registry"],
            params["images"],
            params["pull_secrets"],
            params["values"],
        )
    labels = node_labels(params)
    if sharing or not configs:
        _check_nodes(labels, sharing, faults)
    _check_chart(params, faults)
    _check_monitor(params, values, faults)
    nfd = bool((values.get("nfd") or {}).get("enabled", True))
    return Wish(
        present=params["state"] == "present",
        mode=params["mode"],
        chart=params["chart"],
        digest="" if is_remote(params["chart"]) else digest_of(params["chart"]),
        version=params["version"],
        series=series,
        release=params["release"],
        namespace=params["namespace"],
        driver="operator" if (values.get("driver") or {}).get("enabled") else "host",
        values=values,
        monitor=params["service_monitor"],
        sharing=sharing,
        labels=labels,
        scope=tuple(params["nodes"]) or tuple(labels),
        objects=_objects(params),
        pull_secrets=tuple(params["own_pull_secrets"]),
        crds_remove=params["crds_remove"],
        stale_after_s=params["wait_timeout"],
        expect=_expect(labels, sharing, nfd),
        faults=tuple(faults.found),
    )
