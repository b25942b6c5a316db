# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keep all nodes as they are now: listed once, then kept up by what changed.

A list of 5,000 nodes is some 90 MiB, a quiet minute of changes a hundredth of it (a kubelet writes its Node every five minutes where
nothing happens; kubernetes.io, Nodes, "Heartbeats"). How a watch goes on from a list, and what a version that is too old looks like:
kubernetes.io, API Concepts, "Efficient detection of changes".
"""

from __future__ import annotations

import time
from typing import Any, Callable

from ansible_collections.t9k.gpu.plugins.module_utils._kube.connect import Api
from ansible_collections.t9k.gpu.plugins.module_utils._kube.fault import ApiFault
from ansible_collections.t9k.gpu.plugins.module_utils._operator.reading import (
    NODES,
    PAGE,
    Object,
    Reader,
    by_name,
    needed,
)

#: How often the nodes are listed anew where they may not be watched.
EVERY_S = 10.0
_EXPIRED = 410


class Watched:
    """The nodes of a cluster.

    ``current``   whether they are as of the last reading
    ``listed_s``  how long their list took last
    """

    def __init__(self, api: Api, now: Callable[[], float] = time.monotonic) -> None:
        self.api, self.now = api, now
        self.nodes: dict[str, Object] = {}
        self.current, self.listed_s = False, 0.0
        self._version, self._listed_at, self._allowed = "", float("-inf"), True

    def read(self, reader: Reader, fresh: bool = True) -> dict[str, Object]:
        """Return the nodes. Without ``fresh`` those of some seconds ago will do where they may not be watched."""
        self.current = bool(self._version) and self._follow()
        if not self.current and (fresh or self._allowed or self.now() > self._listed_at + EVERY_S):
            self._list(reader)
        return self.nodes

    def _list(self, reader: Reader) -> None:
        began = self.now()
        nothing: tuple[list[Object], str] = ([], "")
        found, version = reader.attempt(lambda: self.api.snapshot(NODES, limit=PAGE, each=needed), nothing)
        self.nodes, self._version = by_name(found), version if self._allowed else ""
        self.current, self._listed_at = True, self.now()
        self.listed_s = self._listed_at - began

    def _follow(self) -> bool:
        """Take up what changed; False where it cannot be known without a list."""
        try:
            events = self.api.changes(NODES, self._version)
        except ApiFault as fault:
            self._version, self._allowed = "", not fault.forbidden
            if fault.forbidden or fault.status == _EXPIRED:
                return False
            raise
        return all(map(self._take, events))

    def _take(self, event: dict[str, Any]) -> bool:
        kind, item = event["type"], event["object"]
        if kind == "ERROR":  # most often 410: so long ago that the API server no longer knows
            self._version = ""
            return False
        name, self._version = item["metadata"].get("name"), item["metadata"]["resourceVersion"]
        if kind == "DELETED":
            self.nodes.pop(name, None)
        elif kind != "BOOKMARK":
            self.nodes[name] = needed(item)
        return True
