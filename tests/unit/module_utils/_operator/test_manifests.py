"""Rendered text → objects, prune list and inventory."""

from __future__ import annotations

import json

from ansible_collections.t9k.gpu.plugins.module_utils._operator.manifests import documents, marked_crds, render

CRDS = """
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: a.nvidia.com, annotations: {x: "1"}}
status: {}
---
# nothing
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: b.nvidia.com}
"""
RENDERED = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: gpu-operator}
---
apiVersion: nvidia.com/v1
kind: ClusterPolicy
metadata: {name: cluster-policy}
spec: {driver: {enabled: false}}
"""


def test_documents_take_lists_apart() -> None:
    assert [d["kind"] for d in documents("kind: List\nitems: [{kind: A}, {kind: B}]\n---\n---\nkind: C\n")] == list(
        "ABC"
    )


def test_crds_of_a_subchart_that_is_not_installed_are_left_alone() -> None:
    text = CRDS + "---\nkind: CustomResourceDefinition\nmetadata: {name: nodefeatures.nfd.k8s-sigs.io}\n"
    assert [len(marked_crds(text, "26.7.0", nfd)) for nfd in (True, False)] == [3, 2]


def test_crds_are_marked() -> None:
    first, second = marked_crds(CRDS, "26.7.0")
    assert first["metadata"]["annotations"] == {
        "x": "1",
        "helm.sh/resource-policy": "keep",
        "gpu.t9k.io/chart-version": "26.7.0",
        "gpu.t9k.io/chart-crds": "2",
    }
    assert "status" not in first
    assert second["metadata"]["annotations"]["gpu.t9k.io/chart-crds"] == "2"


def test_what_a_former_render_left_behind_goes_but_never_a_crd() -> None:
    before = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "namespace": "gpu-operator", "name": "gpu-operator"},
        {"apiVersion": "v1", "kind": "ConfigMap", "namespace": "gpu-operator", "name": "old"},
        {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "namespace": "", "name": "crd"},
    ]
    plan = {"inventory": before, "inventory_wanted": {"version": "26.7.0", "digest": "", "values": {}}}
    found = render(RENDERED, plan, "gpu-operator")
    assert found["gone"] == [before[1]]
    begin = json.loads(found["begin"]["data"]["inventory"])
    done = json.loads(found["done"]["data"]["inventory"])
    assert [each["name"] for each in begin["objects"]] == ["old", "gpu-operator", "cluster-policy"]
    assert [each["name"] for each in done["objects"]] == ["gpu-operator", "cluster-policy"]
    assert (begin["complete"], done["complete"]) == (False, True)
    assert done["policy"]["spec"] == {"driver": {"enabled": False}}
