"""The role's contract: defaults, argument_specs, docs and the plan module say the same."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ansible_collections.t9k.gpu.plugins.module_utils._operator import rights

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/gpu_operator"


def read(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text())


DEFAULTS = read("defaults/main.yml")
ENTRIES = read("meta/argument_specs.yml")["argument_specs"]
OPTIONS = {name: option for entry in ENTRIES.values() for name, option in entry["options"].items()}


def test_same_variables_in_the_same_order() -> None:
    assert list(DEFAULTS) == list(OPTIONS)
    assert len(ENTRIES["main"]["options"]) <= 27
    assert all(name.startswith("gpu_operator_") for name in DEFAULTS)


@pytest.mark.parametrize("name", DEFAULTS)
def test_same_default(name: str) -> None:
    assert DEFAULTS[name] == OPTIONS[name]["default"]


@pytest.mark.parametrize("name", DEFAULTS)
def test_documented(name: str) -> None:
    text = (ROOT / "docs/gpu-operator.md").read_text()
    default = OPTIONS[name]["default"]
    shown = {"": '""', True: "true", False: "false"}.get(default) if isinstance(default, (bool, str)) else None
    shown = shown or {"{}": "{}", "[]": "[]"}.get(str(default), str(default))
    assert f"| `{name}` | `{shown}` |" in text


@pytest.mark.parametrize("name", ["nvidia_gpu_operator_charts", "nvidia_gpu_operator_version",
                                  "nvidia_gpu_operator_image_registry", "nvidia_node_feature_discovery_repo",
                                  "nvidia_node_feature_discovery_tag", "device_plugin_version"])  # fmt: skip
def test_old_names_are_taken(name: str) -> None:
    assert name in (ROLE / "vars/main.yml").read_text()
    assert name in (ROOT / "docs/gpu-operator.md").read_text()


@pytest.mark.parametrize("module", ["gpu_operator_plan", "gpu_operator_readiness", "gpu_operator_images"])
def test_module_documentation_names_its_options(module: str) -> None:
    code = importlib.import_module(f"ansible_collections.t9k.gpu.plugins.modules.{module}")
    documented = set(yaml.safe_load(code.DOCUMENTATION)["options"])
    text = Path(str(code.__file__)).read_text()
    assert documented and all(f'"{name}"' in text for name in documented)


def made(maker: str) -> set[str]:
    """Return the names of all steps that ``maker`` (``Step`` or ``writes``) makes anywhere in the operator's room.

    A name that is no literal cannot be read here, and fails.
    """
    names = set()
    for path in (ROOT / "plugins/module_utils/_operator").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == maker and path.stem != "step":
                assert isinstance(node.args[0], ast.Constant), (
                    f"{path.name}:{node.lineno}: a step without a literal name"
                )
                names.add(node.args[0].value)
    return names


STEPS, WRITES = made("Step"), made("writes")


def test_every_step_has_its_task_file() -> None:
    files = {path.stem for path in (ROLE / "tasks/steps").glob("*.yml")}
    assert files == STEPS | {"objects"}
    assert len(STEPS) > 5 < len(WRITES)


def test_rights_are_asked_for_steps_that_there_are() -> None:
    assert set(rights.RIGHTS) <= STEPS | WRITES


def test_every_step_is_documented() -> None:
    text = (ROOT / "docs/gpu-operator.md").read_text()
    table = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    assert not [name for name in STEPS | WRITES if f"`{name}`" not in table]


def test_every_series_knows_the_same_things() -> None:
    versions = read("vars/versions.yml")["__gpu_operator_versions"]
    keys = {frozenset(series) for series in versions.values()}
    assert len(keys) == 1
    code = "".join(path.read_text() for path in (ROOT / "plugins/module_utils/_operator").glob("*.py"))
    assert not [key for key in next(iter(keys)) if f'"{key}"' not in code]
    assert {"22.9", "24.9", "25.10", "26.7"} <= set(versions)
