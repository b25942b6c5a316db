"""Each static check as a test, so that one pytest run reports them all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ["plugins", "tests"]

CHECKS = {
    "ruff": ["ruff", "check", *PYTHON],
    "ruff-format": ["ruff", "format", "--check", *PYTHON],
    "yamllint": ["yamllint", "--strict", "."],
    "ansible-lint": ["ansible-lint", "--offline", "--strict"],
    "changelog": ["antsibull-changelog", "lint"],
    # References to our own plugins are looked up; to look up those of every collection that is installed takes many minutes.
    "docs": [
        *("antsibull-docs", "lint-collection-docs", "--plugin-docs", "--skip-rstcheck"),
        *("--validate-collection-refs", "self", "."),
    ],
}


def run(argv: list[str], cwd: Path = ROOT) -> None:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(argv)} exited {done.returncode}\n{done.stdout}\n{done.stderr}", pytrace=False)


@pytest.mark.parametrize("name", CHECKS)
def test_static(name: str) -> None:
    run(CHECKS[name])


def test_mypy() -> None:
    """The product from the folder above ansible_collections, so that absolute imports resolve; then the lab."""
    tree = os.environ["ANSIBLE_COLLECTIONS_PATH"]
    settings = ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", f"{tree}/.mypy"]
    run([sys.executable, "-m", "mypy", *settings, "ansible_collections/t9k/gpu/plugins"], cwd=Path(tree))
    run([sys.executable, "-m", "mypy", *settings, "tests/lab"])


def test_galaxy_would_import_it(archive: Path, tmp_path: Path) -> None:
    """With galaxy-importer, which Galaxy itself runs on an upload; ansible-lint has its own check above."""
    environment = {**os.environ, "GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "false", "HOME": str(tmp_path)}
    argv = [sys.executable, "-m", "galaxy_importer.main", str(archive)]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    assert "Importer processing completed successfully" in told, told
    assert not [line for line in told.splitlines() if line.startswith(("ERROR", "WARNING"))], told
