# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put together what a person should know of a cluster's GPU nodes. Pure. Every code has a section in docs/doctor.md."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ansible_collections.t9k.gpu.plugins.module_utils._doctor import left, offered
from ansible_collections.t9k.gpu.plugins.module_utils._doctor.cluster import Cluster
from ansible_collections.t9k.gpu.plugins.module_utils._doctor.left import Finding, Lives
from ansible_collections.t9k.gpu.plugins.module_utils._drain import budget
from ansible_collections.t9k.gpu.plugins.module_utils._drain import mark as drain_mark
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import ERROR, WARNING, Fault


def findings(cluster: Cluster, gpus: Mapping[str, int], lives: Lives) -> tuple[Finding, ...]:
    """Return every finding, errors first, those of a node together. ``gpus``: how many each node's PCI bus shows, where looked."""
    told = [*_cluster(cluster), *left.of_ledger(cluster, lives), *_nodes(cluster, gpus, lives)]
    return tuple(sorted(told, key=lambda found: (found[1].severity != ERROR, found[0])))


def _cluster(cluster: Cluster) -> Iterator[Finding]:
    for said in cluster.unread:
        remedy = "give the account the right (docs/rbac.md), or see that the API server is reached"
        yield "", Fault("cluster_unreadable", WARNING, said, remedy)
    for fault in offered.scraped(cluster):
        yield "", fault


def _nodes(cluster: Cluster, gpus: Mapping[str, int], lives: Lives) -> Iterator[Finding]:
    names = {node["metadata"]["name"] for node in cluster.nodes}
    for name in sorted(set(gpus) - names) if cluster.nodes else ():
        if gpus[name]:
            remedy = "give its name in driver_node_name, or let it join"
            yield name, Fault("not_in_cluster", WARNING, "the cluster has no node of this name", remedy)
    for node in budget.gpu_nodes(cluster.nodes, gpus):
        name, mark = node["metadata"]["name"], drain_mark.of(node)
        yield from ((name, fault) for fault in left.of_node(node, lives))
        if mark is None or not lives(mark.holder, mark.until):  # what it offers under a change tells nothing
            yield from ((name, fault) for fault in offered.of_node(node, gpus.get(name), cluster))


def table(found: Iterable[Finding]) -> list[str]:
    """Return one line for each finding."""
    return [f"{node or 'cluster'}  {fault.severity:7}  {fault.code}  {fault}" for node, fault in found]
