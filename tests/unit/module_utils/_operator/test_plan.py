"""(state, wanted) → steps, as tables; and the theorem that what the steps write leaves no step."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import operator_cluster as cluster
import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import MANAGED_BY
from ansible_collections.t9k.gpu.plugins.module_utils._operator import plan as operator_plan
from ansible_collections.t9k.gpu.plugins.module_utils._operator.owned import record_of
from ansible_collections.t9k.gpu.plugins.module_utils._operator.release import release_reason
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import configmap as sharing_configmap
from ansible_collections.t9k.gpu.plugins.module_utils._sharing import documents as sharing_documents

SHARE = "nvidia.com/device-plugin.config"
SHARED = {"sharing": cluster.COMMON, "nodes": ["cpu-1", "gpu-1", "gpu-2"], "node_sharing": {"gpu-1": "common"}}
EMPTY = ClusterState(server_version="v1.36.2", nodes={"gpu-1": cluster.node("gpu-1", 2)})


def names(here: ClusterState, **wanted: Any) -> list[str]:
    return [step.name for step in operator_plan.plan(here, cluster.wanted(**wanted))]


def shared_map(**configs: Any) -> dict[str, Any]:
    data = sharing_configmap.data(sharing_documents.documents(configs or cluster.COMMON), {})
    return {"metadata": {"name": "time-slicing-config", "labels": dict(MANAGED_BY)}, "data": data}


def shared_state() -> ClusterState:
    """Finished, and gpu-1 shares its GPUs."""
    wanted = cluster.wanted(**SHARED)
    state = cluster.finished()
    record = {"labels": {"gpu-1": {SHARE: "common"}}, "objects": []}
    node = cluster.node("gpu-1", 2, {"nvidia.com/gpu": "0", "nvidia.com/gpu.shared": "8"}, **{SHARE: "common"})
    return replace(
        state,
        nodes={**state.nodes, "gpu-1": node},
        release=cluster.release(dict(wanted.values)),
        configmaps={
            "time-slicing-config": shared_map(),
            "t9k-gpu-operator": cluster.configmap("t9k-gpu-operator", record=record),
        },
    )


def test_fresh_cluster() -> None:
    assert names(EMPTY) == ["chart", "namespace", "record", "crds", "release"]


def test_fresh_cluster_with_everything() -> None:
    found = names(EMPTY, **{**SHARED, "nodes": ["gpu-1"]}, pull_secrets=["pull"], own_pull_secrets=["pull"])
    assert found == ["chart", "namespace", "record", "pull_secrets", "sharing", "crds", "release", "labels"]


def test_finished_cluster_needs_nothing_and_waits_for_nothing() -> None:
    assert names(cluster.finished()) == []
    assert operator_plan.judgement(cluster.finished(), cluster.wanted()).waiting == ()
    assert names(shared_state(), **SHARED) == []
    assert operator_plan.judgement(shared_state(), cluster.wanted(**SHARED)).waiting == ()


REASONS = [
    ({"chart_version": "v25.10.1"}, "chart v25.10.1 → v26.7.0"),
    ({"status": "failed"}, "revision 1 is failed"),
    ({"status": "pending-upgrade"}, "revision 1 is pending-upgrade"),
    ({"values": {}}, "values differ: dcgmExporter.serviceMonitor.enabled, devicePlugin.config.name, driver.enabled, "
                     "operator.upgradeCRD"),
]  # fmt: skip


@pytest.mark.parametrize(("changed", "reason"), REASONS)
def test_release_reasons(changed: dict[str, Any], reason: str) -> None:
    values = dict(cluster.wanted().values)
    state = cluster.finished(release=cluster.release(**{"values": values, **changed}))
    assert release_reason(state, cluster.wanted()) == reason
    assert names(state) == ["chart", "release"]


def test_a_value_that_is_no_longer_wanted_is_a_difference() -> None:
    values = {**cluster.wanted().values, "toolkit": {"enabled": False}}
    assert release_reason(cluster.finished(release=cluster.release(values)), cluster.wanted()) == (
        "values differ: toolkit.enabled (removed)"
    )


OLD_CRDS = [
    ({}, "clusterpolicies.nvidia.com is missing"),
    ({"c": cluster.crd("25.10.1")}, "clusterpolicies.nvidia.com is of 25.10.1; old CRDs drop new fields silently"),
    ({"c": {"metadata": {"name": "clusterpolicies.nvidia.com"}}},
     "clusterpolicies.nvidia.com is of an unknown version; old CRDs drop new fields silently"),
    ({"c": cluster.crd(count=6)}, "1 of 6 CRDs are applied"),
]  # fmt: skip


def test_crds_of_a_later_chart_stay() -> None:
    state = cluster.finished(crds={"clusterpolicies.nvidia.com": cluster.crd("27.1.0", count=9)})
    assert names(state) == []


def test_crds_are_applied_again_once_node_feature_discovery_comes_with_the_chart() -> None:
    without = {"values": {"nfd": {"enabled": False}}}
    state = cluster.finished(crds={"clusterpolicies.nvidia.com": cluster.crd("26.7.0-no-nfd")})
    assert "crds" not in names(state, **without)
    assert "crds" in names(state)


@pytest.mark.parametrize(("crds", "reason"), OLD_CRDS)
def test_crds_are_upgraded_before_the_chart(crds: dict[str, Any], reason: str) -> None:
    state = cluster.finished(crds={crd["metadata"]["name"]: crd for crd in crds.values()})
    steps = operator_plan.plan(state, cluster.wanted())
    assert [(step.name, step.reason) for step in steps if step.name == "crds"] == [("crds", reason)]


def test_crds_that_0_1_0_applied_are_known() -> None:
    notes = {"t9k.gpu/chart-version": "26.7.0", "t9k.gpu/chart-crds": "1"}
    crd = {"metadata": {"name": "clusterpolicies.nvidia.com", "annotations": notes}}
    state = cluster.finished(crds={"clusterpolicies.nvidia.com": crd})
    assert names(state) == []
    removed = operator_plan.plan(state, cluster.wanted(state="absent", crds_remove=True))
    assert [step.name for step in removed][-1] == "crds_remove"


def test_a_patch_by_hand_is_undone_by_exactly_its_fields() -> None:
    hand = cluster.policy(driver={"enabled": True}, extra={"stays": True})
    (step,) = operator_plan.plan(cluster.finished(policies=(hand,)), cluster.wanted())
    assert step.name == "policy"
    assert step.data["patch"][0]["spec"] == {"driver": {"enabled": False}}
    assert "driver.enabled" in step.reason


def test_changed_config_restarts_its_readers_and_nothing_else() -> None:
    wanted = {**SHARED, "sharing": {"common": {"mode": "time_slicing", "replicas": 8}}}
    (step,) = operator_plan.plan(shared_state(), cluster.wanted(**wanted))
    assert (step.name, step.reason) == ("sharing", "changed: common")
    assert "device plugin's pods on gpu-1 restart" in step.disturbs


def test_labels_go_before_the_configs_they_no_longer_name() -> None:
    gone = {**SHARED, "sharing": {}, "node_sharing": {}}
    steps = operator_plan.plan(shared_state(), cluster.wanted(**gone))
    assert [step.name for step in steps] == ["chart", "labels", "release", "sharing_remove", "record_final"]
    assert steps[1].data["nodes"] == {"gpu-1": {SHARE: None}}


def test_a_new_config_comes_before_the_label_that_names_it() -> None:
    more = {"sharing": {**cluster.COMMON, "more": {"mode": "time_slicing", "replicas": 9}}}
    found = names(shared_state(), **{**SHARED, **more, "node_sharing": {"gpu-1": "common", "gpu-2": "more"}})
    assert found.index("sharing") < found.index("labels")


def test_only_labels_that_were_set_here_are_taken_away() -> None:
    by_hand = cluster.node("gpu-2", 1, **{SHARE: "by-hand", "nvidia.com/gpu.deploy.operands": "false"})
    state = shared_state()
    state = replace(state, nodes={**state.nodes, "gpu-2": by_hand})
    assert names(state, **SHARED) == []


def test_limit_leaves_other_nodes_alone() -> None:
    limited = {**SHARED, "nodes": ["gpu-2"], "node_sharing": {"gpu-2": "common"}}
    state = shared_state()
    (step,) = [s for s in operator_plan.plan(state, cluster.wanted(**limited)) if s.name == "labels"]
    assert set(step.data["nodes"]) == {"gpu-2"}
    assert set(record_of(state, cluster.wanted(**limited), with_old=False)["labels"]) == {"gpu-1", "gpu-2"}


def test_a_partition_that_nobody_wishes_any_more_is_switched_off() -> None:
    record = cluster.configmap("t9k-gpu-operator", record={"labels": {"gpu-1": {"nvidia.com/mig.config": "all-1g.5gb"}},
                                                          "objects": []})  # fmt: skip
    state = cluster.finished(configmaps={"t9k-gpu-operator": record})
    state = replace(
        state, nodes={**state.nodes, "gpu-1": cluster.node("gpu-1", 2, **{"nvidia.com/mig.config": "all-1g.5gb"})}
    )
    (labels, _forget) = operator_plan.plan(state, cluster.wanted(nodes=["gpu-1"]))
    assert labels.data["nodes"] == {"gpu-1": {"nvidia.com/mig.config": "all-disabled"}}


def test_a_new_partition_takes_the_word_on_the_former_one_with_it() -> None:
    """The MIG manager sets "pending" only after a while: until then the "success" of before would pass for its answer."""
    done = {"nvidia.com/mig.config": "all-1g.5gb", "nvidia.com/mig.config.state": "success"}
    state = cluster.finished()
    state = replace(state, nodes={**state.nodes, "gpu-1": cluster.node("gpu-1", 2, **done)})
    (labels,) = [
        s for s in operator_plan.plan(state, cluster.wanted(node_mig={"gpu-1": "all-2g.10gb"})) if s.name == "labels"
    ]
    assert labels.data["nodes"] == {
        "gpu-1": {"nvidia.com/mig.config": "all-2g.10gb", "nvidia.com/mig.config.state": None}
    }


RENDERED = frozenset({("ClusterPolicy", "cluster-policy"), ("Deployment", "gpu-operator"),
                      ("DaemonSet", "gpu-operator-node-feature-discovery-worker")})  # fmt: skip
DELETED: list[tuple[dict[str, Any], str]] = [
    ({"policies": ()}, "deleted by another hand: ClusterPolicy cluster-policy"),
    ({"deployments": {}}, "deleted by another hand: Deployment gpu-operator"),
    ({"daemonsets": {}}, "deleted by another hand: DaemonSet gpu-operator-node-feature-discovery-worker"),
    ({}, ""),
]


@pytest.mark.parametrize(("gone", "reason"), DELETED)
def test_what_another_hand_deleted_is_made_anew(gone: dict[str, Any], reason: str) -> None:
    values = dict(cluster.wanted().values)
    state = cluster.finished(release=cluster.release(values, rendered=RENDERED), **gone)
    assert release_reason(state, cluster.wanted()) == reason
    assert names(state) == (["chart", "release"] if reason else [])


def test_what_another_hand_deleted_is_applied_anew_in_manifests_mode() -> None:
    wanted = cluster.wanted(mode="manifests")
    objects = [{"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "gpu-operator", "name": "gpu-operator"},
               {"apiVersion": "v1", "kind": "Service", "namespace": "gpu-operator", "name": "not watched"}]  # fmt: skip
    inventory = {"version": "26.7.0", "digest": "", "values": dict(wanted.values), "objects": objects, "complete": True}
    found = cluster.configmap("t9k-gpu-operator-manifests", inventory=inventory)
    state = cluster.finished(release=None)
    state = replace(state, configmaps={**state.configmaps, "t9k-gpu-operator-manifests": found})
    assert names(state, mode="manifests") == []
    assert names(replace(state, deployments={}), mode="manifests") == ["chart", "manifests"]


MONITOR = {"service_monitor": {"by": "role", "namespace": "monitoring", "interval": "30s", "labels": {"a": "b"}}}
MONITOR_PATH = "/apis/monitoring.coreos.com/v1/namespaces/monitoring/servicemonitors/nvidia-dcgm-exporter"


def test_service_monitor_only_where_its_crd_is() -> None:
    state = cluster.finished()
    assert names(state, **MONITOR) == []
    crds = {**state.crds, "servicemonitors.monitoring.coreos.com": {"metadata": {"name": "x"}}}
    steps = operator_plan.plan(replace(state, crds=crds), cluster.wanted(**MONITOR))
    assert [step.name for step in steps] == ["record", "objects"]
    made = steps[1].data["apply"][0]
    record = json.loads(steps[0].data["apply"][0]["data"]["record"])
    after = replace(
        state,
        crds=crds,
        objects={MONITOR_PATH: made},
        configmaps={"t9k-gpu-operator": cluster.configmap("t9k-gpu-operator", record=record)},
    )
    assert names(after, **MONITOR) == []
    assert [step.name for step in operator_plan.plan(after, cluster.wanted())] == ["objects_remove", "record_final"]


def test_an_object_of_a_kind_without_namespaces_has_none() -> None:
    item = {"apiVersion": "kueue.x-k8s.io/v1", "kind": "ClusterQueue", "metadata": {"name": "gpus"}, "spec": {"a": 1}}
    crds = {**cluster.finished().crds, "clusterqueues.kueue.x-k8s.io": {"metadata": {"name": "x"}}}
    wanted = cluster.wanted(manifests=[item])
    assert wanted.ref(item).path == "/apis/kueue.x-k8s.io/v1/namespaces/gpu-operator/clusterqueues/gpus"
    wanted = replace(wanted, cluster_kinds=frozenset({("kueue.x-k8s.io/v1", "ClusterQueue")}))
    path = "/apis/kueue.x-k8s.io/v1/clusterqueues/gpus"
    assert wanted.ref(item).path == path
    state = cluster.finished(crds=crds, objects={path: item})
    assert [step.name for step in operator_plan.plan(state, wanted)] == ["record"]  # it is there: only to be remembered


def test_the_content_of_a_secret_is_in_no_diff() -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "s", "namespace": "m"},
        "stringData": {"k": "hush"},
    }
    (step,) = [
        s for s in operator_plan.plan(cluster.finished(), cluster.wanted(manifests=[secret])) if s.name == "objects"
    ]
    assert "hush" not in json.dumps(step.data["after"]) and "stringData.k" in json.dumps(step.data["after"])


def test_manifests_mode() -> None:
    wanted = cluster.wanted(mode="manifests")
    assert [step.name for step in operator_plan.plan(EMPTY, wanted)][-1] == "manifests"
    inventory = {
        "version": "26.7.0",
        "digest": "",
        "values": dict(wanted.values),
        "objects": [],
        "policy": cluster.policy(),
    }
    for complete, expected in ((True, []), (False, ["chart", "manifests"])):
        found = cluster.configmap("t9k-gpu-operator-manifests", inventory={**inventory, "complete": complete})
        state = cluster.finished(release=None)
        state = replace(state, configmaps={**state.configmaps, "t9k-gpu-operator-manifests": found})
        assert names(state, mode="manifests") == expected


def test_removal_waits_for_the_mig_manager() -> None:
    record = {"labels": {"gpu-1": {"nvidia.com/mig.config": "all-1g.5gb"}}, "objects": []}
    state = cluster.finished(configmaps={"t9k-gpu-operator": cluster.configmap("t9k-gpu-operator", record=record)})
    manager = {"nvidia-mig-manager": cluster.daemonset("nvidia-mig-manager", 1)}
    state = replace(state, daemonsets={**state.daemonsets, **manager})
    done = {"nvidia.com/mig.config": "all-disabled", "nvidia.com/mig.config.state": "success"}
    for labels, expected in (({**done, "nvidia.com/mig.config": "all-1g.5gb"}, ["labels", "mig", "release_remove", "leftovers"]),
                             ({**done, "nvidia.com/mig.config.state": "pending"}, ["mig", "release_remove", "leftovers"]),
                             (done, ["release_remove", "leftovers"])):  # fmt: skip
        there = replace(state, nodes={**state.nodes, "gpu-1": cluster.node("gpu-1", 2, **labels)})
        assert names(there, state="absent") == expected


def test_remove() -> None:
    found = operator_plan.plan(shared_state(), cluster.wanted(state="absent"))
    assert [step.name for step in found] == ["labels", "release_remove", "leftovers"]
    assert [each["name"] for each in found[2].data["delete"]] == ["t9k-gpu-operator", "time-slicing-config"]
    with_crds = operator_plan.plan(shared_state(), cluster.wanted(state="absent", crds_remove=True))
    assert with_crds[-1].data["delete"][0]["name"] == "clusterpolicies.nvidia.com"
    assert operator_plan.plan(EMPTY, cluster.wanted(state="absent")) == ()


def test_steps_are_plain_data() -> None:
    for step in operator_plan.plan(EMPTY, cluster.wanted(**SHARED)):
        assert json.loads(json.dumps(step.to_dict()))["reason"]


def test_a_host_that_the_run_has_given_up_gets_no_label_and_keeps_those_it_has() -> None:
    record = {"labels": {"gpu-1": {"nvidia.com/device-plugin.config": "common"}}, "objects": []}
    labelled = cluster.node("gpu-1", 2, **{"nvidia.com/device-plugin.config": "common"})
    state = cluster.finished(configmaps={"t9k-gpu-operator": cluster.configmap("t9k-gpu-operator", record=record)})
    state = replace(state, nodes={**state.nodes, "gpu-1": labelled})
    options = {"nodes": ["gpu-1", "gpu-2"], "nodes_failed": ["gpu-1", "gpu-2"], "sharing": cluster.COMMON}
    found = cluster.wanted(**options, node_sharing={"gpu-2": "common"}, node_operands={"gpu-2": True})
    assert found.labels == {} and found.expect.failed == ("gpu-1", "gpu-2")
    assert "labels" not in [step.name for step in operator_plan.plan(state, found)]
    kept = record_of(state, found, with_old=False)
    assert kept["labels"] == record["labels"]


DRA = {"gpuCluster": {"deployCR": True}, "clusterPolicy": {"deployCR": False}}
SHAPES = [
    ({}, DRA, ""),
    ({}, {"gpuCluster": {"deployCR": True}}, "one of GPUCluster and ClusterPolicy"),
    ({"driver": "operator"}, DRA, "drivers that no NVIDIADriver asks for"),
    ({"driver": "operator"}, {**DRA, "driver": {"nvidiaDriverCRD": {"enabled": True}}}, ""),
    ({"sharing": cluster.COMMON}, DRA, "a device plugin that shares the GPUs"),
    ({"sharing": cluster.COMMON}, {"devicePlugin": {"enabled": False}}, "a device plugin that shares the GPUs"),
    ({"node_mig": {"gpu-1": "all-1g.5gb"}}, DRA, "a MIG manager for gpu_mig"),
    ({"node_mig": {"gpu-1": None}}, DRA, ""),
]


@pytest.mark.parametrize(("options", "values", "fault"), SHAPES)
def test_what_a_shape_has_not_is_refused(options: dict[str, Any], values: dict[str, Any], fault: str) -> None:
    found = cluster.wanted(**options, values=values)
    assert [fault in each for each in found.faults] == ([True] if fault else [])
    assert found.expect.gpu_cluster is ("gpuCluster" in values)


def test_the_service_monitor_looks_for_the_exporter_that_there_is() -> None:
    monitor = {"by": "role", "namespace": "m", "interval": "30s", "labels": {}}
    apps = []
    for values in ({}, DRA):
        (found,) = cluster.wanted(service_monitor=monitor, values=values).objects
        apps.append(found["spec"]["selector"]["matchLabels"]["app"])
    assert apps == ["nvidia-dcgm-exporter", "nvidia-dcgm-exporter-dra"]


def test_a_gpu_cluster_that_drifted_is_put_back_and_one_deleted_is_made_anew() -> None:
    wanted = cluster.wanted(values=DRA)
    rendered = {"kind": "GPUCluster", "metadata": {"name": "gpu-cluster"}, "spec": {"dcgm": {"enabled": True}}}
    drawn = frozenset({("GPUCluster", "gpu-cluster")})
    release = cluster.release(dict(wanted.values), policy=rendered, rendered=drawn)
    live = {"metadata": cluster.owned("gpu-cluster"), "spec": {"dcgm": {"enabled": False}}}
    state = cluster.finished(release=release, policies=(), gpu_clusters=(live,))
    (step,) = operator_plan.plan(state, wanted)
    assert step.name == "policy" and step.data["patch"][0]["apiVersion"] == "nvidia.com/v1alpha1"
    assert step.data["patch"][0]["spec"] == {"dcgm": {"enabled": True}}
    gone = operator_plan.plan(replace(state, gpu_clusters=()), wanted)
    assert gone[-1].name == "release" and "GPUCluster gpu-cluster" in gone[-1].reason


def test_the_record_of_five_thousand_long_names_fits_into_a_configmap() -> None:
    """A name of 253 characters is the longest that Kubernetes takes; the API server refuses 1 MiB."""
    names = [f"gpu-{i:04}.rack-{i % 97:02}.row-{i % 13:02}." + ".".join(["x" * 60] * 4)[:220] for i in range(5000)]
    asked = {"sharing": cluster.COMMON, "nodes": names, "node_sharing": dict.fromkeys(names, "common"),
             "node_operands": dict.fromkeys(names, False)}  # fmt: skip
    state = ClusterState(server_version="v1.36.2", nodes={name: cluster.node(name, 8) for name in names})
    wanted = cluster.wanted(**asked)
    (step,) = [each for each in operator_plan.plan(state, wanted) if each.name == "record"]
    (written,) = step.data["apply"]
    assert len(json.dumps(written)) < 1_000_000
    again = replace(state, configmaps={written["metadata"]["name"]: written})
    assert len(again.record["labels"]) == 5000
    assert "record" not in [each.name for each in operator_plan.plan(again, wanted)]
