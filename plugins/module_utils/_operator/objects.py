# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the objects beside the chart: ServiceMonitor, scheduler Queue, further manifests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import MANAGED_BY

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

#: Kinds whose plural is not the lower-case kind plus "s".
_PLURALS = {"endpoints": "endpoints", "ingress": "ingresses", "networkpolicy": "networkpolicies"}
_CLUSTER_KINDS = {
    "Namespace",
    "ClusterRole",
    "ClusterRoleBinding",
    "PriorityClass",
    "RuntimeClass",
    "CustomResourceDefinition",
    "StorageClass",
}


@dataclass(frozen=True, order=True)
class Ref:
    """One object's address."""

    api_version: str
    kind: str
    namespace: str
    name: str

    @property
    def plural(self) -> str:
        kind = self.kind.lower()
        if kind.endswith("y") and kind[-2:-1] not in "aeiou":
            return kind[:-1] + "ies"
        return _PLURALS.get(kind, kind + ("es" if kind.endswith(("s", "x")) else "s"))

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def crd(self) -> str | None:
        """Return the CRD that must be there; None for a kind of Kubernetes itself."""
        own = not self.group or self.group.endswith(".k8s.io") or "." not in self.group
        return None if own else f"{self.plural}.{self.group}"

    @property
    def path(self) -> str:
        root = "/apis/" if self.group else "/api/"
        folder = f"/namespaces/{self.namespace}" if self.namespace else ""
        return f"{root}{self.api_version}{folder}/{self.plural}/{self.name}"

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace + '/' if self.namespace else ''}{self.name}"

    def to_dict(self) -> dict[str, str]:
        return {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "namespace": self.namespace,
            "name": self.name,
        }


def ref_of(item: Mapping[str, Any], namespace: str = "") -> Ref:
    """Return the address of an object (or of a ``Ref`` turned into a dictionary)."""
    metadata = item.get("metadata") or item
    kind = item["kind"]
    where = "" if kind in _CLUSTER_KINDS else metadata.get("namespace") or namespace
    return Ref(item["apiVersion"], kind, where, metadata["name"])


#: Of a Secret.
CONTENT = ("data", "stringData")


def shown(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object as everybody may see it: a Secret without its content."""
    return {key: value for key, value in item.items() if item.get("kind") != "Secret" or key not in CONTENT}


def hide(module: AnsibleModule) -> None:
    """Keep the content of Secrets out of the arguments that a module logs and shows.

    No result has it. Ansible would leave every word of every manifest out of the result, names and namespaces among them.
    """
    manifests = module.params["manifests"]
    module.no_log_values -= set(_texts(manifests)) - {module.params["api_key"]}
    module.params["manifests"] = [shown(item) for item in manifests]


def _texts(value: Any) -> Iterable[str]:
    """Yield every text and number in it, as Ansible leaves them out."""
    if isinstance(value, (dict, list)):
        for below in value.values() if isinstance(value, dict) else value:
            yield from _texts(below)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def service_monitor(monitor: Mapping[str, Any], operator_namespace: str, app: str) -> dict[str, Any]:
    """Make the guide's ServiceMonitor; ``app`` is the exporter's."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": {
            "name": "nvidia-dcgm-exporter",
            "namespace": monitor["namespace"],
            "labels": {**MANAGED_BY, **monitor["labels"]},
        },
        "spec": {
            "endpoints": [{"port": "gpu-metrics", "interval": monitor["interval"]}],
            "jobLabel": "app",
            "namespaceSelector": {"matchNames": [operator_namespace]},
            "selector": {"matchLabels": {"app": app}},
        },
    }


def queue(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Make the guide's scheduler Queue for nodes that share their GPUs."""
    selector = {"matchExpressions": [{"key": "nvidia.com/device-plugin.config", "operator": "Exists"}]}
    return {
        "apiVersion": "scheduler.tensorstack.dev/v1beta1",
        "kind": "Queue",
        "metadata": {
            "name": wanted.get("name", "shared-gpu"),
            "namespace": wanted.get("namespace", "t9k-system"),
            "labels": dict(MANAGED_BY),
        },
        "spec": {
            "closed": wanted.get("closed", False),
            "nodeSelector": wanted.get("node_selector", selector),
            "preemptible": wanted.get("preemptible", False),
            "priority": wanted.get("priority", 80),
            "quota": {"requests": {key: str(value) for key, value in (wanted.get("quota") or {}).items()}},
        },
    }


def _empty(value: Any) -> bool:
    return value is None or value == {} or value == []


def missing_from(wanted: Any, present: Any) -> Any:
    """Return the part of ``wanted`` that ``present`` lacks, as a merge patch; None if all of it is there.

    Lists count as a whole; an empty wanted value and an absent one are the same.
    """
    if isinstance(wanted, Mapping):
        found = present if isinstance(present, Mapping) else {}
        parts = {key: missing_from(value, found.get(key)) for key, value in wanted.items()}
        return {key: part for key, part in parts.items() if part is not None} or None
    if isinstance(wanted, list) and isinstance(present, list) and len(wanted) == len(present):
        same = all(missing_from(w, p) is None for w, p in zip(wanted, present))
        return None if same else wanted
    if wanted == present or (_empty(wanted) and _empty(present)):
        return None
    return wanted


def paths_in(patch: Any, prefix: str = "") -> Iterable[str]:
    """Return the dotted paths of a patch's leaves, to name what differs."""
    if isinstance(patch, Mapping) and patch:
        for key, value in patch.items():
            yield from paths_in(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix
