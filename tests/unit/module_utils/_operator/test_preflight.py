"""Faults and warnings, all of them at once."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any

import operator_cluster as cluster
import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._operator import plan as operator_plan
from ansible_collections.t9k.gpu.plugins.module_utils._operator import preflight as operator_preflight
from ansible_collections.t9k.gpu.plugins.module_utils._operator import rights as operator_rights
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState

NOW = datetime.datetime(2026, 1, 1, 0, 10, tzinfo=datetime.timezone.utc)
OLD = cluster.node("gpu-1", 2)
OLD["status"]["nodeInfo"]["osImage"] = "Ubuntu 20.04.6 LTS"
PENDING = cluster.release({}, status="pending-upgrade")
INSTALLED = {"t9k-gpu-operator-manifests": cluster.configmap("t9k-gpu-operator-manifests", inventory={"version": "1"})}


def faults(state: ClusterState, **wanted: Any) -> tuple[str, ...]:
    return operator_preflight.faults(state, cluster.wanted(**wanted), NOW)


def test_a_finished_cluster_has_none() -> None:
    assert faults(cluster.finished()) == ()


SHARE = {"sharing": cluster.COMMON}
TABLE: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("version", {}, {"version": "v99.1.0"}, "known are"),
    ("replicas 0", {}, {"sharing": {"a": {"mode": "time_slicing", "replicas": 0}}}, "a.replicas"),
    ("replicas text", {}, {"sharing": {"a": {"mode": "time_slicing", "replicas": "four"}}}, "found 'four'"),
    ("unknown config", {}, {**SHARE, "node_sharing": {"gpu-1": "comon"}}, "did you mean common?"),
    ("config without any", {}, {"node_sharing": {"gpu-1": "common"}}, "no sharing config named 'common'"),
    ("unknown node", {}, {**SHARE, "node_sharing": {"gpu-11": "common"}}, "no node named gpu-11 (near: gpu-1"),
    ("no chart", {}, {"chart": "/nowhere/chart.tgz"}, "no such file or folder"),
    ("two monitors", {}, {"service_monitor": {"by": "role", "namespace": "m", "interval": "1s", "labels": {}},
                          "values": {"dcgmExporter": {"serviceMonitor": {"enabled": True}}}}, "scraped twice"),
    ("monitor by", {}, {"service_monitor": {"by": "me", "namespace": "m", "interval": "1s", "labels": {}}}, "'me'"),
    ("kubernetes", {"server_version": "v1.25.0"}, {}, "Kubernetes 1.29 or later"),
    ("driver system", {"nodes": {"gpu-1": OLD}}, {"driver": "operator"}, "no longer supports"),
    ("partitions of GPUs that cannot have any", {"nodes": {"gpu-1": cluster.node("gpu-1", 2, **{"nvidia.com/mig.capable": "false"})}},
     {"node_mig": {"gpu-1": "all-1g.5gb"}}, "partitions on gpu-1"),
    ("busy", {"release": PENDING}, {}, "pending-upgrade since"),
    ("uninstalling", {"release": cluster.release({}, status="uninstalling", updated="2025-01-01T00:00:00Z")}, {},
     "is being uninstalled"),
    ("pod security", {"namespace": {"metadata": {"name": "gpu-operator", "labels": {
        "pod-security.kubernetes.io/enforce": "restricted"}}}}, {}, "pod-security.kubernetes.io/enforce=privileged --overwrite"),
    ("other mode", {}, {"mode": "manifests"}, "installed here in mode helm"),
    ("other mode", {"release": None, "configmaps": INSTALLED}, {}, "installed here in mode manifests"),
    ("denied", {"denied": ("you may not list nodes",)}, {}, "you may not list nodes"),
]  # fmt: skip


@pytest.mark.parametrize(("state", "wanted", "sentence"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_faults(state: dict[str, Any], wanted: dict[str, Any], sentence: str) -> None:
    (found,) = faults(cluster.finished(**state), **wanted)
    assert sentence in found
    assert "Next: " in found or state.get("denied")


def test_all_at_once() -> None:
    assert len(faults(cluster.finished(), version="v99.1.0", chart="/nowhere", node_sharing={"gpu-9": "x"})) == 4


def test_removal_is_not_stopped_by_wishes() -> None:
    wanted = cluster.wanted(state="absent", version="v99.1.0", chart="/nowhere")
    assert operator_preflight.faults(cluster.finished(), wanted, NOW) == ()


@pytest.mark.parametrize(("updated", "expected"), [
    ("2026-01-01T00:09:00.123456789Z", False), ("2025-12-31T23:00:00Z", True),
    ("2025-12-31T23:00:00.5+00:00", True), ("nonsense", True),
])  # fmt: skip
def test_stuck(updated: str, expected: bool) -> None:
    assert operator_preflight.stuck(replace(PENDING, updated=updated), 900, NOW) is expected


STALE = cluster.node("gpu-1", 2, **{"nvidia.com/gpu.deploy.driver": "pre-installed"})
WARNINGS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"version": "v22.9.2"}, "documented for Kubernetes 1.21 to 1.26"),
    (
        {"nodes": {}},  # whatever systems that series has left behind
        {"version": "v99.1.0", "version_unchecked": True},
        f"v99.1.0 is not known here; it is treated as one of v{cluster.NEWEST}.x",
    ),
    ({"nodes": {"gpu-1": OLD}}, {}, "gpu-1 run Ubuntu 20.04.6 LTS"),
    ({"nodes": {"gpu-1": STALE}}, {}, "harmless with host drivers"),
    ({"nodes": {"gpu-1": STALE}}, {"driver": "operator"}, "will not run there"),
    ({}, {"nodes": ["gpu-1", "elsewhere"]}, "not in the cluster, left alone: elsewhere"),
    ({}, {"queue": {"name": "q"}}, "the cluster has no CRD queues.scheduler.tensorstack.dev"),
    ({"policies": (cluster.policy(), cluster.policy())}, {}, "2 ClusterPolicies"),
]


@pytest.mark.parametrize(("state", "wanted", "sentence"), WARNINGS)
def test_warnings(state: dict[str, Any], wanted: dict[str, Any], sentence: str) -> None:
    (found,) = operator_preflight.warnings(cluster.finished(**state), cluster.wanted(**wanted))
    assert sentence in found


def test_no_warning_on_a_finished_cluster() -> None:
    assert operator_preflight.warnings(cluster.finished(), cluster.wanted()) == ()


class Asked:
    """Answers access reviews: everything but the verbs in ``refused``."""

    server = "https://api"

    def __init__(self, *refused: str) -> None:
        self.refused, self.count = refused, 0

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.count += 1
        verb = body["spec"]["resourceAttributes"]["verb"]
        return {"status": {"allowed": verb not in self.refused}}


def test_rights_are_asked_only_for_what_is_planned() -> None:
    api: Any = Asked()
    assert operator_rights.missing_rights(api, (), "gpu-operator") == ()
    assert api.count == 0


def test_missing_rights_are_named_together() -> None:
    api: Any = Asked("create")
    steps = operator_plan.plan(ClusterState(), cluster.wanted())
    (found,) = operator_rights.missing_rights(api, steps, "gpu-operator")
    assert "create namespaces" in found and "create clusterpolicies.nvidia.com" in found


MONITOR = {"by": "role", "namespace": "m", "interval": "30s", "labels": {}}
MONITOR_PATH = "/apis/monitoring.coreos.com/v1/namespaces/m/servicemonitors/nvidia-dcgm-exporter"
THEIRS = {"metadata": {"name": "nvidia-dcgm-exporter", "namespace": "m", "labels": {}}}
OURS = {
    "metadata": {
        "name": "nvidia-dcgm-exporter",
        "namespace": "m",
        "labels": {"app.kubernetes.io/managed-by": "t9k.gpu"},
    }
}
RECORDED = {"objects": [{"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "namespace": "m",
                         "name": "nvidia-dcgm-exporter"}]}  # fmt: skip


@pytest.mark.parametrize(("present", "record", "adopt", "refused"), [
    (THEIRS, {}, False, True), (THEIRS, {}, True, False), (THEIRS, RECORDED, False, False), (OURS, {}, False, False),
    (None, {}, False, False),
])  # fmt: skip
def test_a_service_monitor_of_another_hand_is_not_written_over(
    present: Any, record: Any, adopt: bool, refused: bool
) -> None:
    configmaps = {"t9k-gpu-operator": cluster.configmap("t9k-gpu-operator", record=record)}
    state = cluster.finished(objects={MONITOR_PATH: present}, configmaps=configmaps)
    found = faults(state, service_monitor=MONITOR, adopt=adopt)
    assert any("to make ServiceMonitor m/nvidia-dcgm-exporter" in each for each in found) is refused
