"""The documents for newcomers say what is so: names exist, examples fit the tree."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| .+\? \| `(?P<file>[^`]+)` \| `(?P<name>[^`]+)` \|$", re.MULTILINE)
DECIDED = [(row["file"], row["name"]) for row in ROW.finditer((ROOT / "docs/architecture.md").read_text())]
EXAMPLES = re.findall(r"```diff\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)


def test_there_are_questions_enough() -> None:
    assert len(DECIDED) >= 20
    assert len(EXAMPLES) == 3


@pytest.mark.parametrize(("file", "name"), DECIDED)
def test_what_decides_is_where_the_table_says(file: str, name: str) -> None:
    """A function, a class or a constant of a Python file; a key or the name of a task elsewhere."""
    text = (ROOT / file).read_text()
    word = re.escape(name)
    definition = (
        rf"^(?:def|class) {word}\b|^{word}\b.* = " if file.endswith(".py") else rf"^{word}:|^\s*- name: {word}$"
    )
    assert re.search(definition, text, re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_examples_fit_the_tree(example: str, tmp_path: Path) -> None:
    for name in re.findall(r"^--- a/(\S+)$", example, re.MULTILINE):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    done = subprocess.run(
        ["git", "apply", "-"], cwd=tmp_path, input=example, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_table_of_rooms_names_every_file() -> None:
    rooms = {
        row["room"]: set(re.findall(r"`(\w+)`", row["files"]))
        for row in re.finditer(
            r"^\| `(?P<room>_\w+)/` \| (?P<files>.+?) \| .+ \|$",
            (ROOT / "docs/architecture.md").read_text(),
            re.MULTILINE,
        )
    }
    utils = ROOT / "plugins/module_utils"
    there = {
        room.name: {path.stem for path in room.glob("*.py")}
        for room in utils.iterdir()
        if room.is_dir() and room.name != "__pycache__"
    }
    assert rooms == there


MATRIX = (ROOT / "docs/driver.md").read_text().partition("## The matrix")[2].partition("\n## ")[0]
CELLS = [[cell.strip() for cell in line.split("|")[1:-1]] for line in MATRIX.splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize("cells", CELLS, ids=lambda cells: " ".join(cells[:5]))
def test_each_cell_of_the_matrix_is_proved_by_what_exists(cells: list[str]) -> None:
    *dimensions, proof = cells
    named = re.findall(r"`([^`]+)`", proof)
    assert len(dimensions) == 6 and all(dimensions)
    assert bool(named) is not dimensions[-1].startswith("not proven")
    assert named or proof, "say why"
    for name in named:
        path, _colons, test = name.partition("::")
        if test:
            assert re.search(rf"^def {re.escape(test)}\(", (ROOT / path).read_text(), re.MULTILINE), name
        else:
            assert (ROOT / path / "molecule.yml").exists(), name


def test_the_matrix_has_every_supported_system() -> None:
    systems = yaml.safe_load((ROOT / "roles/driver/vars/main.yml").read_text())["__driver_supported_os"]
    assert {cells[0].replace(" ", "-").lower() for cells in CELLS} - {"any"} == set(systems)
    told = {(cells[0].replace(" ", "-").lower(), branch) for cells in CELLS for branch in cells[1].split(", ")}
    default = {(system, branch) for system, row in systems.items() for branch in row["branches"]}
    assert {(system, branch) for system, branch in default if (system, "any") not in told} <= told


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_both_readmes_name_every_playbook_and_module(page: str) -> None:
    text = (ROOT / page).read_text()
    playbooks = [path.name for path in (ROOT / "playbooks").glob("*.yml")]
    modules = [path.stem for path in (ROOT / "plugins/modules").glob("*.py")]
    roles = [path.name for path in (ROOT / "roles").iterdir()]
    assert [name for name in (*playbooks, *modules, *roles) if f"`{name}`" not in text] == []


def test_both_readmes_say_the_same() -> None:
    """The same commands and variables; what stands behind a # is for the reader of that language."""

    def typed(page: str) -> list[str]:
        blocks = re.findall(r"```(?:console|yaml)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
        return [line.partition("#")[0].rstrip() for block in blocks for line in block.splitlines()]

    assert typed("README.md") == typed("README.zh-CN.md")


FULL_WIDTH = re.compile(r"[\u4e00-\u9fff][,;:!?()]|[,;:!?()][\u4e00-\u9fff]")


@pytest.mark.parametrize(
    "page", ["README.zh-CN.md", *(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/guides/zh/*.md"))]
)
def test_chinese_has_full_width_punctuation(page: str) -> None:
    text = re.sub(r"\]\([^)]*\)|`[^`\n]*`", "", (ROOT / page).read_text())
    assert FULL_WIDTH.findall(text) == []
