# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the role gpu_operator: what hosts and older playbooks say, and objects of what helm rendered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Callable

from ansible_collections.t9k.gpu.plugins.module_utils._kube.host import node_of
from ansible_collections.t9k.gpu.plugins.module_utils._operator.manifests import marked_crds, marks, render
from ansible_collections.t9k.gpu.plugins.module_utils._operator.objects import CONTENT, ref_of
from ansible_collections.t9k.gpu.plugins.module_utils._operator.values import NFD, merge, misspelt

#: Variable of a host → option of gpu_operator_plan.
_HOST_VARIABLES = {"gpu_sharing": "sharing", "gpu_operator_operands": "operands", "gpu_mig": "mig"}


def _variables(hostvars: Mapping[str, Any], host: str) -> Mapping[str, Any]:
    """Return what is known of a host. hostvars is no dictionary: its ``get`` does not take another value for a host it does not know."""
    if host not in hostvars:
        return {}
    known: Mapping[str, Any] = hostvars[host]
    return known


def operator_hosts(
    hostvars: Mapping[str, Any], hosts: Iterable[str], gpu_hosts: Iterable[str] = (), failed: Iterable[str] = ()
) -> dict[str, Any]:
    """Return what each node's host asks for, as sharing, operands and mig → node → value; the names of all nodes (nodes), of those
    that have GPUs (gpus) and of those that the run has given up (failed).

    Of GPUs only a run knows whose driver play has looked, and whoever wrote ``gpu_hosts``.
    """
    found: dict[str, Any] = {"nodes": [], "gpus": [], **{option: {} for option in _HOST_VARIABLES.values()}}
    for host in hosts:
        variables = _variables(hostvars, host)
        node = node_of(variables, host)
        found["nodes"].append(node)
        for name, option in _HOST_VARIABLES.items():
            if name in variables and variables[name] not in (None, ""):
                found[option][node] = variables[name]
        if "__driver_plan" in variables and variables["__driver_plan"].get("has_gpu"):
            found["gpus"].append(node)
    named = {host: node_of(_variables(hostvars, host), host) for host in (*gpu_hosts, *failed)}
    found["gpus"] = sorted({*found["gpus"], *(named[host] for host in gpu_hosts)})
    return {**found, "failed": [named[host] for host in failed]}


def operator_images(
    images: Mapping[str, Any], nfd_repository: str = "", nfd_tag: str = "", device_plugin_version: str = ""
) -> dict[str, Any]:
    """Return the images by component; those that older playbooks name by variables of their own come first and lose."""
    old = (
        (NFD, "repository", nfd_repository),
        (NFD, "tag", nfd_tag),
        ("devicePlugin", "version", device_plugin_version),
    )
    return merge(*({component: {field: value}} for component, field, value in old if value), images)


def with_content(planned: Iterable[Mapping[str, Any]], manifests: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the objects of a plan whole: the content of a Secret is in no plan, so it comes from the inventory."""
    known = [item for item in manifests if item.get("kind") == "Secret"]
    return [{**item, **_content(item, known)} for item in planned]


def _content(planned: Mapping[str, Any], secrets: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """A manifest without a namespace is in the one that the plan says."""
    if planned["kind"] != "Secret":
        return {}
    meant = ref_of(planned)
    same = (item for item in secrets if ref_of(item, meant.namespace) == meant)
    return {key: value for key, value in next(same, {}).items() if key in CONTENT}


class FilterModule:
    """Ansible's way to find the filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "marked_crds": marked_crds,
            "operator_marks": marks,
            "operator_render": render,
            "operator_hosts": operator_hosts,
            "operator_images": operator_images,
            "misspelt_values": misspelt,
            "with_content": with_content,
        }
