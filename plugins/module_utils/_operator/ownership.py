# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find out whose a GPU operator is that is already in the cluster, before anything of it is touched. Pure.

A cluster has one ClusterPolicy that works, and CRDs that all operators share: planning over another hand's operator breaks it,
and helm refuses too late, after the CRDs are overwritten. Sources of the signs:
helm's ownership check (helm/helm, pkg/action/validate.go: two annotations and a label); Argo CD's "Resource Tracking" (the
annotation is the default since 3.0); Flux's origin labels (fluxcd/helm-controller, pull request 238); OLM's ``olm.owner``.
``helm template`` writes the label ``managed-by: Helm`` but no annotation: that label alone says nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import labels
from ansible_collections.t9k.gpu.plugins.module_utils._operator.manifests import NFD_GROUP

if TYPE_CHECKING:
    from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState, Object
    from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wanted

RELEASE_NAME = "meta.helm.sh/release-name"
RELEASE_NAMESPACE = "meta.helm.sh/release-namespace"
INSTANCE = "app.kubernetes.io/instance"
OURS, UNMARKED, FOREIGN = "ours", "unmarked", "foreign"
_CRD_GROUPS = (".nvidia.com", NFD_GROUP)
#: Labels and annotations of tools that would undo whatever somebody else changes.
_TOOLS = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "helm.toolkit.fluxcd.io/name": "Flux",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "olm.owner": "the Operator Lifecycle Manager",
}


@dataclass(frozen=True)
class Claim:
    """Whose one object is. ``by`` says it, after the object's name; ``release`` and ``namespace`` are the owner's, if known."""

    what: str
    owner: str
    by: str
    release: str = ""
    namespace: str = ""
    in_helm: bool = False

    def __str__(self) -> str:
        return f"{self.what} {self.by}"


def _annotations(item: Object) -> Mapping[str, str]:
    return item["metadata"].get("annotations") or {}


def made_here(state: ClusterState) -> bool:
    """Tell whether this role has worked in the namespace: it leaves a record, and writes its name into helm's revisions."""
    description = state.release.description if state.release else ""
    return bool(state.record or state.inventory or description.startswith("t9k.gpu"))


def _claim(kind: str, item: Object, state: ClusterState, wanted: Wanted) -> Claim:
    metadata, notes = item["metadata"], _annotations(item)
    namespace = metadata.get("namespace") or ""
    what = f"{kind} {namespace + '/' if namespace else ''}{metadata['name']}"
    for sign, tool in _TOOLS.items():
        value = notes.get(sign) or labels(item).get(sign)
        if value:
            return Claim(what, FOREIGN, f"is kept by {tool} ({sign}={value})")
    if RELEASE_NAME in notes:
        release, at = notes[RELEASE_NAME], notes.get(RELEASE_NAMESPACE, "")
        by = f"is of helm release {release} in namespace {at}"
        if (release, at) != (wanted.release, wanted.namespace):
            return Claim(what, FOREIGN, by, release, at, in_helm=True)
        return Claim(
            what, OURS if made_here(state) else UNMARKED, f"{by}, which was not made here", release, at, in_helm=True
        )
    return _claim_without_helm(what, namespace, metadata["name"], item, state, wanted)


def _claim_without_helm(
    what: str, namespace: str, name: str, item: Object, state: ClusterState, wanted: Wanted
) -> Claim:
    applied = {(each["kind"], each["name"]) for each in state.inventory.get("objects") or []}
    if (what.split()[0], name) in applied and namespace in ("", wanted.namespace):
        return Claim(what, OURS, "was applied here")
    release = labels(item).get(INSTANCE, "")
    by = f"is of no helm release; it was applied by another hand{f' (instance {release})' if release else ''}"
    foreign = namespace not in ("", wanted.namespace)
    return Claim(what, FOREIGN if foreign else UNMARKED, by, release, namespace or wanted.namespace)


def claims(state: ClusterState, wanted: Wanted) -> tuple[Claim, ...]:
    """Return whose each operator and each ClusterPolicy of the cluster is."""
    found = [_claim("Deployment", item, state, wanted) for item in state.operators]
    found += [_claim("ClusterPolicy", item, state, wanted) for item in state.policies]
    found += [_claim("GPUCluster", item, state, wanted) for item in state.gpu_clusters]
    return tuple(found)


def _kept_crds(state: ClusterState) -> Iterable[str]:
    """CRDs that a tool puts back; those that anybody else left are brought up to date."""
    for name, crd in state.crds.items():
        signs = {**labels(crd), **_annotations(crd)}
        tools = [tool for sign, tool in _TOOLS.items() if signs.get(sign)]
        if tools and name.endswith(".nvidia.com"):
            yield f"CustomResourceDefinition {name} is kept by {tools[0]}"


def to_adopt(state: ClusterState, wanted: Wanted) -> tuple[Claim, ...]:
    """Return what must be taken over first: objects that no release of helm owns yet."""
    if not wanted.adopt:
        return ()
    return tuple(claim for claim in claims(state, wanted) if claim.owner == UNMARKED and not claim.in_helm)


def ownership_faults(state: ClusterState, wanted: Wanted) -> Iterable[str]:
    """Name everything of another hand's operator in one fault, with what to do about it."""
    found = claims(state, wanted)
    foreign = [claim for claim in found if claim.owner == FOREIGN]
    unmarked = [claim for claim in found if claim.owner == UNMARKED]
    names = sorted({claim.release for claim in unmarked} - {"", wanted.release}) if wanted.mode == "helm" else []
    told = [*map(str, foreign), *_kept_crds(state)]
    if told:
        step = "let its owner remove it, or leave this cluster's operator to its owner" + _as_owner(foreign)
    elif unmarked and not wanted.adopt:
        told = list(map(str, unmarked))
        named = f" (with gpu_operator_release: {names[0]})" if names else ""
        step = f"set gpu_operator_adopt: true to take it over{named}, or remove it first"
    elif names:
        told = list(map(str, unmarked))
        step = f"set gpu_operator_release: {names[0]}, so that no object changes its name and no pod restarts"
    if told:
        yield str(GpuError("no GPU operator of another hand in this cluster", "; ".join(told), _where(told), step))


def _as_owner(foreign: list[Claim]) -> str:
    """Say how to become the owner's equal, where all belongs to one release."""
    places = sorted({(claim.release, claim.namespace) for claim in foreign})
    if len(places) != 1 or not places[0][0]:
        return ""
    release, namespace = places[0]
    wanted = f"gpu_operator_release: {release}, gpu_operator_namespace: {namespace} and gpu_operator_adopt: true"
    return f"; to manage it from here set {wanted}"


def removal_faults(state: ClusterState, wanted: Wanted) -> Iterable[str]:
    """Refuse to take away what is another hand's: a release that was not made here, or CRDs that another operator needs."""
    release = state.release
    if release is not None and not made_here(state) and not wanted.adopt:
        yield str(
            GpuError(
                "to remove what was installed here",
                f"helm release {wanted.release}, which was not made here",
                f"Secret {wanted.namespace}/{release.secret}",
                "set gpu_operator_adopt: true if it is to go, or name the right gpu_operator_release",
            )
        )
    foreign = [claim for claim in claims(state, wanted) if claim.owner == FOREIGN]
    if foreign and wanted.crds_remove:
        found = "; ".join(map(str, foreign))
        step = "leave gpu_operator_crds_remove false while another operator needs them"
        yield str(GpuError("to remove the CRDs", found, _where(list(map(str, foreign))), step))


def _where(told: list[str]) -> str:
    return "labels and annotations of " + ", ".join(" ".join(each.split()[:2]) for each in told)


def crds_of_nobody(state: ClusterState) -> list[str]:
    """Return the operator's and its discovery's CRDs that no release of helm and no tool has."""
    signs = {name: {**labels(crd), **_annotations(crd)} for name, crd in state.crds.items()}
    theirs = [name for name, found in signs.items() if {RELEASE_NAME, *_TOOLS} & set(found)]
    return sorted(name for name in signs if name.endswith(_CRD_GROUPS) and name not in theirs)


def helm_marks(wanted: Wanted) -> dict[str, Any]:
    """Return the metadata by which helm takes an object for its release's own."""
    return {
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {RELEASE_NAME: wanted.release, RELEASE_NAMESPACE: wanted.namespace},
    }
