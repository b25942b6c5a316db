"""The role's contract: defaults, argument_specs, docs and the plan module say the same."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLE = ROOT / "roles/gpu_operator"


def read(path: str) -> Any:
    return yaml.safe_load((ROLE / path).read_text())


DEFAULTS = read("defaults/main.yml")
OPTIONS = read("meta/argument_specs.yml")["argument_specs"]["main"]["options"]


def test_same_variables_in_the_same_order() -> None:
    assert list(DEFAULTS) == list(OPTIONS)
    assert len(DEFAULTS) <= 20
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


def test_every_step_has_its_task_file() -> None:
    hows = set()
    for stem in ("plan", "owned", "release"):
        text = (ROOT / f"plugins/module_utils/_operator/{stem}.py").read_text()
        hows |= set(re.findall(r'Step\(\s*(?:"\w+"|name|"release" if helm else "manifests"),\s*"(\w+)"', text))
    hows |= {"release", "manifests"}
    files = {path.stem[len("step_") :] for path in (ROLE / "tasks").glob("step_*.yml")}
    assert hows == files


def test_every_series_knows_the_same_things() -> None:
    versions = read("vars/versions.yml")["__gpu_operator_versions"]
    keys = {frozenset(series) for series in versions.values()}
    assert len(keys) == 1
    assert {"22.9", "24.9", "25.10", "26.7"} <= set(versions)
