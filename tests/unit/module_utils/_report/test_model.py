"""The report as data: summary, rows, and what changed since an older one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._report import model as report_model
from ansible_collections.t9k.gpu.plugins.module_utils._report.model import build, history, said

NODE: dict[str, Any] = {
    "name": "gpu01",
    "os": "Ubuntu 24.04",
    "kernel": "6.8.0-60-generic",
    "driver": {
        "loaded_version": "580.1",
        "kernel_modules": "open",
        "held_packages": ["a", "b"],
        "reboot_pending": False,
    },
    "gpus": [{"index": 0, "product_name": "NVIDIA H200", "uuid": "GPU-1", "gsp_enabled": True}],
    "cluster": {"allocatable": {"nvidia.com/gpu": "1"}, "sharing": "exclusive", "labels": {"b": "2", "a": 1}},
    "p2p": {"verdict": "ok", "reasons": [], "matrices": {"x": [[1.0]]}},
}


def model(*nodes: dict[str, Any], previous: Any = None, at: str = "now") -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(build(nodes, "T", at, previous)))
    return made


def test_a_node_with_everything() -> None:
    (row,) = model(NODE)["nodes"]
    assert row["state"] == "ok" and row["gsp_enabled"] is True and row["persistence_enabled"] is None
    assert row["labels"] == {"a": "1", "b": "2"} and row["p2p_verdict"] == "ok"
    assert row["gpus"][0]["model"] == "H200" and row["gpus"][0]["problems"] == []
    assert row["gpus"][0]["compute"] is None


@pytest.mark.parametrize("uuid", ["GPU-1", "GPU-2", None])
def test_a_gpu_has_its_own_check(uuid: str | None) -> None:
    check = {"uuid": uuid, "status": "failed", "message": "why", "error": {"number": 719}, "seconds": None, "index": 0}
    (row,) = model({**NODE, "compute": [check]})["nodes"]
    told = {key: check[key] for key in ("status", "message", "error", "seconds")}
    assert row["gpus"][0]["compute"] == (told if uuid == "GPU-1" else None)


def test_the_past_of_a_node_comes_newest_first() -> None:
    good = {"at": "1", "outcome": "ok", "steps": ["install", "hold"], "before": "535.1", "after": "580.1", "away_s": 70}
    bad = {"at": "2", "outcome": "failed", "steps": [], "failed_at": "Reboot", "why": "no answer", "after": "580.1"}
    (row,) = model({**NODE, "history": [good, bad, "damaged"]})["nodes"]
    assert [each["at"] for each in row["past"]] == ["", "2", "1"]
    assert row["past"][1]["why"] == "Reboot: no answer" and row["past"][1]["driver"] == "none → 580.1"
    assert row["past"][2]["what"] == "install, hold" and row["past"][2]["driver"] == "535.1 → 580.1"
    assert [each["away_s"] for each in row["past"]] == [None, None, 70]


def test_summary() -> None:
    waiting = {**NODE, "name": "gpu02", "driver": {"reboot_pending": True, "loaded_version": "580.1"}}
    found = model(NODE, waiting, {"name": "x"}, {**NODE, "name": "cpu", "gpus": []})["summary"]
    assert found == {
        "node_count": 4,
        "gpu_count": 2,
        "attention_count": 2,
        "reboot_count": 1,
        "problem_count": 0,
        "states": {"unreachable": 1, "reboot": 1, "ok": 1, "no GPU": 1},
        "gpu_models": {"H200": 2},
        "driver_versions": {"580.1": 3},
    }


def test_the_worst_first() -> None:
    """The order in which somebody should look; within a state by name."""
    due = {**NODE["driver"], "reboot_pending": True}
    nodes = [
        {**NODE, "name": "a", "gpus": []},
        {**NODE, "name": "b"},
        {**NODE, "name": "c", "gpus": None},
        {**NODE, "name": "d", "plan": {"steps": [{"name": "hold"}]}},
        {**NODE, "name": "e", "driver": due},
        {**NODE, "name": "f", "problems": ["x"]},
        {"name": "g"},
        {**NODE, "name": "A"},
    ]
    found = [(node["name"], node["state"]) for node in model(*nodes)["nodes"]]
    assert found == [
        ("g", "unreachable"),
        ("f", "problem"),
        ("e", "reboot"),
        ("d", "changes"),
        ("c", "unknown"),
        ("A", "ok"),
        ("b", "ok"),
        ("a", "no GPU"),
    ]


CHANGES = [
    # what the node is now, what is told
    ({}, []),
    ({"kernel": "6.8.0-62"}, [("kernel", "6.8.0-60-generic", "6.8.0-62")]),
    ({"gpus": []}, [("state", "ok", "no GPU"), ("GSP firmware", "on", "unknown"), ("GPU", "GPU-1", "")]),
    (
        {"driver": {**NODE["driver"], "held_packages": ["b", "c"], "reboot_pending": True}},
        [("state", "ok", "reboot"), ("reboot pending", "off", "on"), ("held package", "a", "c")],
    ),
    ({"problems": ["broken"]}, [("state", "ok", "problem"), ("problem", "", "broken")]),
    (
        {"cluster": {"allocatable": {"nvidia.com/gpu.shared": "4"}, "sharing": "time-slicing x4"}},
        [("sharing", "exclusive", "time-slicing x4"), ("allocatable", "nvidia.com/gpu: 1", "nvidia.com/gpu.shared: 4")],
    ),
    ({"p2p": None}, [("peer-to-peer verdict", "ok", "unknown")]),
]


@pytest.mark.parametrize(("now", "told"), CHANGES)
def test_history(now: dict[str, Any], told: list[tuple[str, str, str]]) -> None:
    found = model({**NODE, **now}, previous=model(NODE, at="then"))["history"]
    assert found["since"] == "then" and found["added"] == [] and found["removed"] == []
    assert [(change["what"], change["before"], change["after"]) for change in found["changes"]] == told
    assert {change["node"] for change in found["changes"]} <= {"gpu01"}


def test_history_of_nodes_that_come_and_go() -> None:
    found = model({**NODE, "name": "new"}, previous=model(NODE))["history"]
    assert (found["added"], found["removed"], found["changes"]) == (["new"], ["gpu01"], [])


@pytest.mark.parametrize("previous", [None, [], "x", 7, {}, {"format": 99, "nodes": []}])
def test_no_older_report_is_no_history(previous: Any) -> None:
    assert model(NODE, previous=previous)["history"] is None


@pytest.mark.parametrize("damaged", [{"nodes": None}, {"nodes": [7, None, {"name": "gpu01"}]}, {"nodes": {"a": 1}}])
def test_a_damaged_older_report_does_no_harm(damaged: dict[str, Any]) -> None:
    assert history({"format": report_model.FORMAT, **damaged}, model(NODE)["nodes"]) is not None


@pytest.mark.parametrize(
    "odd",
    [
        {"gpus": [None, 7, "x"]},
        {"compute": [None, 7, {"uuid": "GPU-1"}]},
        {"compute": "x"},
        {"gpus": "x", "driver": "y", "cluster": 3, "plan": [], "p2p": "z", "topology": 1},
        {"p2p": {"reasons": ["x", {"pair": ["<", 1]}, {"pair": [0, 1]}], "matrices": {"m": [[1, "2", None], "x"]}}},
        {"topology": {"gpus": ["GPU0", "GPU1"], "links": [["X"], 7]}},
        {"plan": {"steps": ["hold", {"name": "x"}]}, "problems": "text"},
    ],
)
def test_odd_facts_are_shown_as_far_as_they_go(odd: dict[str, Any]) -> None:
    assert len(model({"name": "x", **odd})["nodes"]) == 1


@pytest.mark.parametrize(("value", "word"), [(None, "unknown"), (True, "on"), (False, "off"), (0, "0"), ("x", "x")])
def test_said(value: Any, word: str) -> None:
    assert said(value) == word
