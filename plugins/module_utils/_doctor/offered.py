# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Compare what nodes offer to pods with their GPUs and with how these are to be shared, and find what is scraped twice. Pure.

A device that its plugin calls unhealthy counts in a node's capacity and not in its allocatable (kubernetes/kubernetes,
pkg/kubelet/cm/devicemanager/manager.go, GetCapacity).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible.module_utils.common.yaml import yaml_load

from ansible_collections.t9k.gpu.plugins.module_utils._doctor.cluster import Cluster
from ansible_collections.t9k.gpu.plugins.module_utils._drain import node as drain_node
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import ERROR, WARNING, Fault
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.documents import (
    CONFIG_LABEL,
    MIG_LABEL,
    expected_resources,
)
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.schema import faults

GPU, SHARED = "nvidia.com/gpu", "nvidia.com/gpu.shared"
_PRESENT = "nvidia.com/gpu.present"
#: The label of the exporter's Service, by which a ServiceMonitor finds it.
_EXPORTER = "nvidia-dcgm-exporter"


def of_node(node: drain_node.Node, gpus: int | None, cluster: Cluster) -> Iterator[Fault]:
    """Yield what is wrong with what a node offers. ``gpus``: how many its PCI bus shows, None where nobody looked."""
    offers, has = drain_node.gpus(node), _capacity(node)
    for name, count in sorted(has.items()):
        if offers.get(name, 0) < count:
            found = f"{offers.get(name, 0)} of {count} {name} are healthy, by the device plugin's word"
            yield Fault("gpus_unhealthy", ERROR, found, "see the device plugin's log and the node's Xid messages")
    labels = drain_node.labels_of(node)
    if gpus == 0 and labels.get(_PRESENT) == "true":
        found = f"the label {_PRESENT}=true, but no GPU on its PCI bus"
        remedy = "see node feature discovery there, and whether a GPU was taken out"
        yield Fault("label_without_gpu", WARNING, found, remedy)
    partitioned = labels.get(MIG_LABEL, "all-disabled") != "all-disabled" or any("/mig-" in name for name in has)
    if gpus and labels.get(_PRESENT) == "true" and not partitioned:
        yield from _sharing(node, gpus, has, cluster)


def _capacity(node: drain_node.Node) -> dict[str, int]:
    told = ((node.get("status") or {}).get("capacity") or {}).items()
    return {name: int(count) for name, count in told if name.startswith("nvidia.com/") and str(count).isdigit()}


def _sharing(node: drain_node.Node, gpus: int, has: Mapping[str, int], cluster: Cluster) -> Iterator[Fault]:
    """Yield where the capacity is not what GPUs and sharing make; a config that is not known leaves nothing to compare with."""
    chosen = drain_node.labels_of(node).get(CONFIG_LABEL) or cluster.default
    document = _document(cluster.sharing.get(chosen)) if chosen else {}
    if document is None:
        if cluster.sharing:
            found = (
                f"its sharing config {chosen} is not among those that there are: {', '.join(sorted(cluster.sharing))}"
            )
            remedy = f"correct the label {CONFIG_LABEL}, or add the config to gpu_operator_sharing"
            yield Fault("sharing_not_in_effect", ERROR, found, remedy)
        return
    wanted = {name: count for name, count in expected_resources(document, gpus).items() if count}
    found_now = {name: has.get(name, 0) for name in wanted}
    if found_now == wanted:
        return
    told = ", ".join(f"{found_now[name]} of {count} {name}" for name, count in sorted(wanted.items()))
    if chosen and any(has.get(name) for name in (GPU, SHARED)):
        found = f"sharing config {chosen} should make it offer more or others: {told}"
        remedy = "restart the device plugin's DaemonSet, which does not watch its ConfigMap, then run gpu_operator.yml"
        yield Fault("sharing_not_in_effect", ERROR, found, remedy)
    else:
        found = f"{gpus} GPUs are on its PCI bus, and it offers {told}"
        yield Fault("gpus_missing", ERROR, found, "see the device plugin's pod on the node, and nvidia-smi")


def _document(text: str | None) -> dict[str, Any] | None:
    """Return a config that the device plugin would understand; None for any other."""
    try:
        found = yaml_load(text or "null")
    except Exception:  # whatever the text does to the parser: it is no config
        return None
    known = isinstance(found, dict) and not faults({key: each for key, each in found.items() if key != "version"})
    return found if known else None


def scraped(cluster: Cluster) -> Iterator[Fault]:
    """Yield if more than one ServiceMonitor chooses the exporter: every figure comes twice then, and sums are double."""
    names = sorted(_name(each) for each in cluster.monitors if _chooses(each))
    if len(names) > 1:
        found = f"the ServiceMonitors {', '.join(names)} all choose the Service {_EXPORTER}"
        remedy = "keep one: the chart makes its own with dcgmExporter.serviceMonitor.enabled"
        yield Fault("scraped_twice", WARNING, found, remedy)


def _name(monitor: Mapping[str, Any]) -> str:
    return f"{monitor['metadata'].get('namespace', '')}/{monitor['metadata']['name']}"


def _chooses(monitor: Mapping[str, Any]) -> bool:
    chosen = ((monitor.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    return chosen.get("app") == _EXPORTER
