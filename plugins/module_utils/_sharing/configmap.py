# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the requests that bring the ConfigMap of the sharing configs there.

The device plugin reads its config once, when its pod starts. So whatever mounts the ConfigMap is restarted after a
change. The change itself sets an annotation that says so, and it goes away only after the restart: a run that
broke off in between is repaired by the next.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.common.yaml import HAS_YAML, yaml_dump, yaml_load

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import MANAGED_BY, PREFIX
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.documents import ALL

PENDING = PREFIX + "restart-pending"


@dataclass(frozen=True)
class Place:
    """Where the ConfigMap and the daemonsets that may mount it are."""

    name: str
    namespace: str

    @property
    def config_maps(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/configmaps"

    @property
    def config_map(self) -> str:
        return f"{self.config_maps}/{self.name}"

    @property
    def daemonsets(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.namespace}/daemonsets"


@dataclass(frozen=True)
class Request:
    """One request: a method of ``Api``, its path and its body."""

    method: str
    path: str
    body: dict[str, Any]


def _parsed(text: Any) -> Any:
    try:
        return yaml_load(text) if HAS_YAML else json.loads(text)
    except Exception:  # whatever a hand-written text does to the parser: it is not what we want there
        return None


def data(documents: Mapping[str, Any], present: Mapping[str, str]) -> dict[str, str]:
    """Return config name → text; a present text that means the same stays, so that taking over restarts nothing."""
    dump = yaml_dump if HAS_YAML else json.dumps
    return {
        name: present[name] if name in present and _parsed(present[name]) == document else str(dump(document))
        for name, document in documents.items()
    }


def readable(texts: Mapping[str, str] | None) -> str | None:
    """Return the ConfigMap's data as one text, for a diff that a person reads."""
    if texts is None:
        return None
    return "".join(f"# {name}\n{text.rstrip()}\n" for name, text in sorted(texts.items()))


def consumers(daemonsets: Iterable[Mapping[str, Any]], name: str) -> list[str]:
    """Return the daemonsets that mount the ConfigMap: device plugin, GPU feature discovery, MPS control daemon."""
    found = []
    for daemonset in daemonsets:
        volumes = daemonset["spec"]["template"]["spec"].get("volumes") or []
        if any((volume.get("configMap") or {}).get("name") == name for volume in volumes):
            found.append(daemonset["metadata"]["name"])
    return sorted(found)


def due(present: Mapping[str, Any] | None, documents: Mapping[str, Any]) -> frozenset[str]:
    """Return the configs of which running pods may have read something else than ``documents``.

    A run that breaks off leaves the names as a note; 0.1.0 did not say which.
    """
    if present is None:
        return frozenset({ALL})
    before: Mapping[str, Any] = present.get("data") or {}
    after = data(documents, before)
    changed = {name for name in {**before, **after} if before.get(name) != after.get(name)}
    noted = (present["metadata"].get("annotations") or {}).get(PENDING, "")
    return frozenset(changed | ({ALL} if noted == "true" else set(filter(None, noted.split(",")))))


def stale(present: Mapping[str, Any] | None, documents: Mapping[str, Any]) -> bool:
    """Tell whether running pods may have read something else than ``documents``."""
    return bool(due(present, documents)) or PENDING in ((present or {}).get("metadata", {}).get("annotations") or {})


def plan(
    place: Place, present: Mapping[str, Any] | None, documents: Mapping[str, Any], restarts: bool
) -> tuple[Request, ...]:
    """Return the requests that bring the ConfigMap there; () if it is as wanted. ``restarts``: pods are to be restarted afterwards, so
    the names of what changed are noted with the change."""
    note = {PENDING: ",".join(sorted(due(present, documents)))} if restarts else {}
    return tuple(step for step in [_write(place, present, documents, note)] if step.body)


def settle(place: Place) -> Request:
    """Return the request that takes the note away: all is restarted."""
    return Request("merge_patch", place.config_map, {"metadata": {"annotations": {PENDING: None}}})


def _noted(present: Mapping[str, Any]) -> str:
    return str((present["metadata"].get("annotations") or {}).get(PENDING, ""))


def _write(
    place: Place, present: Mapping[str, Any] | None, documents: Mapping[str, Any], note: dict[str, str]
) -> Request:
    """Make the change of the ConfigMap itself, with the note that a restart is due; an empty body if there is none."""
    if present is None:
        metadata = {"name": place.name, "namespace": place.namespace, "labels": MANAGED_BY, "annotations": note}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data(documents, {})}
        return Request("create", place.config_maps, body)
    before: Mapping[str, Any] = present.get("data") or {}
    after = data(documents, before)
    changes = {name: after.get(name) for name in {**before, **after} if before.get(name) != after.get(name)}
    labels = present["metadata"].get("labels") or {}
    missing = {key: value for key, value in MANAGED_BY.items() if labels.get(key) != value}
    body = {"data": changes} if changes else {}
    metadata = {
        **({"labels": missing} if missing else {}),
        **({"annotations": note} if note and _noted(present) != note[PENDING] else {}),
    }
    return Request("merge_patch", place.config_map, {**body, **({"metadata": metadata} if metadata else {})})
