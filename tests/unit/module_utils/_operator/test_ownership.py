"""Whose an operator is: what a cluster shows, and what the plan makes of it."""

from __future__ import annotations

import datetime
from typing import Any

import operator_cluster as cluster
import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._operator import plan as operator_plan
from ansible_collections.t9k.gpu.plugins.module_utils._operator import preflight, readiness
from ansible_collections.t9k.gpu.plugins.module_utils._operator.manifests import marks
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState

NOW = datetime.datetime(2026, 1, 1, 0, 10, tzinfo=datetime.timezone.utc)


def found(metadata: dict[str, Any], namespace: str = "gpu-operator", **more: Any) -> ClusterState:
    """A cluster that this role has never seen, with an operator and its ClusterPolicy of the same owner."""
    name = {**metadata, "name": "cluster-policy"}
    name.pop("namespace", None)
    policy = cluster.policy(name)
    operator = cluster.operator(metadata, namespace)
    given = {"release": None, "configmaps": {}, "operators": (operator,), "policies": (policy,), **more}
    return cluster.finished(**given)


def faults(here: ClusterState, **wanted: Any) -> tuple[str, ...]:
    return preflight.faults(here, cluster.wanted(**wanted), NOW)


def signed(**signs: dict[str, str]) -> dict[str, Any]:
    return {"name": "gpu-operator", **signs}


BY_HAND = cluster.release({}, description="Upgrade complete")
OTHER = cluster.owned("gpu-operator", "gpu-operator-1714", "nvidia")
HAND = cluster.applied("gpu-operator")
HAND_UNNAMED = cluster.applied("gpu-operator", "release-name")
ARGO = signed(annotations={"argocd.argoproj.io/tracking-id": "gpus:apps/Deployment:gpu-operator/gpu-operator"})
FLUX = signed(labels={"helm.toolkit.fluxcd.io/name": "gpus"}, annotations=cluster.owned("x")["annotations"])
OLM = signed(labels={"olm.owner": "gpu-operator-certified.v25.3.0"})

REFUSED: list[tuple[str, ClusterState, dict[str, Any], tuple[str, ...]]] = [
    ("other release", found(OTHER, "nvidia"), {},
     ("Deployment nvidia/gpu-operator is of helm release gpu-operator-1714 in namespace nvidia",
      "ClusterPolicy cluster-policy is of helm release gpu-operator-1714",
      "gpu_operator_release: gpu-operator-1714, gpu_operator_namespace: nvidia and gpu_operator_adopt: true")),
    ("other release, adopt", found(OTHER, "nvidia"), {"adopt": True}, ("helm release gpu-operator-1714",)),
    ("argo", found(ARGO), {"adopt": True}, ("kept by Argo CD",)),
    ("flux", found(FLUX), {"adopt": True}, ("kept by Flux",)),
    ("olm", found(OLM), {"adopt": True}, ("kept by the Operator Lifecycle Manager",)),
    ("by hand", found(HAND), {}, ("applied by another hand (instance gpu-operator)", "gpu_operator_adopt: true")),
    ("by hand, no name", found(HAND_UNNAMED), {}, ("(with gpu_operator_release: release-name)",)),
    ("by hand, no name, adopt", found(HAND_UNNAMED), {"adopt": True}, ("set gpu_operator_release: release-name",)),
    ("by hand elsewhere", found(HAND, "nvidia"), {"adopt": True}, ("Deployment nvidia/gpu-operator",)),
    ("our name, made by helm", found(cluster.owned("gpu-operator"), release=BY_HAND), {},
     ("helm release gpu-operator in namespace gpu-operator, which was not made here", "gpu_operator_adopt: true")),
    ("only its CRDs are kept", cluster.finished(release=None, configmaps={}, operators=(), policies=(), crds={
        "clusterpolicies.nvidia.com": {"metadata": {"name": "clusterpolicies.nvidia.com", "labels": {"olm.owner": "x"}}}}),
     {}, ("CustomResourceDefinition clusterpolicies.nvidia.com is kept by the Operator Lifecycle Manager",)),
    ("manifests, by hand", found(HAND), {"mode": "manifests"}, ("gpu_operator_adopt: true",)),
]  # fmt: skip


@pytest.mark.parametrize(("state", "wanted", "parts"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused_with_one_error(state: ClusterState, wanted: dict[str, Any], parts: tuple[str, ...]) -> None:
    (fault,) = faults(state, **wanted)
    assert not [part for part in parts if part not in fault]


TAKEN: list[tuple[str, ClusterState, dict[str, Any], list[str]]] = [
    ("by hand", found(HAND), {"adopt": True}, ["chart", "record", "adopt", "release"]),
    ("by hand, no name", found(HAND_UNNAMED), {"adopt": True, "release": "release-name"},
     ["chart", "record", "adopt", "release"]),
    ("by hand, manifests", found(HAND_UNNAMED), {"adopt": True, "mode": "manifests"}, ["chart", "record", "manifests"]),
    ("made by helm", found(cluster.owned("gpu-operator"), release=BY_HAND), {"adopt": True},
     ["chart", "record", "release"]),
    ("a ClusterPolicy made by hand", cluster.finished(policies=(cluster.policy({"name": "cluster-policy"}),)),
     {"adopt": True}, ["chart", "adopt"]),
]  # fmt: skip


@pytest.mark.parametrize(("state", "wanted", "steps"), [row[1:] for row in TAKEN], ids=[row[0] for row in TAKEN])
def test_taken_over(state: ClusterState, wanted: dict[str, Any], steps: list[str]) -> None:
    assert faults(state, **wanted) == ()
    assert [step.name for step in operator_plan.plan(state, cluster.wanted(**wanted))] == steps


def test_what_the_mark_is() -> None:
    text = "kind: ClusterRole\napiVersion: v1\nmetadata: {name: a, labels: {x: y}}\n---\n"
    text += "kind: CustomResourceDefinition\napiVersion: v1\nmetadata: {name: b}\n"
    steps = operator_plan.plan(found(HAND), cluster.wanted(adopt=True))
    (marked,) = marks(text, next(step.data["marks"] for step in steps if step.name == "adopt"))
    assert marked == {"apiVersion": "v1", "kind": "ClusterRole", "metadata": {
        "name": "a", "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "gpu-operator", "meta.helm.sh/release-namespace": "gpu-operator"}}}  # fmt: skip


NODE_RULES = "nodefeaturerules.nfd.k8s-sigs.io"


@pytest.mark.parametrize(("annotations", "left_alone"), [
    ({}, False),
    ({"meta.helm.sh/release-name": "nfd", "meta.helm.sh/release-namespace": "nfd"}, True),
    ({"argocd.argoproj.io/tracking-id": "nfd:…"}, True),
])  # fmt: skip
def test_a_crd_among_the_charts_templates_is_taken_over_where_it_is_nobodys(
    annotations: dict[str, str], left_alone: bool
) -> None:
    """v22.9's chart has the one of node feature discovery there, and helm refuses to install over it without its marks."""
    text = f"kind: CustomResourceDefinition\napiVersion: v1\nmetadata: {{name: {NODE_RULES}}}\n"
    crds = {NODE_RULES: {"metadata": {"name": NODE_RULES, "annotations": annotations}}}
    steps = operator_plan.plan(found(HAND, crds=crds), cluster.wanted(adopt=True))
    data = next(step.data for step in steps if step.name == "adopt")
    marked = marks(text, data["marks"], data["crds"])
    assert [each["metadata"]["name"] for each in marked] == ([] if left_alone else [NODE_RULES])
    assert all(each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep" for each in marked)


def test_what_0_1_0_installed_is_ours() -> None:
    state = cluster.finished(configmaps={})
    assert faults(state) == ()  # its description begins with t9k.gpu


REMOVAL = [
    ("not made here", found(cluster.owned("gpu-operator"), release=BY_HAND), {}, "which was not made here"),
    ("CRDs of another", found(OTHER, "nvidia"), {"crds_remove": True}, "while another operator needs them"),
]


@pytest.mark.parametrize(("state", "wanted", "part"), [row[1:] for row in REMOVAL], ids=[row[0] for row in REMOVAL])
def test_removal_refused(state: ClusterState, wanted: dict[str, Any], part: str) -> None:
    (fault,) = faults(state, state="absent", **wanted)
    assert part in fault


def test_removal_beside_another_operator_does_nothing_and_waits_for_nothing() -> None:
    state = found(OTHER, "nvidia", daemonsets={})
    wanted = cluster.wanted(state="absent")
    assert faults(state, state="absent") == ()
    assert operator_plan.plan(state, wanted) == ()
    assert readiness.remaining(state, "gpu-operator") == ()


SECRETS = {"pull_secrets": ["pull"], "own_pull_secrets": ["pull"]}
HAND_MAP = {"metadata": {"name": "time-slicing-config"}, "data": {"common": "version: v1", "a100-40gb": "version: v1"}}
OTHERS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("pull secret", {"other_secrets": frozenset({"pull"})}, SECRETS, "a Secret of this name that was not made here"),
    ("sharing", {"configmaps": {**cluster.finished().configmaps, "time-slicing-config": HAND_MAP}},
     {"sharing": cluster.COMMON}, "gpu_operator_sharing lacks: a100-40gb"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "wanted", "part"), [row[1:] for row in OTHERS], ids=[row[0] for row in OTHERS])
def test_what_another_hand_made_is_left(state: dict[str, Any], wanted: dict[str, Any], part: str) -> None:
    (fault,) = faults(cluster.finished(**state), **wanted)
    assert part in fault
