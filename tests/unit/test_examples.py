"""Every inventory in examples/ is what a user would copy: read by Ansible, checked against the roles' specs, and planned."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager
from node_builder import bare_node, package_plan
from operator_cluster import node, params

from ansible_collections.t9k.gpu.plugins.filter.gpu_operator import operator_hosts
from ansible_collections.t9k.gpu.plugins.module_utils._driver import plan as driver_plan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted as Driver
from ansible_collections.t9k.gpu.plugins.module_utils._operator import plan as operator_plan
from ansible_collections.t9k.gpu.plugins.module_utils._operator.state import ClusterState
from ansible_collections.t9k.gpu.plugins.module_utils._operator.wanted import Wanted as Operator
from ansible_collections.t9k.gpu.plugins.modules import nvidia_driver_plan

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("driver", "gpu_operator", "gpu_validate", "gpu_report")
#: What a host may say beside the roles' variables: how it is reached, and the variables of one node.
OTHERS = {"gpu_sharing", "gpu_mig", "gpu_operator_operands", "gpu_report_enabled", "gpu_report_node"}
EXAMPLES = sorted(set((ROOT / "examples").glob("*.yml")) - {ROOT / "examples/execution-environment.yml"})
MONITOR = {"by": "role", "namespace": "t9k-monitoring", "interval": "30s", "labels": {}}


@lru_cache(maxsize=None)
def spec(role: str) -> dict[str, Any]:
    entries = yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())["argument_specs"]
    return {name: option for entry in entries.values() for name, option in entry["options"].items()}


@lru_cache(maxsize=None)
def hosts(example: Path) -> dict[str, dict[str, Any]]:
    """The GPU nodes with their variables, as playbooks/driver.yml chooses them."""
    inventory = InventoryManager(loader=DataLoader(), sources=[str(example)])
    group = "gpu_nodes" if "gpu_nodes" in inventory.groups else "kube_node"
    manager = VariableManager(loader=DataLoader(), inventory=inventory)
    found = {}
    for host in inventory.get_hosts(group):
        known = manager.get_vars(host=host, include_hostvars=False)
        ours = set().union(*map(spec, ROLES)) | OTHERS
        prefixes = tuple(f"{role}_" for role in (*ROLES, "gpu"))
        assert not [name for name in known if name.startswith(prefixes) and name not in ours]
        found[host.name] = {name: known[name] for name in known if name in ours}
    return found


@pytest.fixture(params=EXAMPLES, ids=lambda path: path.stem)
def example(request: pytest.FixtureRequest) -> Path:
    return request.param  # type: ignore[no-any-return]


def test_the_roles_take_every_variable(example: Path) -> None:
    assert hosts(example)
    for known in hosts(example).values():
        for role in ROLES:
            usual = yaml.safe_load((ROOT / "roles" / role / "defaults/main.yml").read_text())
            given = {**usual, **{name: value for name, value in known.items() if name in spec(role)}}
            assert ArgumentSpecValidator(spec(role)).validate(given).error_messages == []


def test_each_node_gets_a_driver(example: Path) -> None:
    """The steps a bare node of this inventory has before it; those that depend on its hardware are the plan's own tests."""
    for known in hosts(example).values():
        options = {
            name: option
            for name, option in nvidia_driver_plan.ARGUMENTS.items()
            if name not in ("supported_os", "support")
        }
        given = {name: known[f"driver_{name}"] for name in options if f"driver_{name}" in known}
        checked = ArgumentSpecValidator(options).validate(given)
        assert checked.error_messages == []
        wanted = Driver.of(checked.validated_parameters)
        version = wanted.version or f"{wanted.branch or 580}.1"
        steps = driver_plan.plan(bare_node(), wanted, Target(version, "proprietary", package_plan(version)))
        expected = ["files", "install", "hold", "initramfs", *(["reboot"] if wanted.reboot == "auto" else [])]
        assert [step.name for step in steps] == expected


def test_the_cluster_gets_its_operator(example: Path) -> None:
    known = hosts(example)
    (shared,) = (
        {name: value for name, value in host.items() if name in spec("gpu_operator")}
        for host in list(known.values())[:1]
    )
    asked = operator_hosts(known, known)
    given = {name[len("gpu_operator_") :]: value for name, value in shared.items()}
    given["service_monitor"] = {**MONITOR, **given.get("service_monitor", {})}
    more = {f"node_{name}": asked[name] for name in ("sharing", "operands", "mig")}
    wanted = Operator.of(params(**given, **more, nodes=list(known)))
    assert wanted.faults == ()
    bare = ClusterState(server_version="v1.33.1", nodes={name: node(name, 1) for name in known})
    steps = [step.name for step in operator_plan.plan(bare, wanted)]
    assert "release" in steps
    assert ("sharing" in steps) == bool(shared.get("gpu_operator_sharing"))


def test_the_table_names_every_file() -> None:
    told = (ROOT / "examples/README.md").read_text()
    assert [path.name for path in (ROOT / "examples").iterdir() if f"]({path.name})" not in told] == ["README.md"]
