# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read what the doctor looks at in the cluster: Nodes, the rollout's ledger, who scrapes the exporter, how GPUs are to be shared.

What may not be read, or is not there, is told and stops nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._drain import rollout
from ansible_collections.t9k.gpu.plugins.module_utils._drain.node import Node
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube.api import Api
from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault

_MONITORS = "/apis/monitoring.coreos.com/v1/servicemonitors"
_POLICIES = "/apis/nvidia.com/v1/clusterpolicies"


@dataclass(frozen=True)
class Cluster:
    """What was read. ``sharing``: the texts of the device plugin's configs by name; ``default``: the one for nodes without a label.

    ``unread``: what the API server refused, in its words.
    """

    nodes: tuple[Node, ...] = ()
    ledger: Mapping[str, Any] | None = None
    monitors: tuple[Mapping[str, Any], ...] = ()
    sharing: Mapping[str, str] = field(default_factory=dict)
    default: str = ""
    unread: tuple[str, ...] = ()


class _Reader:
    """Reads on where something is refused, and remembers what."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.unread: list[str] = []

    def items(self, path: str) -> tuple[Any, ...]:
        try:
            return tuple(self.api.list(path))
        except ApiFault as fault:
            return self._note(fault, ())

    def one(self, path: str) -> Any:
        try:
            return self.api.get_or_none(path)
        except ApiFault as fault:
            return self._note(fault, None)

    def _note(self, fault: ApiFault, instead: Any) -> Any:
        if not fault.not_found:
            self.unread.append(str(fault).rstrip("."))
        return instead


def read(api: Api, ledger_namespace: str, operator_namespace: str) -> Cluster:
    """Return what there is. Nodes are what everything else is about: where they cannot be read this fails."""
    reader = _Reader(api)
    nodes = tuple(api.list("/api/v1/nodes"))
    policies = reader.items(_POLICIES)
    config = (((policies[0].get("spec") or {}).get("devicePlugin") or {}).get("config") or {}) if policies else {}
    name = config.get("name")
    shared = reader.one(f"/api/v1/namespaces/{operator_namespace}/configmaps/{name}") if name else None
    return Cluster(
        nodes=nodes,
        ledger=reader.one(f"/api/v1/namespaces/{ledger_namespace}/configmaps/{rollout.NAME}"),
        monitors=reader.items(_MONITORS),
        sharing=(shared or {}).get("data") or {},
        default=config.get("default") or "",
        unread=tuple(reader.unread),
    )


def unreadable(error: GpuError) -> Cluster:
    """Stand for a cluster that does not answer."""
    return Cluster(unread=(str(error).rstrip("."),))
