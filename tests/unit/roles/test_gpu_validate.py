"""The contracts of the roles gpu_validate and gpu_report: defaults, argument specification and README say the same."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment

ROLES = Path(__file__).resolve().parents[3] / "roles"


def load(role: str, name: str) -> Any:
    return yaml.safe_load((ROLES / role / name).read_text())


@pytest.mark.parametrize("role", ["gpu_validate", "gpu_report"])
def test_defaults_specification_and_readme_agree(role: str) -> None:
    defaults = load(role, "defaults/main.yml")
    options = load(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    table = dict(re.findall(r"^\| `(\w+)` \| `(.*?)` \|", (ROLES / role / "README.md").read_text(), re.MULTILINE))
    assert {name: option["default"] for name, option in options.items()} == defaults
    assert {name: yaml.safe_load(value) for name, value in table.items()} == defaults
    assert all(name.startswith(f"{role}_") for name in defaults)


@pytest.mark.parametrize("name", ["gpu01", "gpu-02.example.org"])
def test_the_pod(name: str) -> None:
    """It may run on one node only, asks for one GPU, and never starts again."""
    defaults = load("gpu_validate", "defaults/main.yml")
    environment = Environment(autoescape=False)
    environment.filters["to_json"] = json.dumps
    template = environment.from_string((ROLES / "gpu_validate/templates/pod.yml.j2").read_text())
    names = {"__gpu_validate_node_name": name, "__gpu_validate_pod": f"gpu-validate-{name}"}
    pod = yaml.safe_load(template.render(**defaults, **names, __gpu_validate_resource="nvidia.com/gpu.shared"))
    (container,) = pod["spec"]["containers"]
    assert container["resources"] == {"limits": {"nvidia.com/gpu.shared": 1}}
    assert container["command"] == ["nvidia-smi", "-L"] and pod["spec"]["restartPolicy"] == "Never"
    assert name in json.dumps(pod["spec"]["affinity"]) and pod["spec"]["activeDeadlineSeconds"] == 300
