# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read a Node object: whose host it is, whether it is ready, which GPUs it offers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import PREFIX

#: A Node as the API server gives it.
Node = Any


#: Nodes a request.
PAGE = 500


def counted(node: Node) -> Node:
    """Return what counting looks at of a node, whose images and managed fields are most of its 20 KiB: of thousands listed, only this is
    kept. Every manager stays, since none at all means that nobody tells who cordoned it."""
    metadata, status = node["metadata"], node.get("status") or {}
    setters = [{**each, "fieldsV1": {"f:spec": _cordon_of(each)}} for each in metadata.get("managedFields") or []]
    ours = {key: text for key, text in annotations_of(node).items() if key.startswith(PREFIX)}
    resources = {part: _nvidia(status.get(part) or {}) for part in ("capacity", "allocatable")}
    ready_only = [each for each in status.get("conditions") or [] if each.get("type") == "Ready"]
    kept = {key: metadata[key] for key in ("name", "labels", "resourceVersion") if key in metadata}
    return {
        "metadata": {**kept, "annotations": ours, "managedFields": setters},
        "spec": {"unschedulable": cordoned(node)},
        "status": {**resources, "conditions": ready_only},
    }


def _cordon_of(manager: Mapping[str, Any]) -> dict[str, Any]:
    spec = (manager.get("fieldsV1") or {}).get("f:spec") or {}
    return {key: {} for key in spec if key == "f:unschedulable"}


def _nvidia(resources: Mapping[str, str]) -> dict[str, str]:
    return {name: count for name, count in resources.items() if name.startswith("nvidia.com/")}


def cordoned(node: Node) -> bool:
    return bool(node["spec"].get("unschedulable"))


def annotations_of(node: Node) -> Mapping[str, str]:
    found: Mapping[str, str] = node["metadata"].get("annotations") or {}
    return found


def labels_of(node: Node) -> Mapping[str, str]:
    found: Mapping[str, str] = node["metadata"].get("labels") or {}
    return found


def ready(node: Node) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def gpus(node: Node) -> dict[str, int]:
    """Return the GPU resources that pods can ask for here, none that is zero."""
    offered = ((node.get("status") or {}).get("allocatable") or {}).items()
    counted = {name: int(count) for name, count in offered if name.startswith("nvidia.com/") and str(count).isdigit()}
    return {name: count for name, count in counted.items() if count}


def another_host(node: Node, boot_id: str, machine_id: str, rebooted: bool = False) -> str | None:
    """Say why this Node is not the host with these ids; None if it is.

    The kubelet writes both ids from the host's own files (cadvisor: /proc/sys/kernel/random/boot_id, /etc/machine-id). A boot
    id is of one boot of one host, while cloned machines share their machine id: so that one counts only where the kubelet may
    not have reported since the host's last boot: ``rebooted``, or the node is not Ready.
    """
    info = (node.get("status") or {}).get("nodeInfo") or {}
    if info.get("bootID") == boot_id:
        return None
    if info.get("machineID") != machine_id:
        return f"boot id {info.get('bootID') or 'none'} and machine id {info.get('machineID') or 'none'}"
    if ready(node) and not rebooted:
        return f"the same machine id, as clones have, but boot id {info.get('bootID') or 'none'}"
    return None


def not_back(node: Node, before: Mapping[str, int], boot_id: str) -> Iterator[str]:
    """Say what keeps the node from taking pods again.

    Ready can be the word of the kubelet before the reboot, so the boot that it reports must be the host's.
    """
    reported = ((node.get("status") or {}).get("nodeInfo") or {}).get("bootID")
    if boot_id and reported != boot_id:
        yield f"its kubelet has not reported since the host booted (boot id {reported or 'none'}, not {boot_id})"
    elif not ready(node):
        yield "the node is not Ready"
    now = gpus(node)
    for name, count in sorted(before.items()):
        if now.get(name, 0) < count:
            yield f"{now.get(name, 0)} of {count} {name} are allocatable"
