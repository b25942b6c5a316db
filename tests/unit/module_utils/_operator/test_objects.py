"""Addresses of objects, the two built-in ones, and what one object lacks of another."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._operator.objects import (
    Ref,
    missing_from,
    paths_in,
    queue,
    ref_of,
    service_monitor,
)

REFS = [
    (Ref("v1", "ConfigMap", "n", "x"), None, "/api/v1/namespaces/n/configmaps/x"),
    (Ref("apps/v1", "DaemonSet", "n", "x"), None, "/apis/apps/v1/namespaces/n/daemonsets/x"),
    (Ref("networking.k8s.io/v1", "NetworkPolicy", "n", "x"), None,
     "/apis/networking.k8s.io/v1/namespaces/n/networkpolicies/x"),
    (Ref("nvidia.com/v1", "ClusterPolicy", "", "x"), "clusterpolicies.nvidia.com",
     "/apis/nvidia.com/v1/clusterpolicies/x"),
    (Ref("scheduler.tensorstack.dev/v1beta1", "Queue", "n", "x"), "queues.scheduler.tensorstack.dev",
     "/apis/scheduler.tensorstack.dev/v1beta1/namespaces/n/queues/x"),
]  # fmt: skip


@pytest.mark.parametrize(("ref", "crd", "path"), REFS)
def test_addresses(ref: Ref, crd: str | None, path: str) -> None:
    assert (ref.crd, ref.path) == (crd, path)
    assert ref_of(ref.to_dict()) == ref


MISSING: list[tuple[Any, Any, Any]] = [
    ({"a": 1}, {"a": 1, "b": 2}, None),
    ({"a": 1}, {"a": 2}, {"a": 1}),
    ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": 2}}),
    ({"a": []}, {}, None),
    ({"a": {}}, {"a": None}, None),
    ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 2, "default": 3}]}, None),
    ({"a": [1, 2]}, {"a": [1]}, {"a": [1, 2]}),
    ({"a": False}, {}, {"a": False}),
]


@pytest.mark.parametrize(("wanted", "present", "expected"), MISSING)
def test_missing_from(wanted: Any, present: Any, expected: Any) -> None:
    assert missing_from(wanted, present) == expected


def test_paths() -> None:
    assert list(paths_in({"a": {"b": 1, "c": {}}, "d": [1]})) == ["a.b", "a.c", "d"]


def test_service_monitor_is_the_guides() -> None:
    found = service_monitor(
        {"namespace": "t9k-monitoring", "interval": "30s", "labels": {"k": "v"}}, "gpu-operator", "nvidia-dcgm-exporter"
    )
    assert found["spec"] == {
        "endpoints": [{"interval": "30s", "port": "gpu-metrics"}],
        "jobLabel": "app",
        "namespaceSelector": {"matchNames": ["gpu-operator"]},
        "selector": {"matchLabels": {"app": "nvidia-dcgm-exporter"}},
    }
    assert found["metadata"]["labels"]["k"] == "v"


def test_queue_is_the_guides() -> None:
    found = queue({"quota": {"cpu": 400, "memory": "800Gi", "nvidia.com/gpu.shared": 12}})
    assert (found["metadata"]["name"], found["metadata"]["namespace"]) == ("shared-gpu", "t9k-system")
    assert found["spec"] == {
        "closed": False,
        "nodeSelector": {"matchExpressions": [{"key": "nvidia.com/device-plugin.config", "operator": "Exists"}]},
        "preemptible": False,
        "priority": 80,
        "quota": {"requests": {"cpu": "400", "memory": "800Gi", "nvidia.com/gpu.shared": "12"}},
    }
