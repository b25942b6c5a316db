"""What each step takes from those who use the GPUs, and what needs consent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import operator_cluster as cluster
import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._operator import disturbance
from ansible_collections.t9k.gpu.plugins.module_utils._operator import plan as operator_plan
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import configmap as sharing_configmap
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import documents as sharing_documents

DRIVER = "nvidia-driver-daemonset"
SHARE = "nvidia.com/device-plugin.config"
MPS = {"common": {"mode": "mps", "replicas": 4}}


def with_driver_containers(pods: int = 2, **release: Any) -> ClusterState:
    """The operator brings the drivers, and is as the variables say."""
    values = dict(cluster.wanted(driver="operator").values)
    state = cluster.finished(
        release=cluster.release(values, **release), policies=(cluster.policy(driver={"enabled": True}),)
    )
    return replace(state, daemonsets={**state.daemonsets, DRIVER: cluster.daemonset(DRIVER, pods)})


OLDER = {"chart_version": "v25.10.1"}
OFF = {"driver": {"upgradePolicy": {"autoUpgrade": False}}}
RELEASE: list[tuple[str, ClusterState, dict[str, Any], str, bool]] = [
    ("first installation", ClusterState(), {}, "", False),
    ("host drivers, another chart", cluster.finished(release=cluster.release({}, **OLDER)), {}, "keep their GPUs", False),
    ("driver containers, another chart", with_driver_containers(**OLDER), {"driver": "operator"},
     "exchanged node by node (driver.upgradePolicy.autoUpgrade): GPU pods on gpu-1, gpu-2 are evicted", True),
    ("the same, without autoUpgrade", with_driver_containers(**OLDER), {"driver": "operator", "values": OFF},
     "only where somebody deletes their pods", False),
    ("driver containers, other values of others", with_driver_containers(),
     {"driver": "operator", "values": {"toolkit": {"enabled": False}}}, "keep their GPUs", False),
    ("driver containers, another driver", with_driver_containers(),
     {"driver": "operator", "values": {"driver": {"version": "580.1"}}}, "are evicted", True),
    ("host drivers over driver containers", with_driver_containers(), {},
     "the driver containers go, and the driver with them: GPU pods on gpu-1, gpu-2 lose their GPUs", True),
    ("driver containers that ran nowhere", with_driver_containers(pods=0), {}, "keep their GPUs", False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "wanted", "sentence", "interrupts"), [row[1:] for row in RELEASE], ids=[row[0] for row in RELEASE]
)
def test_release(state: ClusterState, wanted: dict[str, Any], sentence: str, interrupts: bool) -> None:
    asked = cluster.wanted(**wanted)
    (step,) = [each for each in operator_plan.plan(state, asked) if each.name == "release"]
    assert sentence in step.disturbs and bool(step.disturbs) is bool(sentence)
    assert len(list(disturbance.consent_faults([step], asked))) == interrupts
    assert list(disturbance.consent_faults([step], cluster.wanted(**wanted, interrupt=True))) == []


def labelled(**labels: str) -> ClusterState:
    state = cluster.finished()
    return replace(state, nodes={**state.nodes, "gpu-1": cluster.node("gpu-1", 2, **labels)})


LABELS: list[tuple[str, ClusterState, dict[str, Any], str, bool]] = [
    ("time-slicing", cluster.finished(), {"sharing": cluster.COMMON, "node_sharing": {"gpu-1": "common"}},
     "the device plugin's pods restart", False),
    ("to MPS", cluster.finished(), {"sharing": MPS, "node_sharing": {"gpu-1": "common"}},
     "clients of the MPS control daemon on gpu-1 end", True),
    ("MIG", cluster.finished(), {"node_mig": {"gpu-1": "all-1g.5gb"}}, "GPUs of gpu-1 are partitioned anew", False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("state", "wanted", "sentence", "interrupts"), [row[1:] for row in LABELS], ids=[row[0] for row in LABELS]
)
def test_labels(state: ClusterState, wanted: dict[str, Any], sentence: str, interrupts: bool) -> None:
    (step,) = [each for each in operator_plan.plan(state, cluster.wanted(**wanted)) if each.name == "labels"]
    assert sentence in step.disturbs
    assert bool(step.data.get("interrupts")) is interrupts


@pytest.mark.parametrize(("mode", "interrupts"), [("mps", True), ("time_slicing", False)])
def test_a_changed_sharing_config(mode: str, interrupts: bool) -> None:
    before, after = ({"common": {"mode": mode, "replicas": count}} for count in (4, 8))
    data = sharing_configmap.data(sharing_documents.documents(before), {})
    made = {"metadata": {"name": "time-slicing-config", "labels": dict(sharing_configmap.MANAGED_BY)}, "data": data}
    state = labelled(**{SHARE: "common"})
    state = replace(state, configmaps={**state.configmaps, "time-slicing-config": made})
    wanted = cluster.wanted(sharing=after, node_sharing={"gpu-1": "common"})
    (step,) = [each for each in operator_plan.plan(state, wanted) if each.name == "sharing"]
    assert bool(step.data.get("interrupts")) is interrupts
    assert ("on gpu-1 end" in step.disturbs) is interrupts


HELD = ("work/a", "work/b")
PARTITIONS: list[tuple[str, dict[str, tuple[str, ...]], list[str], str]] = [
    ("idle", {"gpu-1": ()}, ["labels"], "GPUs of gpu-1, gpu-2 are partitioned anew; no pod may hold one"),
    (
        "one is held",
        {"gpu-1": HELD},
        ["labels", "partition"],
        "GPUs of gpu-2 are partitioned anew; no pod may hold one",
    ),
    ("both are held", {"gpu-1": HELD, "gpu-2": ("work/c",)}, ["partition"], "gpu-1 (work/a, work/b), gpu-2 (work/c)"),
]


@pytest.mark.parametrize(
    ("holders", "names", "told"), [row[1:] for row in PARTITIONS], ids=[row[0] for row in PARTITIONS]
)
def test_only_nodes_whose_gpus_pods_hold_are_emptied(
    holders: dict[str, tuple[str, ...]], names: list[str], told: str
) -> None:
    wanted = cluster.wanted(node_mig={"gpu-1": "all-1g.5gb", "gpu-2": "all-1g.5gb"})
    steps = [
        each
        for each in operator_plan.plan(replace(cluster.finished(), holders=holders), wanted)
        if "record" not in each.name
    ]
    assert [step.name for step in steps] == names
    assert told in steps[0].disturbs
    assert [bool(step.data.get("interrupts")) for step in steps] == [name == "partition" for name in names]


def test_a_node_that_is_out_of_order_is_not_waited_for_in_the_middle() -> None:
    """No pod would end there, and no MIG manager answer."""
    away = cluster.node("gpu-1", 2)
    away["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
    state = cluster.finished(holders={"gpu-1": HELD, "gpu-2": HELD})
    state = replace(state, nodes={**state.nodes, "gpu-1": away})
    wanted = cluster.wanted(node_mig={"gpu-1": "all-1g.5gb", "gpu-2": "all-1g.5gb"})
    steps = {step.name: step for step in operator_plan.plan(state, wanted)}
    assert (list(steps["labels"].data["nodes"]), list(steps["partition"].data["nodes"])) == (["gpu-1"], ["gpu-2"])
