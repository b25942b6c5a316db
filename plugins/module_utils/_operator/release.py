# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the chart's part: CRDs, release or rendered manifests, and a ClusterPolicy that drifted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import note
from ansible_collections.t9k.gpu.plugins.module_utils._operator import objects, values
from ansible_collections.t9k.gpu.plugins.module_utils._operator.disturbance import OPERAND_PODS, of_release
from ansible_collections.t9k.gpu.plugins.module_utils._operator.ownership import (
    crds_of_nobody,
    helm_marks,
    to_adopt,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator.policy import uses_driver_crd
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import (
    CRD_COUNT,
    CRD_VERSION,
    ClusterState,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator.step import Object, writes
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step

_SHOWN = 6


def crds_outdated(state: ClusterState, wanted: Wanted) -> str:
    """Say why the CRDs must be applied; "" if they are the chart's, or a later chart's: CRDs only grow."""
    found = {name: note(crd, CRD_VERSION) for name, crd in state.crds.items()}
    mine = {name: version for name, version in found.items() if version == crd_version(wanted)}
    policy = "clusterpolicies.nvidia.com"
    if policy not in state.crds:
        return f"{policy} is missing"
    if _later(found[policy], wanted):
        return ""
    if policy not in mine:
        return f"{policy} is of {found[policy] or 'an unknown version'}; old CRDs drop new fields silently"
    count = int(note(state.crds[policy], CRD_COUNT) or 1)
    return f"{len(mine)} of {count} CRDs are applied" if len(mine) < count else ""


def crd_version(wanted: Wanted) -> str:
    """Return the mark of this chart's CRDs."""
    parts = [values.plain(wanted.version), wanted.digest, "" if wanted.expect.nfd else "no-nfd"]
    return "-".join(filter(None, parts))


def _later(noted: str | None, wanted: Wanted) -> bool:
    return noted is not None and values.numbers(noted.partition("-")[0]) > values.numbers(wanted.version)


def _differing(wanted: Any, found: Any) -> str:
    """Name the values that differ; those that only the installed ones have are marked."""
    changed = set(objects.paths_in(objects.missing_from(wanted, found) or {}))
    gone = set(objects.paths_in(objects.missing_from(found, wanted) or {})) - changed
    named = [*sorted(changed - {""}), *(f"{path} (removed)" for path in sorted(gone - {""}))]
    more = [f"and {len(named) - _SHOWN} more"] if len(named) > _SHOWN else []
    return "values differ: " + ", ".join([*named[:_SHOWN], *more])


def deleted(state: ClusterState, rendered: Iterable[tuple[str, str]]) -> str:
    """Say what was rendered once and is not there any more: another hand deleted it, and nobody makes it anew but us."""
    present = {
        "ClusterPolicy": {item["metadata"]["name"] for item in state.policies},
        "GPUCluster": {item["metadata"]["name"] for item in state.gpu_clusters},
        **({"NVIDIADriver": {item["metadata"]["name"] for item in state.drivers}} if _reads_drivers(state) else {}),
        "Deployment": set(state.deployments),
        "DaemonSet": set(state.daemonsets),
    }
    gone = sorted(f"{kind} {name}" for kind, name in rendered if name and name not in present.get(kind, {name}))
    return f"deleted by another hand: {', '.join(gone)}" if gone else ""


def _reads_drivers(state: ClusterState) -> bool:
    """Tell whether the NVIDIADrivers were read: where they are nobody's matter, whether they are there says nothing."""
    return bool(state.gpu_clusters) or any(map(uses_driver_crd, state.policies))


def release_reason(state: ClusterState, wanted: Wanted) -> str:
    """Say why helm must run; "" if the release is as wanted."""
    release = state.release
    if release is None:
        return "it is not installed"
    if release.status != "deployed":
        return f"revision {release.revision} is {release.status}"
    if values.plain(release.chart_version) != values.plain(wanted.version):
        return f"chart {release.chart_version} → {wanted.version}"
    if wanted.digest and wanted.digest not in release.description:
        return "the local chart changed"
    if release.values != wanted.values:
        return _differing(wanted.values, release.values)
    return deleted(state, release.rendered)


def inventory_wanted(wanted: Wanted) -> Object:
    """Return what the inventory says once these values are rendered and applied."""
    return {"version": values.plain(wanted.version), "digest": wanted.digest, "values": dict(wanted.values)}


def manifests_reason(state: ClusterState, wanted: Wanted) -> str:
    """Say why the chart must be rendered and applied; "" if it has been."""
    found = state.inventory
    if not found:
        return "it is not installed"
    if not found.get("complete"):
        return "the last apply broke off"
    done = inventory_wanted(wanted)
    if found["version"] != done["version"]:
        return f"chart v{found['version']} → {wanted.version}"
    if found["digest"] != done["digest"]:
        return "the local chart changed"
    if found["values"] != done["values"]:
        return _differing(done["values"], found["values"])
    return deleted(state, ((each["kind"], each["name"]) for each in found.get("objects") or []))


def policy_drift(state: ClusterState, wanted: Wanted) -> Object:
    """Return the part of the rendered ClusterPolicy's (or GPUCluster's) spec that the live one lacks, as a merge patch."""
    rendered = state.release.policy if wanted.mode == "helm" and state.release else state.inventory.get("policy")
    if not rendered or state.config is None or rendered["metadata"]["name"] != state.config["metadata"]["name"]:
        return {}
    live = state.config.get("spec") or {}
    return objects.missing_from(rendered.get("spec") or {}, live) or {}


def chart_steps(state: ClusterState, wanted: Wanted) -> Iterable[Step]:
    """Plan chart, CRDs and release (or manifests); where none of them is due, put back what drifted."""
    outdated = crds_outdated(state, wanted)
    helm = wanted.mode == "helm"
    reason = release_reason(state, wanted) if helm else manifests_reason(state, wanted)
    taken = to_adopt(state, wanted) if helm else ()
    if outdated or reason or taken:
        yield Step("chart", f"{wanted.chart} {wanted.version} is needed")
    if taken:
        told = "taken over: " + ", ".join(claim.what for claim in taken)
        yield Step("adopt", told, data={"marks": helm_marks(wanted), "crds": crds_of_nobody(state)})
    if outdated:
        yield Step("crds", outdated)
    if reason:
        before = state.release.values if state.release and helm else state.inventory.get("values")
        version = state.release.chart_version if state.release else None
        data: dict[str, Any] = {
            "before": {"version": version, "values": before},
            "after": {"version": wanted.version, "values": dict(wanted.values)},
        }
        felt = of_release(state, wanted)
        data.update(felt.data)
        yield Step("release", reason, felt.sentence, data) if helm else Step("manifests", reason, felt.sentence, data)
    else:
        yield from _drift(state, wanted)


def _drift(state: ClusterState, wanted: Wanted) -> Iterable[Step]:
    drift = policy_drift(state, wanted)
    if not drift or state.config is None:
        return
    version, kind = ("v1", "ClusterPolicy") if state.policy else ("v1alpha1", "GPUCluster")
    reason = f"{kind} changed by another hand: " + ", ".join(sorted(objects.paths_in(drift)))
    name = state.config["metadata"]["name"]
    definition = {"apiVersion": f"nvidia.com/{version}", "kind": kind, "metadata": {"name": name}, "spec": drift}
    yield writes("policy", reason, OPERAND_PODS.sentence, patch=[definition], after=drift)
