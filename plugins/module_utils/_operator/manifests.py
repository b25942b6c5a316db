# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make of a rendered chart what to apply, what to prune, what to remember. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Dict

from ansible.module_utils.common.yaml import yaml_load_all

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import MANAGED_BY, PREFIX
from ansible_collections.t9k.gpu.plugins.module_utils._operator.objects import Ref, ref_of
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import CRD_COUNT, CRD_VERSION, INVENTORY

Object = Dict[str, Any]
CRD = "CustomResourceDefinition"
#: The subchart's; helm installs none of them without it, and then they may be somebody else's.
NFD_GROUP = ".nfd.k8s-sigs.io"
# An older chart may carry a CRD among its templates (v22.9's NodeFeatureRule); the newer one has it in crds/. Without this,
# helm takes the upgrade for its removal, and every object of that kind goes with it.
KEEP = {"helm.sh/resource-policy": "keep"}


def documents(text: str) -> list[Object]:
    """Return all objects of a YAML stream; lists of objects are taken apart."""
    found: list[Object] = []
    for document in yaml_load_all(text):
        found.extend(
            document["items"] if document and document.get("kind") == "List" else [document] if document else []
        )
    return found


def marked_crds(text: str, version: str, nfd: bool = True) -> list[Object]:
    """Return the chart's CRDs, each with a note of where it is from, so that the next plan knows it without its text."""
    found = [each for each in documents(text) if each["kind"] == CRD]
    crds = [each for each in found if nfd or not each["metadata"]["name"].endswith(NFD_GROUP)]
    note = {**KEEP, PREFIX + CRD_VERSION: version, PREFIX + CRD_COUNT: str(len(crds))}
    for crd in crds:
        crd["metadata"]["annotations"] = {**(crd["metadata"].get("annotations") or {}), **note}
        crd.pop("status", None)
    return crds


def marks(text: str, metadata: Mapping[str, Any], crds: Iterable[str] = ()) -> list[Object]:
    """Return a patch of each rendered object's metadata.

    Of CRDs among a chart's templates only those named are marked, and kept where the release goes: others may use them by then.
    """
    found = [each for each in documents(text) if each["kind"] != CRD or each["metadata"]["name"] in set(crds)]
    return [_mark(each, metadata) for each in found]


def _mark(item: Object, metadata: Mapping[str, Any]) -> Object:
    named = {key: item["metadata"][key] for key in ("name", "namespace") if key in item["metadata"]}
    patch = {"apiVersion": item["apiVersion"], "kind": item["kind"], "metadata": {**named, **metadata}}
    if item["kind"] == CRD:
        patch["metadata"]["annotations"] = {**metadata["annotations"], **KEEP}
    return patch


def gone(before: list[Mapping[str, Any]], now: set[Ref]) -> list[Ref]:
    """Return what was applied once and is not rendered any more. CRDs stay: with them all their objects would go."""
    return [each for each in map(ref_of, before) if each not in now and each.kind != CRD]


def _inventory(namespace: str, refs: list[Ref], more: Mapping[str, Any]) -> Object:
    content = {**more, "objects": [each.to_dict() for each in refs]}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": INVENTORY, "namespace": namespace, "labels": dict(MANAGED_BY)},
        "data": {"inventory": json.dumps(content, sort_keys=True)},
    }


def render(text: str, plan: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    """Make of the rendered text what to do: ``begin`` is remembered first (old and new objects), ``done`` at last (new ones)."""
    objects = documents(text)
    refs = [ref_of(each, namespace) for each in objects]
    stale = gone(plan["inventory"], set(refs))
    policy = next((each for each in objects if each["kind"] in ("ClusterPolicy", "GPUCluster")), None)
    wanted = plan["inventory_wanted"]
    return {
        "objects": objects,
        "gone": [each.to_dict() for each in stale],
        "begin": _inventory(namespace, [*stale, *refs], {**wanted, "complete": False}),
        "done": _inventory(namespace, refs, {**wanted, "complete": True, "policy": policy}),
    }
