# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The chart's part of the plan: CRDs, release or rendered manifests, and a ClusterPolicy that drifted.

Private: subject to change without notice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._operator import objects, values
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import (
    CRD_COUNT,
    CRD_VERSION,
    ClusterState,
    notes_on,
)
from ansible_collections.t9k.gpu.plugins.module_utils._operator.step import NOTHING, OPERAND_PODS, Object, Step
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wish

_SHOWN = 6


def crds_outdated(state: ClusterState, wish: Wish) -> str:
    """Why the CRDs must be applied; "" if they are the chart's."""
    found = {name: notes_on(crd).get(CRD_VERSION) for name, crd in state.crds.items()}
    mine = {name: version for name, version in found.items() if version == crd_version(wish)}
    policy = "clusterpolicies.nvidia.com"
    if policy not in state.crds:
        return f"{policy} is missing"
    if policy not in mine:
        return f"{policy} is of {found[policy] or 'an unknown version'}; old CRDs drop new fields silently"
    count = int(notes_on(state.crds[policy]).get(CRD_COUNT, "1"))
    return f"{len(mine)} of {count} CRDs are applied" if len(mine) < count else ""


def crd_version(wish: Wish) -> str:
    return f"{values.plain(wish.version)}{'-' + wish.digest if wish.digest else ''}"


def _differing(wanted: Any, found: Any) -> str:
    """Which values differ; those that only the installed ones have are marked."""
    changed = set(objects.paths_in(objects.missing_from(wanted, found) or {}))
    gone = set(objects.paths_in(objects.missing_from(found, wanted) or {})) - changed
    named = [*sorted(changed - {""}), *(f"{path} (removed)" for path in sorted(gone - {""}))]
    more = [f"and {len(named) - _SHOWN} more"] if len(named) > _SHOWN else []
    return "values differ: " + ", ".join([*named[:_SHOWN], *more])


def release_reason(state: ClusterState, wish: Wish) -> str:
    """Why helm must run; "" if the release is as wished."""
    release = state.release
    if release is None:
        return "not installed"
    if release.status != "deployed":
        return f"revision {release.revision} is {release.status}"
    if values.plain(release.chart_version) != values.plain(wish.version):
        return f"chart {release.chart_version} → {wish.version}"
    if wish.digest and wish.digest not in release.description:
        return "the local chart changed"
    if release.values != wish.values:
        return _differing(wish.values, release.values)
    return ""


def inventory_wanted(wish: Wish) -> Object:
    """What the inventory says of a finished render of this wish."""
    return {"version": values.plain(wish.version), "digest": wish.digest, "values": dict(wish.values)}


def manifests_reason(state: ClusterState, wish: Wish) -> str:
    """Why the chart must be rendered and applied; "" if it has been."""
    found = state.inventory
    if not found:
        return "not installed"
    if not found.get("complete"):
        return "the last apply broke off"
    wanted = inventory_wanted(wish)
    if found["version"] != wanted["version"]:
        return f"chart v{found['version']} → {wish.version}"
    if found["digest"] != wanted["digest"]:
        return "the local chart changed"
    if found["values"] != wanted["values"]:
        return _differing(wanted["values"], found["values"])
    return ""


def policy_drift(state: ClusterState, wish: Wish) -> Object:
    """The part of the rendered ClusterPolicy's spec that the live one lacks, as a merge patch."""
    rendered = state.release.policy if wish.mode == "helm" and state.release else state.inventory.get("policy")
    if not rendered or state.policy is None:
        return {}
    live = state.policy.get("spec") or {}
    return objects.missing_from(rendered.get("spec") or {}, live) or {}


def chart_steps(state: ClusterState, wish: Wish) -> Iterable[Step]:
    outdated = crds_outdated(state, wish)
    helm = wish.mode == "helm"
    reason = release_reason(state, wish) if helm else manifests_reason(state, wish)
    if outdated or reason:
        yield Step("chart", "chart", f"{wish.chart} {wish.version} is needed")
    if outdated:
        yield Step("crds", "crds", outdated)
    if reason:
        before = state.release.values if state.release and helm else state.inventory.get("values")
        disturbs = OPERAND_PODS if before is not None else NOTHING
        yield Step(
            "release" if helm else "manifests",
            "release" if helm else "manifests",
            reason,
            disturbs,
            before={"version": state.release.chart_version if state.release else None, "values": before},
            after={"version": wish.version, "values": dict(wish.values)},
        )
    else:
        yield from _drift(state, wish)


def _drift(state: ClusterState, wish: Wish) -> Iterable[Step]:
    drift = policy_drift(state, wish)
    if not drift or state.policy is None:
        return
    reason = "ClusterPolicy changed by another hand: " + ", ".join(sorted(objects.paths_in(drift)))
    name = state.policy["metadata"]["name"]
    definition = {"apiVersion": "nvidia.com/v1", "kind": "ClusterPolicy", "metadata": {"name": name}, "spec": drift}
    yield Step("policy", "objects", reason, OPERAND_PODS, patch=(definition,), after=drift)
