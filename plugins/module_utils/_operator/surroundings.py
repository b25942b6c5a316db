# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at what another hand has made where the operator is to live: a namespace, pull secrets, sharing configs. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import is_ours, labels
from ansible_collections.t9k.gpu.plugins.module_utils._operator.left_out import few
from ansible_collections.t9k.gpu.plugins.module_utils._operator.objects import ref_of
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ENFORCE
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import SHARING_NAME

if TYPE_CHECKING:
    from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState
    from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wanted


def around(state: ClusterState, wanted: Wanted) -> Iterable[str]:
    """Name what is in the way of an installation; nothing is in the way of a removal."""
    if wanted.present:
        yield from _others(state, wanted)
        yield from _pod_security(state, wanted)


def _others(state: ClusterState, wanted: Wanted) -> Iterable[str]:
    """Name what another hand made under the names that we would write."""
    for name in sorted(state.other_secrets):
        yield str(
            GpuError(
                f"to make the pull secret {name}",
                "a Secret of this name that was not made here",
                f"namespace {wanted.namespace}",
                "give it in gpu_operator_pull_secrets by its name alone to use it as it is, or choose another name",
            )
        )
    yield from _objects_of_others(state, wanted)
    configs = state.configmaps.get(SHARING_NAME)
    before = (configs or {}).get("data") or {}
    lost = sorted(set(before) - set(wanted.sharing))
    if configs is None or not wanted.sharing or is_ours(configs) or wanted.adopt or not lost:
        return
    yield str(
        GpuError(
            f"to keep the sharing configs {few(wanted.sharing)} in ConfigMap {SHARING_NAME}",
            f"configs in it that another hand made and gpu_operator_sharing lacks: {few(lost)}",
            f"ConfigMap {wanted.namespace}/{SHARING_NAME}",
            "add them to gpu_operator_sharing, or set gpu_operator_adopt: true to drop them",
        )
    )


def _objects_of_others(state: ClusterState, wanted: Wanted) -> Iterable[str]:
    """Name a ServiceMonitor or queue of the name that ours would have: written over, it would go with ours one day. Whoever lists an
    object in gpu_operator_manifests has said that it is ours."""
    known = [ref_of(each) for each in state.record.get("objects") or []]
    for item in wanted.objects if not wanted.adopt else ():
        address = wanted.ref(item)
        present = state.objects.get(address.path)
        if present and is_ours(item) and not is_ours(present) and address not in known:
            yield str(
                GpuError(
                    f"to make {address}",
                    "one of this name that was not made here",
                    f"{address}",
                    "set gpu_operator_adopt: true to take it over, or leave it to its owner "
                    "(gpu_operator_service_monitor.by: none, no gpu_operator_queue)",
                )
            )


def _pod_security(state: ClusterState, wanted: Wanted) -> Iterable[str]:
    """Look at a namespace that somebody else made: the operands' pods need what Pod Security's stricter levels refuse.

    With ``psa.enabled`` the operator sets the labels itself (NVIDIA/gpu-operator, controllers/state_manager.go).
    """
    if state.namespace is None or (wanted.values.get("psa") or {}).get("enabled"):
        return
    level = labels(state.namespace).get(ENFORCE, "privileged")
    if level != "privileged":
        yield str(
            GpuError(
                f"a namespace in which the operator's pods may run ({ENFORCE}=privileged)",
                f"{ENFORCE}={level}",
                f"Namespace {wanted.namespace}",
                f"kubectl label namespace {wanted.namespace} {ENFORCE}=privileged --overwrite, or choose another namespace",
            )
        )
