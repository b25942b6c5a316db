"""defaults ≡ argument_specs ≡ the pages in docs/, for every role."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if (path / "meta/argument_specs.yml").exists())


def load(path: Path) -> dict:
    return yaml.safe_load(path.read_text()) or {}


@pytest.mark.parametrize("role", ROLES)
def test_defaults_are_the_argument_specs(role: str) -> None:
    defaults = load(ROOT / "roles" / role / "defaults/main.yml")
    entries = load(ROOT / "roles" / role / "meta/argument_specs.yml")["argument_specs"].values()
    options = {name: option for entry in entries for name, option in entry.get("options", {}).items()}
    assert defaults == {name: option.get("default") for name, option in options.items()}
    assert all(name.startswith(f"{role}_") for name in defaults)


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_is_documented(role: str) -> None:
    pages = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    missing = [name for name in load(ROOT / "roles" / role / "defaults/main.yml") if f"`{name}`" not in pages]
    assert not missing


@pytest.mark.parametrize("playbook", sorted((ROOT / "playbooks").glob("*.yml")), ids=lambda path: path.stem)
def test_playbooks_know_no_internals_of_a_role(playbook: Path) -> None:
    assert not re.findall(r"\b__\w+", playbook.read_text())


def test_there_are_roles() -> None:
    assert "driver" in ROLES
