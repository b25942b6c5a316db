"""Each finding of the cluster, injected into one that is well."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any, Callable

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._doctor import cluster_findings
from ansible_collections.t9k.gpu.plugins.module_utils._doctor.cluster import Cluster
from ansible_collections.t9k.gpu.plugins.module_utils._drain import budget, gate, mark, operands, others
from ansible_collections.t9k.gpu.plugins.module_utils._drain.holder import Holder

DEAD, ALIVE = Holder("ann", "ops", 7, 7), Holder("bob", "ops", 8, 8)
FOUR = "version: v1\nsharing:\n  timeSlicing:\n    renameByDefault: true\n    resources:\n      - {name: nvidia.com/gpu, replicas: 4}\n"
LABEL = "nvidia.com/device-plugin.config"


def node(name: str, gpus: int = 2) -> dict[str, Any]:
    resources = {"cpu": "64", "nvidia.com/gpu": str(gpus)}
    ready = [{"type": "Ready", "status": "True"}]
    return {
        "metadata": {
            "name": name,
            "labels": {"nvidia.com/gpu.present": "true"},
            "annotations": {},
            "managedFields": [],
        },
        "spec": {},
        "status": {"conditions": ready, "allocatable": resources, "capacity": dict(resources)},
    }


def monitor(name: str, app: str = "nvidia-dcgm-exporter") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "m"}, "spec": {"selector": {"matchLabels": {"app": app}}}}


WELL = Cluster(
    nodes=(node("a"), node("b"), {"metadata": {"name": "cpu"}, "spec": {"unschedulable": True}, "status": {}}),
    ledger={"metadata": {}, "data": {}},
    monitors=(monitor("one"), monitor("x", "web")),
    sharing={"four": FOUR, "broken": "sharing: {timeSlicing: {resources: []}}", "no": ": ["},
)


def codes(cluster: Cluster, gpus: dict[str, int] | None = None) -> list[tuple[str, str, str]]:
    counted = {"a": 2, "b": 2} if gpus is None else gpus
    found = cluster_findings.findings(cluster, counted, lambda holder, _until: holder == ALIVE)
    return [(name, fault.code, fault.severity) for name, fault in found]


def test_a_cluster_that_is_well() -> None:
    assert codes(WELL) == []


def changed(change: Callable[[Any], Any]) -> Cluster:
    """The cluster with another node a."""
    first = copy.deepcopy(WELL.nodes[0])
    change(first)
    return replace(WELL, nodes=(first, *WELL.nodes[1:]))


def note(key: str, text: str) -> Callable[[Any], Any]:
    return lambda node: node["metadata"]["annotations"].update({key: text})


def label(key: str, value: str) -> Callable[[Any], Any]:
    return lambda node: node["metadata"]["labels"].update({key: value})


def resources(kind: str, **found: str) -> Callable[[Any], Any]:
    names = {key.replace("_", "."): count for key, count in found.items()}
    return lambda node: node["status"][kind].update({f"nvidia.com/{key}": count for key, count in names.items()})


def both(**found: str) -> Callable[[Any], Any]:
    return together(resources("capacity", **found), resources("allocatable", **found))


def together(*changes: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda node: [change(node) for change in changes]


def held(holder: Holder) -> Callable[[Any], Any]:
    taken = note(mark.ANNOTATION, mark.Mark(holder, "a change", 0, 0).text())
    return together(taken, lambda node: node["spec"].update(unschedulable=True))


def cordoned(node: Any) -> None:
    node["spec"]["unschedulable"] = True


PLUGIN = f"{operands.DEPLOY}device-plugin"
INTO_A_NODE = [
    (held(DEAD), [("stale_cordon", "warning")]),
    (held(ALIVE), []),
    (together(held(ALIVE), both(gpu="0")), []),  # under a change nothing is offered
    (cordoned, [("foreign_cordon", "warning")]),
    (note(budget.FAILED, budget.failure("no room")), [("change_failed", "warning")]),
    (note(budget.FAILED, "damaged"), [("change_failed", "warning")]),
    (label(PLUGIN, operands.PAUSED), [("operands_paused", "error")]),
    (together(label(PLUGIN, operands.PAUSED), held(ALIVE)), []),
    (together(label(PLUGIN, operands.PAUSED), label(others.UPGRADE_STATE, "drain-required")), []),
    (label(PLUGIN, "true"), []),
    (label(others.UPGRADE_STATE, "upgrade-failed"), [("upgrade_failed", "warning")]),
    (label(others.UPGRADE_STATE, "upgrade-done"), []),
    (lambda node: node["status"].update(conditions=[]), [("node_not_ready", "error")]),
    (lambda node: node["spec"].update(taints=[{"key": gate.TAINT}]), [("node_unproven", "warning")]),
    (resources("allocatable", gpu="1"), [("gpus_unhealthy", "error")]),
    (both(gpu="1"), [("gpus_missing", "error")]),
    (both(gpu="0"), [("gpus_missing", "error")]),
    (together(label(LABEL, "four"), both(gpu="0", gpu_shared="8")), []),
    (together(label(LABEL, "four")), [("sharing_not_in_effect", "error")]),
    (together(label(LABEL, "four"), both(gpu="0", gpu_shared="4")), [("sharing_not_in_effect", "error")]),
    (together(label(LABEL, "four"), both(gpu="0")), [("gpus_missing", "error")]),
    (label(LABEL, "five"), [("sharing_not_in_effect", "error")]),
    (label(LABEL, "broken"), [("sharing_not_in_effect", "error")]),
    (label(LABEL, "no"), [("sharing_not_in_effect", "error")]),
    (together(label("nvidia.com/mig.config", "all-1g.10gb"), both(gpu="0")), []),
    (together(both(gpu="0"), resources("capacity", **{"mig-1g_10gb": "7"}), resources("allocatable", **{"mig-1g_10gb": "7"})), []),
    (together(both(gpu="0"), label("nvidia.com/gpu.present", "false")), []),  # the operator is kept off it
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), INTO_A_NODE)
def test_in_a_node(change: Callable[[Any], Any], expected: list[tuple[str, str]]) -> None:
    assert codes(changed(change)) == [("a", *each) for each in expected]


def ledger(*nodes: str, holder: Holder = DEAD, pause: str | None = None) -> Cluster:
    entry = budget.Entry(holder, 0).text()
    metadata = {"annotations": {} if pause is None else {budget.PAUSE: pause}}
    return replace(WELL, ledger={"metadata": metadata, "data": dict.fromkeys(nodes, entry)})


AROUND = [
    (ledger("b"), {"a": 2, "b": 2}, [("b", "stale_claim", "warning")]),
    (ledger("b", holder=ALIVE), {"a": 2, "b": 2}, []),
    (ledger("cpu"), {"a": 2, "b": 2}, []),  # it is away, so it counts as itself
    (ledger(pause="until Monday"), {"a": 2, "b": 2}, [("", "rollout_paused", "warning")]),
    (replace(WELL, monitors=(*WELL.monitors, monitor("two"))), {}, [("", "scraped_twice", "warning")]),
    (replace(WELL, unread=("no",)), {}, [("", "cluster_unreadable", "warning")]),
    (Cluster(unread=("no answer",)), {"a": 2}, [("", "cluster_unreadable", "warning")]),
    (WELL, {"a": 2, "c": 2, "d": 0}, [("c", "not_in_cluster", "warning")]),
    (WELL, {"a": 0, "b": 2}, [("a", "label_without_gpu", "warning")]),
    (replace(WELL, sharing={}), {"a": 2, "b": 2}, []),
    (replace(WELL, default="four"), {"a": 2}, [("a", "sharing_not_in_effect", "error")]),
]


@pytest.mark.parametrize(("cluster", "gpus", "expected"), AROUND)
def test_around_the_nodes(cluster: Cluster, gpus: dict[str, int], expected: list[tuple[str, str, str]]) -> None:
    assert codes(cluster, gpus) == expected


def test_a_label_of_a_config_nobody_may_read_is_no_fault() -> None:
    assert codes(replace(changed(label(LABEL, "five")), sharing={})) == []


def test_errors_come_first_and_lines_name_the_node() -> None:
    cluster = replace(changed(both(gpu="1")), monitors=(monitor("one"), monitor("two")))
    found = cluster_findings.findings(cluster, {"a": 2}, lambda *_args: True)
    lines = cluster_findings.table(found)
    assert [line.split("  ")[0] for line in lines] == ["a", "cluster"]
    assert lines[0].startswith(
        "a  error    gpus_missing  2 GPUs are on its PCI bus, and it offers 1 of 2 nvidia.com/gpu. Next: "
    )
    assert json.dumps([fault.to_dict() for _name, fault in found])
