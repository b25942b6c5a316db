"""The guide to GPU sharing does what it says: its inventory planned, its tables held against the code."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from operator_cluster import configmap, finished, node, params

from ansible_collections.t9k.gpu.plugins.filter.gpu_operator import operator_hosts
from ansible_collections.t9k.gpu.plugins.module_utils._operator import plan as operator_plan
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._sharing.documents import documents, expected_resources, strategy
from ansible_collections.t9k.gpu.plugins.module_utils._step import Steps

GUIDE = (Path(__file__).resolve().parents[2] / "docs/guides/gpu-sharing.md").read_text()
INVENTORY = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)[0])["all"]
HOSTS: dict[str, Any] = {name: known or {} for name, known in INVENTORY["children"]["gpu_nodes"]["hosts"].items()}
CONFIGS = INVENTORY["vars"]["gpu_operator_sharing"]


def wanted(hosts: dict[str, Any], sharing: dict[str, Any], **more: Any) -> Wanted:
    asked = operator_hosts(hosts, hosts)
    nodes = {f"node_{name}": asked[name] for name in ("sharing", "operands", "mig")}
    return Wanted.of(params(sharing=sharing, nodes=list(hosts), **nodes, **more))


def cluster(**labels: dict[str, str]) -> ClusterState:
    nodes = {name: node(name, 8, **labels.get(name, {})) for name in HOSTS}
    return replace(finished(), nodes=nodes)


def labelled(steps: Steps) -> dict[str, dict[str, Any]]:
    return {name: change for step in steps for name, change in (step.data.get("nodes") or {}).items()}


def test_the_inventory() -> None:
    asked = wanted(HOSTS, CONFIGS)
    assert asked.faults == ()
    steps = operator_plan.plan(cluster(), asked)
    assert "sharing" in [step.name for step in steps]
    assert {name: sorted(change.values()) for name, change in labelled(steps).items()} == {
        "note01": ["by-time"],
        "infer01": ["by-mps"],
        "mig01": ["all-1g.10gb"],
    }


@pytest.mark.parametrize("name", [*CONFIGS, "none chosen"])
def test_what_it_shows(name: str) -> None:
    document = documents(CONFIGS).get(name, {"version": "v1"})
    ((resource, count),) = expected_resources(document, 8).items()
    shown = f"`{name}`" if name in CONFIGS else name
    assert f"| {shown} | `{resource}: {count}` | `{strategy(document)}` |" in GUIDE


SHARED = {"nvidia.com/device-plugin.config": "by-time"}
MPS = {"nvidia.com/device-plugin.config": "by-mps"}


@pytest.mark.parametrize(
    ("node_name", "before", "config", "refused"),
    [
        ("note01", {}, "by-time", False),
        ("note01", SHARED, None, False),
        ("infer01", {}, "by-mps", True),
        ("infer01", MPS, None, True),
        ("infer01", MPS, "by-time", True),
    ],
)
def test_what_wants_consent(node_name: str, before: dict[str, str], config: str | None, refused: bool) -> None:
    """Labels that a former run set go when the inventory no longer wishes them; whose MPS daemon stops must be agreed to."""
    hosts = {node_name: {"gpu_sharing": config} if config else {}}
    record = {"labels": {node_name: list(before)}, "objects": []}
    known = configmap("t9k-gpu-operator", record=record)
    state = replace(cluster(**{node_name: before}), configmaps={"t9k-gpu-operator": known})
    steps = operator_plan.plan(state, wanted(hosts, CONFIGS))
    changed = labelled(steps)[node_name]
    assert list(changed.values()) == [config]
    (step,) = (step for step in steps if step.data.get("nodes"))
    assert step.data.get("interrupts", False) is refused
