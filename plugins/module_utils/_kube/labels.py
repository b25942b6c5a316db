# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the patches between present and wanted node labels."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Dict, Optional

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

#: Label key → value; None: the node must not have the label.
Labels = Dict[str, Optional[str]]

_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_DOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SHOWN = 10
_SYNTAX = "up to 63 letters, digits, '-', '_' or '.', with a letter or digit at both ends"


@dataclass(frozen=True)
class NodePatch:
    """What one node needs: only keys that differ are named."""

    node: str
    before: Labels
    after: Labels

    @property
    def body(self) -> dict[str, Any]:
        """Return the merge patch; null removes a label."""
        return {"metadata": {"labels": self.after}}

    def refused_by(self, present: Mapping[str, str]) -> Labels:
        """Return the labels that are still not as patched, e.g. because an admission webhook put them back."""
        return {key: value for key, value in self.after.items() if present.get(key) != value}


def text(value: Any) -> str | None:
    """Return a label's value as YAML meant it: true is "true" and 4 is "4". ValueError for what no label can hold."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)
    raise ValueError(f"a {type(value).__name__} cannot be a label's value")


def key_fault(key: Any) -> str | None:
    """Say why ``key`` is no label key; None if it is one."""
    if not isinstance(key, str):
        return f"key {key!r} is not text"
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not _DOMAIN.fullmatch(prefix)):
        return f"key {key!r}: the part before '/' must be a DNS name in lower case"
    if not _NAME.fullmatch(name):
        return f"key {key!r}: its name must be {_SYNTAX}"
    return None


def value_fault(value: Any) -> str | None:
    """Say why ``value`` cannot be a label's value; None if it can, or if it is null."""
    try:
        found = text(value)
    except ValueError as error:
        return str(error)
    if not found or _NAME.fullmatch(found):
        return None
    return f"value {found!r}: it must be empty or {_SYNTAX}"


def _label_faults(node: str, labels: Any) -> Iterable[str]:
    if not isinstance(labels, Mapping):
        yield f"{node}: wants a map of labels, found {labels!r}"
        return
    for key, value in labels.items():
        fault = key_fault(key) or value_fault(value)
        if fault:
            yield f"{node}: {key}: {fault}"


def normalised(nodes: Mapping[str, Any], owned_keys: Iterable[Any]) -> dict[str, Labels]:
    """Return ``nodes`` with each value as text; GpuError that names each wrong key and value."""
    faults = [f"owned_keys: {fault}" for fault in map(key_fault, owned_keys) if fault]
    for node, labels in nodes.items():
        faults.extend(_label_faults(str(node), labels))
    if faults:
        more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        raise GpuError(
            "labels in the syntax of Kubernetes",
            "; ".join([*faults[:_SHOWN], *more]),
            "the options 'nodes' and 'owned_keys'",
            "correct them; nothing was changed",
        )
    return {str(node): {key: text(value) for key, value in labels.items()} for node, labels in nodes.items()}


def of_node(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node's name and labels, and nothing else of it."""
    return {"name": node["metadata"]["name"], "labels": node["metadata"].get("labels") or {}}


def require_known(wanted: Iterable[str], present: Iterable[str], server: str) -> None:
    """Raise GpuError if a wanted node is not in the cluster, with the names that come near."""
    names = sorted(present)
    unknown = sorted(set(wanted) - set(names))
    if not unknown:
        return
    described = []
    for name in unknown[:_SHOWN]:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
        described.append(name + (f" (near: {', '.join(near)})" if near else ""))
    if len(unknown) > _SHOWN:
        described.append(f"and {len(unknown) - _SHOWN} more")
    raise GpuError(
        "nodes that are in the cluster",
        f"no node named {'; '.join(described)}; the cluster has {len(names)} nodes",
        f"the node list of {server}",
        "correct the names, or let the nodes join first; nothing was changed",
    )


def plan(
    wanted: Mapping[str, Labels], owned_keys: Iterable[str], present: Mapping[str, Mapping[str, str]]
) -> tuple[NodePatch, ...]:
    """Return the patches that bring the nodes in ``wanted`` there, ordered by name; () if all is as wanted.

    ``present``  node → all its labels. A node in ``wanted`` that does not ask for an owned key loses it; any other key
    and any other node is left alone.
    """
    owned: Labels = dict.fromkeys(owned_keys)
    patches = []
    for node in sorted(wanted):
        asked: Labels = {**owned, **wanted[node]}
        after = {key: value for key, value in asked.items() if present[node].get(key) != value}
        if after:
            patches.append(NodePatch(node, {key: present[node].get(key) for key in after}, after))
    return tuple(patches)
