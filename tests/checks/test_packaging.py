"""The built archive somewhere else, without the clone: what a user has."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))


@pytest.fixture(scope="module")
def elsewhere(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where only the archive is installed; kubernetes.core comes with the package ansible."""
    folder = tmp_path_factory.mktemp("elsewhere")
    command = ["ansible-galaxy", "collection", "install", "--force", "--no-deps", "--offline", "-p", "collections"]
    subprocess.run([*command, str(archive)], cwd=folder, env=environment(folder), check=True, capture_output=True)
    return folder


def environment(folder: Path) -> dict[str, str]:
    """No setting of the clone's, and a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return {**kept, "HOME": str(folder), "ANSIBLE_COLLECTIONS_PATH": str(folder / "collections")}


def told(folder: Path, *argv: str) -> str:
    done = subprocess.run(argv, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_what_is_shipped(elsewhere: Path) -> None:
    shipped = {path.name for path in (elsewhere / "collections/ansible_collections/t9k/gpu").iterdir()}
    assert {
        "MANIFEST.json",
        "README.md",
        "LICENSE",
        "SECURITY.md",
        "plugins",
        "roles",
        "playbooks",
        "examples",
    } <= shipped
    assert not {name for name in shipped if name.startswith(".")} | (shipped & {"tests", "molecule", "dev"})


def test_every_playbook_is_found_and_read(elsewhere: Path) -> None:
    (elsewhere / "hosts.yml").write_text(yaml.safe_dump({"gpu_nodes": {"hosts": {"gpu01": None}}}))
    names = [f"t9k.gpu.{name}" for name in PLAYBOOKS]
    shown = told(elsewhere, "ansible-playbook", "--syntax-check", "-i", "hosts.yml", *names)
    assert shown.count("/collections/ansible_collections/t9k/gpu/playbooks/") == len(PLAYBOOKS) > 5


@pytest.mark.parametrize(("kind", "names"), [("module", MODULES), ("role", ROLES)])
def test_its_documentation_is_read(elsewhere: Path, kind: str, names: list[str]) -> None:
    full = [f"t9k.gpu.{name}" for name in names]
    documented = json.loads(told(elsewhere, "ansible-doc", "--json", "--type", kind, *full))
    assert sorted(documented) == full


def test_an_execution_environment_can_be_made_of_it(elsewhere: Path, archive: Path, tmp_path: Path) -> None:
    """Its build context, that is: an image wants a container engine and a registry."""
    (tmp_path / "t9k-gpu.tar.gz").write_bytes(archive.read_bytes())
    (tmp_path / "execution-environment.yml").write_bytes((ROOT / "examples/execution-environment.yml").read_bytes())
    told(tmp_path, "ansible-builder", "create", "--file", "execution-environment.yml")
    assert (tmp_path / "context/_build/configs/t9k-gpu.tar.gz").exists()
    needs = yaml.safe_load(
        told(elsewhere, "ansible-builder", "introspect", str(elsewhere / "collections")).partition("---")[2]
    )
    assert [line.split()[0] for line in needs["python"]] == ["kubernetes>=24.2.0"]
    assert "helm" in {line.split()[0] for line in needs["system"]}


def test_its_bill_of_materials_names_what_it_needs(archive: Path) -> None:
    command = [sys.executable, "-m", "tests.sbom", str(archive)]
    bill = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    assert bill["metadata"]["component"]["version"] == yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"]
    assert {part["name"] for part in bill["components"]} == {"ansible-core", "kubernetes", "kubernetes.core"}
