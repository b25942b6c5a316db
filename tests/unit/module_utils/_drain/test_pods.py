"""Which pods go and why, as a table; and what holds for any pod."""

from __future__ import annotations

from typing import Any

import pytest
from fake_cluster import pod
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.t9k.gpu.plugins.module_utils._drain import pods
from ansible_collections.t9k.gpu.plugins.module_utils._drain.wanted import Wanted

PLAIN = Wanted(delete_emptydir_data=False)
GPU = {"containers": [{"name": "main", "resources": {"limits": {"nvidia.com/gpu": "1"}}}]}
MIG = {"initContainers": [{"name": "a", "resources": {"requests": {"nvidia.com/mig-1g.10gb": "1"}}}], "containers": []}
EMPTY_DIR = {"volumes": [{"name": "scratch", "emptyDir": {}}]}
STATIC = {"annotations": {"kubernetes.io/config.mirror": "hash"}}
DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
PLUGIN = {"nodeSelector": {"nvidia.com/gpu.deploy.device-plugin": "true"}}
DRIVER = {"nodeSelector": {"nvidia.com/gpu.deploy.driver": "true"}}
KRUISE = {
    "ownerReferences": [{"kind": "DaemonSet", "apiVersion": "apps.kruise.io/v1alpha1", "name": "d", "controller": True}]
}

CASES: list[tuple[str, dict[str, Any], Wanted, str]] = [
    ("controlled", pod("p"), PLAIN, pods.GOES),
    ("static", pod("p", None, metadata=STATIC), PLAIN, pods.STAYS),
    ("succeeded", pod("p", None, status={"phase": "Succeeded"}), PLAIN, pods.STAYS),
    ("failed", pod("p", "Job", status={"phase": "Failed"}), PLAIN, pods.STAYS),
    ("naked", pod("p", None), PLAIN, pods.BLOCKED),
    ("naked, by force", pod("p", None), Wanted(force=True), pods.GOES),
    ("naked and being deleted", pod("p", None, metadata=DELETED), PLAIN, pods.GOES),
    ("local data", pod("p", spec=EMPTY_DIR), PLAIN, pods.BLOCKED),
    ("local data that may go", pod("p", spec=EMPTY_DIR), Wanted(delete_emptydir_data=True), pods.GOES),
    ("local data, by force alone", pod("p", None, spec=EMPTY_DIR), Wanted(force=True, delete_emptydir_data=False), pods.BLOCKED),
    ("daemon", pod("p", "DaemonSet"), PLAIN, pods.STAYS),
    ("daemon, not ignored", pod("p", "DaemonSet"), Wanted(ignore_daemonsets=False), pods.BLOCKED),
    ("another product's DaemonSet", pod("p", metadata=KRUISE), PLAIN, pods.GOES),
    ("operand", pod("p", "DaemonSet", spec=PLUGIN), Wanted(ignore_daemonsets=False), pods.OPERAND),
    ("driver container", pod("p", "DaemonSet", spec=DRIVER), PLAIN, pods.STAYS),
    ("no GPU, all", pod("p"), Wanted(mode="all"), pods.GOES),
    ("no GPU, only GPU pods", pod("p"), Wanted(mode="gpu_pods"), pods.STAYS),
    ("no GPU and naked, only GPU pods", pod("p", None), Wanted(mode="gpu_pods"), pods.STAYS),
    ("GPU, only GPU pods", pod("p", spec=GPU), Wanted(mode="gpu_pods"), pods.GOES),
    ("GPU and naked, only GPU pods", pod("p", None, spec=GPU), Wanted(mode="gpu_pods"), pods.BLOCKED),
    ("operand, only GPU pods", pod("p", "DaemonSet", spec=PLUGIN), Wanted(mode="gpu_pods"), pods.OPERAND),
]  # fmt: skip


@pytest.mark.parametrize(("found", "wanted", "fate"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_fate(found: dict[str, Any], wanted: Wanted, fate: str) -> None:
    assert pods.decide(found, wanted).fate == fate


@pytest.mark.parametrize(("force", "fate"), [(False, pods.BLOCKED), (True, pods.GOES)])
def test_a_pod_whose_daemonset_is_gone(force: bool, fate: str) -> None:
    assert pods.decide(pod("p", "DaemonSet"), Wanted(force=force), {"default/p-owner"}).fate == fate


@pytest.mark.parametrize(
    ("spec", "uses"),
    [
        pytest.param({}, False, id="none"),
        pytest.param(GPU, True, id="gpu"),
        pytest.param(MIG, True, id="mig-in-an-init-container"),
        pytest.param({"resourceClaims": [{"name": "gpu"}]}, True, id="claim"),
        pytest.param({"runtimeClassName": "nvidia"}, True, id="runtime"),
        pytest.param(
            {"containers": [{"env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"}]}]}, True, id="variable"
        ),
        pytest.param(
            {"containers": [{"env": [{"name": "NVIDIA_VISIBLE_DEVICES", "value": "void"}]}]}, False, id="void"
        ),
        pytest.param({"containers": [{"resources": {"limits": {"cpu": "1"}}}]}, False, id="cpu"),
    ],
)
def test_uses_gpu(spec: dict[str, Any], uses: bool) -> None:
    assert pods.uses_gpu(pod("p", spec=spec)) is uses


def test_jobs_that_may_finish_are_neither_evicted_nor_in_the_way() -> None:
    naked = pod("p", None)
    assert pods.decide(naked, PLAIN, finishing={"uid-p"}).fate == pods.FINISHES
    assert pods.decide(pod("q", None), PLAIN, finishing={"uid-p"}).fate == pods.BLOCKED


@given(
    owner=st.sampled_from([None, "ReplicaSet", "Job", "StatefulSet"]),
    spec=st.sampled_from([{}, GPU, EMPTY_DIR]),
    phase=st.sampled_from(["Pending", "Running", "Unknown"]),
    mode=st.sampled_from(["all", "gpu_pods"]),
)
def test_allowing_more_never_keeps_a_pod_back(owner: str | None, spec: dict[str, Any], phase: str, mode: str) -> None:
    """Whatever goes with the strict options goes with the lax ones, and with those nothing but a daemon is in the way."""
    found = pod("p", owner, spec=spec, status={"phase": phase})
    strict = pods.decide(found, Wanted(mode, False, False, False)).fate
    lax = pods.decide(found, Wanted(mode, True, True, True)).fate
    assert lax != pods.BLOCKED
    assert lax == pods.GOES or strict == lax
