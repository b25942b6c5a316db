# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Write and read the mark of our cordon: an annotation of the Node. Pure.

Without it, whoever comes next could not tell a cordon of ours, which must be given back, from anybody else's, which must
not. Its presence alone is no proof: after a killed run an administrator may uncordon the node and cordon it again. The API
server itself keeps who set ``spec.unschedulable`` last (metadata.managedFields), so that is asked as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._drain.holder import Holder
from ansible_collections.t9k.gpu.plugins.module_utils._drain.node import Node, annotations_of, cordoned
from ansible_collections.t9k.gpu.plugins.module_utils._kube.api import FIELD_MANAGER

ANNOTATION = "gpu.t9k.io/cordon"


@dataclass(frozen=True)
class Mark:
    """What a run notes on a node before it empties it.

    ``since``         when pods lost the node, which a run that takes over does not change
    ``was_cordoned``  by somebody else, before us: it stays so afterwards
    ``gpus``          the resources that were allocatable, which must be there again
    ``paused``        the operands' labels that were changed, and their former values
    ``operands``      the DaemonSets whose pods were here, which must be back
    """

    holder: Holder
    reason: str
    since: float
    until: float
    was_cordoned: bool = False
    gpus: dict[str, int] = field(default_factory=dict)
    paused: dict[str, str] = field(default_factory=dict)
    operands: tuple[str, ...] = ()

    def text(self) -> str:
        found = {**self.__dict__, "holder": self.holder.__dict__, "operands": list(self.operands)}
        return json.dumps(found, sort_keys=True)

    def taken_over(self, by: Mark) -> Mark:
        """Return the same mark in the hands of another run; what was there before the first one stays what must come back."""
        return replace(self, holder=by.holder, reason=by.reason, until=by.until)


def of(node: Node) -> Mark | None:
    """Return the mark on the node; None if there is none, or nothing that this version could have written."""
    try:
        found: dict[str, Any] = json.loads(annotations_of(node).get(ANNOTATION, "null"))
        return Mark(**{**found, "holder": Holder(**found["holder"]), "operands": tuple(found["operands"])})
    except (TypeError, ValueError, KeyError):
        return None


def cordon_is_ours(node: Node) -> bool:
    """Tell whether the cordon that stands is the one the mark speaks of."""
    mark = of(node)
    if mark is None or mark.was_cordoned or not cordoned(node):
        return False
    managers = node["metadata"].get("managedFields") or []
    setters = [m.get("manager") for m in managers if "f:unschedulable" in (m.get("fieldsV1") or {}).get("f:spec", {})]
    return not managers or FIELD_MANAGER in setters
