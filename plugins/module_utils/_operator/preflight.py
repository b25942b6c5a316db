# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find the reasons not to begin (faults) and to be careful (warnings), all at once."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube.labels import require_known
from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import labels
from ansible_collections.t9k.gpu.plugins.module_utils._operator.left_out import few
from ansible_collections.t9k.gpu.plugins.module_utils._operator.node_readiness import DISABLED, gpu_nodes
from ansible_collections.t9k.gpu.plugins.module_utils._operator.owned import usable_objects
from ansible_collections.t9k.gpu.plugins.module_utils._operator.ownership import ownership_faults, removal_faults
from ansible_collections.t9k.gpu.plugins.module_utils._operator.revision import Release
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState
from ansible_collections.t9k.gpu.plugins.module_utils._operator.surroundings import around
from ansible_collections.t9k.gpu.plugins.module_utils._operator.values import plain

if TYPE_CHECKING:
    from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wanted

PRE_INSTALLED = "nvidia.com/gpu.deploy.driver"


def minor(version: str) -> tuple[int, int]:
    """Read ``v1.36.2`` as (1, 36)."""
    match = re.match(r"v?(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _kubernetes(state: ClusterState, wanted: Wanted) -> tuple[str | None, str | None]:
    """Compare the cluster's version with the chart's: a fault below the documented range, a warning above it."""
    span = wanted.series.get("kubernetes") or {}
    found = minor(state.server_version)
    if not span or found == (0, 0):
        return None, None
    if found < minor(span["min"]):
        error = GpuError(
            f"Kubernetes {span['min']} or later for GPU operator {wanted.version}",
            f"Kubernetes {state.server_version}",
            "the API server's version",
            "choose an older gpu_operator_version, or upgrade Kubernetes",
        )
        return str(error), None
    if span.get("max") and found > minor(span["max"]):
        return None, (
            f"GPU operator {wanted.version} is documented for Kubernetes {span['min']} to {span['max']}; "
            f"this is {state.server_version}"
        )
    return None, None


def _systems(state: ClusterState, wanted: Wanted) -> tuple[str | None, str | None]:
    """Look for unsupported systems: they break driver containers; with host drivers they are only undocumented."""
    refused = wanted.series.get("unsupported_os") or []
    nodes = {
        name: node["status"]["nodeInfo"]["osImage"]
        for name, node in gpu_nodes(state).items()
        if any(node["status"].get("nodeInfo", {}).get("osImage", "").startswith(each) for each in refused)
    }
    if not nodes:
        return None, None
    told = f"{few(nodes)} run {few(set(nodes.values()))}, which GPU operator {wanted.version} no longer supports"
    if wanted.driver == "host":
        return None, told
    error = GpuError(
        f"driver containers of GPU operator {wanted.version}",
        told,
        "the nodes' osImage",
        "install host drivers (gpu_operator_driver: host) or choose an older gpu_operator_version",
    )
    return str(error), None


def stuck(release: Release, stale_after_s: int, now: datetime.datetime) -> bool:
    """Tell whether a pending revision is so old that the helm that wrote it must be gone."""
    text = re.sub(r"\.\d+", "", release.updated).replace("Z", "+00:00")
    try:
        updated = datetime.datetime.fromisoformat(text)
    except ValueError:
        return True
    return (now - updated).total_seconds() > stale_after_s


def _release(state: ClusterState, wanted: Wanted, now: datetime.datetime) -> Iterable[str]:
    release = state.release
    if release is not None and release.status == "uninstalling" and wanted.present:
        yield str(
            GpuError(
                f"helm release {wanted.release} to be at rest",
                f"revision {release.revision} is being uninstalled since {release.updated}",
                f"Secret {wanted.namespace}/{release.secret}",
                "let it finish, or finish it with gpu_operator_state: absent; then run again",
            )
        )
    elif release is not None and release.pending and not stuck(release, wanted.stale_after_s, now):
        yield str(
            GpuError(
                f"helm release {wanted.release} to be at rest",
                f"revision {release.revision} is {release.status} since {release.updated}",
                f"Secret {wanted.namespace}/{release.secret}",
                "let the other helm finish; what is left over is cleared after gpu_operator_wait_timeout seconds",
            )
        )
    other = "manifests" if wanted.mode == "helm" else "helm"
    if wanted.present and (state.inventory if wanted.mode == "helm" else release):
        yield str(
            GpuError(
                f"mode {wanted.mode}",
                f"the operator was installed here in mode {other}",
                f"namespace {wanted.namespace}",
                f"keep gpu_operator_mode: {other}, or remove it first with gpu_operator_state: absent in that mode",
            )
        )


def _names(state: ClusterState, wanted: Wanted) -> Iterable[str]:
    if not state.nodes or not wanted.present:
        return
    try:
        require_known(wanted.labels, state.nodes, "the cluster")
    except GpuError as error:
        yield str(error)


def _partitions(state: ClusterState, wanted: Wanted) -> Iterable[str]:
    """Refuse partitions of GPUs that cannot have any, by GPU feature discovery's word (k8s-device-plugin, docs/gpu-feature-discovery):
    no MIG manager runs there, so that nobody would ever answer."""
    asked = (name for name, config in wanted.expect.mig.items() if config != DISABLED and name in state.nodes)
    whole = [name for name in asked if labels(state.nodes[name]).get("nvidia.com/mig.capable") == "false"]
    if whole and wanted.present:
        step = "take gpu_mig away from these hosts"
        yield str(
            GpuError(f"partitions on {few(whole)}", "GPUs that have no MIG", "label nvidia.com/mig.capable", step)
        )


def faults(state: ClusterState, wanted: Wanted, now: datetime.datetime) -> tuple[str, ...]:
    """Return everything that forbids a change."""
    found = [*state.denied, *(wanted.faults if wanted.present else ())]
    found.extend(ownership_faults(state, wanted) if wanted.present else removal_faults(state, wanted))
    found.extend(_names(state, wanted))
    found.extend(_partitions(state, wanted))
    found.extend(around(state, wanted))
    found.extend(_release(state, wanted, now))
    if wanted.present and wanted.series:
        found.extend(fault for fault in (_kubernetes(state, wanted)[0], _systems(state, wanted)[0]) if fault)
    return tuple(found)


def _drivers(state: ClusterState, wanted: Wanted) -> Iterable[str]:
    stale = [name for name, node in state.nodes.items() if labels(node).get(PRE_INSTALLED) == "pre-installed"]
    if not stale:
        return
    if wanted.driver == "operator":
        yield (
            f"{few(stale)} carry {PRE_INSTALLED}=pre-installed: the operator's driver container will not run there; "
            "remove the host driver and the label if it should"
        )
    else:
        yield (
            f"{few(stale)} carry {PRE_INSTALLED}=pre-installed, left from a run with driver.enabled=true; "
            "harmless with host drivers, in the way if you change to driver containers"
        )


def warnings(state: ClusterState, wanted: Wanted) -> tuple[str, ...]:
    """Return what the user should know, changed or not."""
    if not wanted.present:
        return ()
    found = [each for each in (_kubernetes(state, wanted)[1], _systems(state, wanted)[1]) if each]
    if wanted.taken_for and not plain(wanted.version).startswith(f"{wanted.taken_for}."):
        found.append(f"GPU operator {wanted.version} is not known here; it is treated as one of v{wanted.taken_for}.x")
    found.extend(_drivers(state, wanted))
    found.extend(usable_objects(state, wanted)[1])
    strangers = sorted(set(wanted.scope) - set(state.nodes) - set(wanted.labels))
    if strangers and state.nodes:
        found.append(f"not in the cluster, left alone: {few(strangers)}")
    if state.policies[1:]:
        found.append(f"{len(state.policies)} ClusterPolicies; the operator works with one and ignores the others")
    return tuple(found)
