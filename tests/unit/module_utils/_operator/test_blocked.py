"""Pods' conditions and events → sentences."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._operator.blocked import last_events, unready


def pod(name: str = "p", node: str = "gpu-1", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"nodeName": node} if node else {}, "status": status}


BACKOFF = {"name": "c", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
STARTING = {"name": "c", "state": {"waiting": {"reason": "PodInitializing"}}}
PODS = [
    (pod(conditions=[{"type": "Ready", "status": "True"}]), []),
    (pod(containerStatuses=[BACKOFF]), ["Pod p on gpu-1: container c ImagePullBackOff: no such image"]),
    (pod(containerStatuses=[STARTING], conditions=[{"type": "Ready", "status": "False", "message": "not yet"}]),
     ["Pod p on gpu-1: Ready: not yet"]),
    (pod(node="", conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}]),
     ["Pod p on no node: PodScheduled: Unschedulable"]),
    (pod(phase="Pending"), ["Pod p on gpu-1: Pending"]),
]  # fmt: skip


@pytest.mark.parametrize(("item", "sentences"), PODS)
def test_unready(item: dict[str, Any], sentences: list[str]) -> None:
    assert unready([item]) == sentences


def test_many_pods_are_counted() -> None:
    found = unready([pod(f"p{number}") for number in range(9)])
    assert len(found) == 6 and found[-1] == "and 4 more pods"


def event(when: str, reason: str, kind: str = "Warning") -> dict[str, Any]:
    about = {"kind": "Pod", "name": "p"}
    return {
        "metadata": {},
        "type": kind,
        "reason": reason,
        "message": "m",
        "lastTimestamp": when,
        "involvedObject": about,
    }


def test_last_events() -> None:
    events = [event("3", "C"), event("1", "A"), event("4", "A"), event("5", "Fine", "Normal")]
    assert last_events(events) == ["3 Pod p: C: m", "4 Pod p: A: m"]
