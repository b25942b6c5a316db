"""Where the lab's programs come from, its processes, its charts and its audit log."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.lab.cluster import audit, chart, control_plane, processes, tools, tools_go
from tests.lab.log import LabError


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("etcd Version: 3.4.23\nGit SHA: x", (3, 4, 23)),
        ("Client Version: v1.32.4-dispatcher", (1, 32, 4)),
        ("Kubernetes v1.36.3", (1, 36, 3)),
        ("v3.17.3+ge4da497", (3, 17, 3)),
        ("kwok version v0.8.0 go1.26.8 (linux/amd64)", (0, 8, 0)),
        ("", None),
    ],
)
def test_version(text: str, version: Any) -> None:
    assert tools.parse_version(text) == version


@pytest.mark.parametrize(
    ("name", "version", "accepted"),
    [
        ("kubectl", (1, 32, 4), False),
        ("kubectl", (1, 35, 2), True),
        ("kubectl", (1, 37, 0), True),
        ("kubectl", (1, 38, 0), False),
        ("kube-apiserver", (1, 35, 9), False),
        ("kube-apiserver", (1, 36, 0), True),
        ("helm", (3, 17, 3), True),
        ("helm", (4, 1, 4), False),
        ("helm4", (4, 1, 4), True),
        ("etcd", (3, 4, 23), True),
        ("etcd", (3, 3, 10), False),
        ("kwok", None, False),
    ],
)
def test_which_versions_from_path_will_do(name: str, version: Any, accepted: bool) -> None:
    assert tools.wanted()[name].accepts(version) is accepted


def program(at: Path, says: str) -> Path:
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_text(f"#!/bin/sh\necho '{says}'\n")
    at.chmod(0o755)
    return at


@pytest.mark.parametrize(
    ("assets", "on_path", "wanted"),
    [
        ("v1.36.1", "v1.36.2", "assets"),
        (None, "v1.36.2", "path"),
        (None, "v1.32.0", "cache"),
        (None, None, "cache"),
        ("v1.30.0", None, "assets"),  # named by the user: taken, with a warning
    ],
)
def test_order_of_places(tmp_path: Path, assets: str | None, on_path: str | None, wanted: str) -> None:
    places = {"cache": tmp_path / "cache" / "kubectl", "assets": tmp_path / "assets" / "kubectl"}
    places["path"] = tmp_path / "path" / "kubectl"
    for place, version in (("assets", assets), ("path", on_path)):
        if version:
            program(places[place], version)
    tool = tools.Tool("kubectl", ("version",), (1, 35), (1, 38), lambda: places["cache"])
    environment = {"PATH": str(tmp_path / "path"), "KUBEBUILDER_ASSETS": str(tmp_path / "assets")}
    assert tools.find(tool, environment) == places[wanted]


def test_a_labs_own_link_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T9K_GPU_CACHE", str(tmp_path))
    real = program(tmp_path / "bin" / "kubectl", "v1.36.0")
    lab = tmp_path / "labs" / "demo" / "bin"
    tool = tools.Tool("kubectl", ("version",), (1, 35), (1, 38), lambda: pytest.fail("it is on PATH"))
    for _again in range(2):
        tools.link({"kubectl": real}, lab)
        assert tools.find(tool, {"PATH": str(lab)}) == real


def test_a_built_tool_is_keyed_by_all_that_it_is_built_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T9K_GPU_CACHE", str(tmp_path))
    before = tools_go.cached("kwok")
    module = tmp_path / "module"
    module.mkdir()
    for file in ("go.mod", "go.sum"):
        (module / file).write_text((tools_go.MODULE / file).read_text())
    monkeypatch.setattr(tools_go, "MODULE", module)
    assert tools_go.cached("kwok") == before
    (module / "go.sum").write_text("changed")
    assert tools_go.cached("kwok") != before


def test_a_built_tool_in_the_cache_is_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T9K_GPU_CACHE", str(tmp_path))
    monkeypatch.setattr(tools_go, "_build", lambda name, target: pytest.fail("built again"))
    there = program(tools_go.cached("kwok"), "v0.8.0")
    assert tools_go.provide("kwok") == there


def test_ports_are_kept_and_never_shared() -> None:
    ports = control_plane.choose_ports("demo", {"etcd": 31999})
    assert ports["etcd"] == 31999
    assert set(ports) == set(control_plane.PORTS)
    assert len(set(ports.values())) == len(ports)


def test_only_the_process_that_was_started_is_ended(tmp_path: Path) -> None:
    process = processes.start([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log")
    other = processes.Process(process.pid, process.started + 1, process.boot)
    try:
        assert process.alive
        assert not processes.stop(other), "same id, another start: not ours"
        assert process.alive
    finally:
        assert processes.stop(process)
        os.waitpid(process.pid, 0)
    assert not process.alive


@pytest.mark.parametrize(
    ("over", "wanted"),
    [
        ({}, {"a": {"b": 1, "c": 2}}),
        ({"a": {"b": None}}, {"a": {"c": 2}}),
        ({"a": {"b": 3}, "d": [1]}, {"a": {"b": 3, "c": 2}, "d": [1]}),
    ],
)
def test_values_of_a_generation(over: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert chart.merged({"a": {"b": 1, "c": 2}}, over) == wanted


@pytest.mark.parametrize("version", chart.versions())
def test_each_generation_takes_away_only_what_is_there(version: str) -> None:
    crd = yaml.safe_load((chart.CHART / chart.CRD).read_text())
    generation = yaml.safe_load((chart.CHART / "generations" / f"{version}.yaml").read_text())
    less = chart.without(crd, generation["crd_without"])
    fields = less["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    values = chart.merged(yaml.safe_load((chart.CHART / "values.yaml").read_text()), generation["values"])
    assert {"cdi", "hostPaths", "psa"} & set(fields) == {"cdi", "hostPaths", "psa"} & set(values)


def test_an_unknown_chart_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"v22\.9\.2.*found 'v1'"):
        chart.package("v1", tmp_path)


def test_requests_are_counted_once() -> None:
    event = {
        "stage": "ResponseComplete",
        "verb": "list",
        "user": {"username": "lab-admin"},
        "requestURI": "/api/v1/nodes",
        "objectRef": {"resource": "nodes"},
        "responseStatus": {"code": 200},
    }
    lines = [json.dumps(event), json.dumps({**event, "stage": "ResponseStarted"}), json.dumps(event)]
    assert audit.count(lines) == {audit.Request("lab-admin", "list", "nodes", 200): 2}
