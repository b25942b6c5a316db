# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make the steps of the operator's plan, and the small objects that they write.

Most steps write or delete objects and nothing else: they share the task file ``steps/objects.yml``. Any other step has the
task file of its name.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Dict

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import MANAGED_BY
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import PACKED
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step

if TYPE_CHECKING:
    from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wanted

Object = Dict[str, Any]
_OBJECTS = "objects"
#: Characters up to which a person can read it with kubectl.
_LARGE = 100_000


def writes(
    name: str,
    reason: str,
    disturbs: str = "",
    apply: Iterable[Object] = (),
    patch: Iterable[Object] = (),
    delete: Iterable[Object] = (),
    after: Any = None,
) -> Step:
    """Make a step that applies, patches and deletes objects, in this order."""
    data = {"task": _OBJECTS, "apply": list(apply), "patch": list(patch), "delete": list(delete), "after": after}
    return Step(name, reason, disturbs, data)


def task_of(step: Step) -> str:
    """Return the stem of the task file that takes the step."""
    return str(step.data.get("task", step.name))


def configmap(wanted: Wanted, name: str, key: str, content: Mapping[str, Any]) -> Object:
    """Make one of our ConfigMaps with JSON in it, packed where it is large: names of thousands of nodes are much alike."""
    text = json.dumps(content, sort_keys=True)
    kept: Object = {"data": {key: text}}
    if len(text) > _LARGE:
        kept = {"binaryData": {key + PACKED: base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()}}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": wanted.namespace, "labels": dict(MANAGED_BY)},
        **kept,
    }


def ref(wanted: Wanted, api_version: str, kind: str, name: str) -> Object:
    """Make the address of an object in the operator's namespace."""
    return {"apiVersion": api_version, "kind": kind, "namespace": wanted.namespace, "name": name}
