"""What the role leaves behind, seen through the API alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config

#: docs/gpu-operator.md names this number.
MOST_REQUESTS = 12
FOLDER = os.environ["T9K_GPU_CACHE"] + "/labs/molecule-gpu-operator"


def audit() -> list[dict[str, Any]]:
    """What the administrator's account asked for so far, before these tests ask for anything."""
    events = [json.loads(line) for line in (Path(FOLDER) / "audit.log").read_text().splitlines()]
    done = [event for event in events if event["stage"] == "ResponseComplete"]
    return [event for event in done if event["user"]["username"] == "lab-admin"]


AUDIT = audit()


@pytest.fixture(scope="module")
def api() -> client.ApiClient:
    return config.new_client_from_config(f"{FOLDER}/kubeconfig")


@pytest.fixture(scope="module")
def nodes(api: client.ApiClient) -> dict[str, Any]:
    return {node.metadata.name: node for node in client.CoreV1Api(api).list_node().items}


def test_an_operator_of_another_release_is_left_alone() -> None:
    """From the run's first request to the one that marks its end."""
    first = next(i for i, event in enumerate(AUDIT) if event["userAgent"] == "t9k.gpu")
    last = next(i for i, event in enumerate(AUDIT) if "foreign-run-over" in event["requestURI"])
    assert len(AUDIT[first:last]) > 5
    assert {event["verb"] for event in AUDIT[first:last]} <= {"get", "list"}


def test_an_operator_applied_by_hand_is_taken_over(api: client.ApiClient) -> None:
    """That its pod was not restarted is looked at in side_effect.yml, before anything else changes."""
    (policy,) = client.CustomObjectsApi(api).list_cluster_custom_object("nvidia.com", "v1", "clusterpolicies")["items"]
    assert policy["metadata"]["annotations"]["meta.helm.sh/release-name"] == "release-name"
    secrets = client.CoreV1Api(api).list_namespaced_secret(
        "gpu-operator", label_selector="owner=helm,name=release-name"
    )
    assert len(secrets.items) == 2  # taken over, then given new values


def test_shared_node(nodes: dict[str, Any]) -> None:
    assert nodes["gpu-h200"].metadata.labels["nvidia.com/device-plugin.config"] == "common"
    assert nodes["gpu-h200"].status.allocatable["nvidia.com/gpu.shared"] == "4"


def test_whole_gpus(nodes: dict[str, Any]) -> None:
    assert nodes["gpu-a40"].status.allocatable["nvidia.com/gpu"] == "7"


def test_opted_out_node(nodes: dict[str, Any]) -> None:
    assert nodes["gpu-a100"].metadata.labels["nvidia.com/gpu.deploy.operands"] == "false"
    assert nodes["gpu-a100"].status.allocatable.get("nvidia.com/gpu", "0") == "0"


def test_policy(api: client.ApiClient) -> None:
    (policy,) = client.CustomObjectsApi(api).list_cluster_custom_object("nvidia.com", "v1", "clusterpolicies")["items"]
    assert policy["status"]["state"] == "ready"
    assert policy["spec"]["driver"]["enabled"] is False
    assert policy["spec"]["devicePlugin"]["config"]["name"] == "time-slicing-config"


def test_one_service_monitor(api: client.ApiClient) -> None:
    (monitor,) = client.CustomObjectsApi(api).list_cluster_custom_object(
        "monitoring.coreos.com", "v1", "servicemonitors"
    )["items"]
    assert monitor["metadata"]["namespace"] == "t9k-monitoring"
    assert monitor["spec"]["endpoints"] == [{"port": "gpu-metrics", "interval": "30s"}]


def test_queue(api: client.ApiClient) -> None:
    queue = client.CustomObjectsApi(api).get_namespaced_custom_object(
        "scheduler.tensorstack.dev", "v1beta1", "t9k-system", "queues", "shared-gpu"
    )
    assert queue["spec"]["quota"]["requests"]["nvidia.com/gpu.shared"] == "12"


def test_a_run_without_a_change_only_reads_and_asks_little() -> None:
    """The idempotence run was the last; it begins with the request for the server's version."""
    last: list[dict[str, Any]] = []
    for event in AUDIT:
        last = [event] if event["requestURI"] == "/version" else [*last, event]
    assert {event["verb"] for event in last} <= {"get", "list"}
    assert {event["userAgent"] for event in last} == {"t9k.gpu"}
    assert len(last) <= MOST_REQUESTS, [event["requestURI"] for event in last]
