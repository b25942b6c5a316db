"""What a public forge runs: actions by commit, with least rights, and commands that this clone has."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import dev

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> Path:
    return request.param  # type: ignore[no-any-return]


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def test_an_action_is_a_commit(workflow: Path) -> None:
    """A tag can be moved by whoever can push to the action's repository; the comment says which release the commit is."""
    used = [line.strip() for line in workflow.read_text().splitlines() if "uses:" in line]
    assert used
    assert [line for line in used if not re.fullmatch(r"- uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


def test_rights_are_given_where_they_are_needed(workflow: Path) -> None:
    found = yaml.safe_load(workflow.read_text())
    assert found["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 90 for job in found["jobs"].values())


def test_commands_exist(workflow: Path) -> None:
    lines = [line for step in steps(workflow) for line in step.get("run", "").splitlines()]
    ours = [shlex.split(line) for line in lines if line.lstrip().startswith(("./", ".ci/"))]
    assert ours
    for program, *words in ours:
        assert (ROOT / program).is_file()
        assert program != "./dev" or words[0] in dev.COMMANDS
        assert all((ROOT / word).exists() for word in words if word.startswith("tests/"))
