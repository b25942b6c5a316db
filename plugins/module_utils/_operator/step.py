# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One step of the operator's plan, and the small objects that steps write.

Private: subject to change without notice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Dict

from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import MANAGED_BY

if TYPE_CHECKING:
    from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wish

NOTHING = "nothing"
PLUGIN_PODS = "GPU device plugin pods; running GPU pods keep their GPUs"
OPERAND_PODS = "the operator's own pods on GPU nodes; running GPU pods keep their GPUs"
Object = Dict[str, Any]


@dataclass(frozen=True)
class Step:
    """One thing to do. ``how`` names the role's task file that does it."""

    name: str
    how: str
    reason: str
    disturbs: str = NOTHING
    apply: tuple[Object, ...] = ()
    patch: tuple[Object, ...] = ()
    delete: tuple[Object, ...] = ()
    nodes: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    before: Any = None
    after: Any = None

    def to_dict(self) -> Object:
        return asdict(self)


def configmap(wish: Wish, name: str, key: str, content: Mapping[str, Any]) -> Object:
    """One of our ConfigMaps with JSON in it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": wish.namespace, "labels": dict(MANAGED_BY)},
        "data": {key: json.dumps(content, sort_keys=True)},
    }


def ref(wish: Wish, api_version: str, kind: str, name: str) -> Object:
    return {"apiVersion": api_version, "kind": kind, "namespace": wish.namespace, "name": name}
