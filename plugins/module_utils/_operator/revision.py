# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read a helm release from helm's own secret."""

from __future__ import annotations

import base64
import gzip
import json
import re
from dataclasses import dataclass
from typing import Any, Dict

from ansible.module_utils.common.yaml import yaml_load

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import labels

Object = Dict[str, Any]
_WATCHED = re.compile(r"^kind: (ClusterPolicy|GPUCluster|NVIDIADriver|Deployment|DaemonSet)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Release:
    """The latest revision of a helm release, from helm's own secret."""

    secret: str
    revision: int
    status: str
    chart_version: str
    values: Object
    description: str
    updated: str
    #: The ClusterPolicy, or the GPUCluster in its place.
    policy: Object | None
    #: Kind and name of what it rendered of the kinds in ``_WATCHED``.
    rendered: frozenset[tuple[str, str]] = frozenset()

    @property
    def busy(self) -> bool:
        return self.pending or self.status == "uninstalling"

    @property
    def pending(self) -> bool:
        """Tell whether a helm has written it and not finished: left over, it is cleared away. One that uninstalls is not."""
        return self.status.startswith("pending-")


def watched(manifest: str) -> list[Object]:
    """Return the objects of a rendered chart that the operator cannot do without; the others are not parsed."""
    found = []
    for text in manifest.split("\n---"):
        if _WATCHED.search(text):
            document = yaml_load(text.lstrip("-"))
            if isinstance(document, dict):
                found.append(document)
    return found


def decode_release(secret: Object) -> Release:
    """Unpack a release: helm keeps it as gzipped JSON, encoded twice."""
    packed = base64.b64decode(base64.b64decode(secret["data"]["release"]))
    document = json.loads(gzip.decompress(packed))
    rendered = watched(document.get("manifest") or "")
    info = document.get("info") or {}
    return Release(
        secret=secret["metadata"]["name"],
        revision=int(document["version"]),
        status=info.get("status", "unknown"),
        chart_version=document["chart"]["metadata"]["version"],
        values=document.get("config") or {},
        description=info.get("description", ""),
        updated=info.get("last_deployed", ""),
        policy=next((each for each in rendered if each["kind"] in ("ClusterPolicy", "GPUCluster")), None),
        rendered=frozenset((each["kind"], (each.get("metadata") or {}).get("name", "")) for each in rendered),
    )


def latest_release(secrets: list[Object]) -> Release | None:
    """Return the highest revision. Only that one is unpacked."""
    if not secrets:
        return None
    return decode_release(max(secrets, key=lambda secret: int(labels(secret).get("version", "0"))))
