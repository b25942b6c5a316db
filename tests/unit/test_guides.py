"""What the pages tell a reader to type: playbooks, variables, files and links exist; what wants hardware says so.

The playbooks themselves are checked for syntax from an installed archive, in tests/checks/test_collection.py.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import dev

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
GUIDES = [page for page in PAGES if page.parts[-2] in ("guides", "zh", "examples") or page.name.startswith("README")]
SPECS = {
    name
    for path in ROOT.glob("roles/*/meta/argument_specs.yml")
    for entry in yaml.safe_load(path.read_text())["argument_specs"].values()
    for name in entry.get("options", {})
}
#: Variables that are no role's own: of a play, of one host, of the inventory as a whole, and the names of older playbooks.
OTHERS = {
    *("driver_canary", "driver_serial", "gpu_report_enabled"),
    *("gpu_sharing", "gpu_mig", "gpu_operator_operands", "gpu_report_node"),
    *(
        "nvidia_driver_skip_reboot",
        "enable_install_gpu_driver",
        "nvidia_gpu_operator_charts",
        "nvidia_gpu_operator_version",
    ),
    *("nvidia_gpu_operator_image_registry", "nvidia_node_feature_discovery_repo", "nvidia_node_feature_discovery_tag"),
    "device_plugin_version",
}
OURS = re.compile(r"^(driver|gpu_operator|gpu_validate|gpu_report|gpu_sharing|gpu_mig)(_|$)")
#: Programs that need nothing of ours to exist: what they are told is theirs to judge.
FOREIGN = {
    "ansible",
    "ansible-galaxy",
    "ansible-doc",
    "ansible-builder",
    "pip",
    "git",
    "helm",
    "skopeo",
    "cd",
    "python3",
    "source",
}
#: Programs whose command must say in a comment what it wants: a cluster or a GPU node.
WANTING = {"kubectl", "nvidia-smi", "nvidia-bug-report.sh", "ansible-pull", "ansible-runner", "gh", "pip-audit"}
SAYS_WHAT_IT_WANTS = re.compile(r"# .*(wants|需要)")
FLAGS = {"--check", "--diff", "--become", "-K", "-b"}
VALUED = {"-i", "-e", "--limit", "--forks", "--tags"}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^ *```{language}\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> Iterator[str]:
    """Each line after a prompt, with those that a backslash joins to it."""
    for block in blocks(page, "console"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith(("$ ", "# ")) and line[2:].strip():
                yield line[2:]


COMMANDS = [
    pytest.param(page, line, id=f"{page.relative_to(ROOT)}: {line[:50]}") for page in PAGES for line in commands(page)
]


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_a_command_can_be_typed(page: Path, line: str) -> None:
    program, *words = shlex.split(line, comments=True)
    program, words = (words[0], words[1:]) if program == "sudo" else (program, words)
    if program == "./dev":
        assert words[0] in {*dev.COMMANDS, "help"}
    elif program == "ansible-playbook":
        playbook(words)
    elif program in WANTING:
        assert page not in GUIDES or SAYS_WHAT_IT_WANTS.search(line), "say in a comment what it wants"
    else:
        assert program in FOREIGN or (ROOT / program).is_file()


def playbook(words: list[str]) -> None:
    words = list(words)
    name = words.pop(0).replace("t9k.gpu.", "playbooks/")
    assert (ROOT / (name if name.endswith(".yml") else f"{name}.yml")).is_file()
    while words:
        word = words.pop(0)
        assert word in FLAGS | VALUED
        value = words.pop(0) if word in VALUED else ""
        if word == "-e" and not value.startswith("@"):
            assert value.partition("=")[0] in SPECS | OTHERS
        if word == "-i" and value.startswith("examples/"):
            assert (ROOT / value).is_file()


def keys(value: Any) -> Iterator[str]:
    for key, below in value.items() if isinstance(value, dict) else ():
        yield str(key)
        yield from keys(below)
    for below in value if isinstance(value, list) else ():
        yield from keys(below)


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: str(page.relative_to(ROOT)))
def test_variables_exist(page: Path) -> None:
    """Those in YAML, and those that the text names; the first column of a table is what somebody moves over from."""
    in_yaml = {key for block in blocks(page, "yaml") for part in yaml.safe_load_all(block) for key in keys(part)}
    text = re.sub(r"^\|.*?\|", "|", page.read_text(), flags=re.MULTILINE)
    in_text = set(re.findall(r"`((?:driver|gpu_operator|gpu_validate|gpu_report)_\w+)(?:: [^`]*|=[^`]*)?`", text))
    assert {name for name in in_yaml | in_text if OURS.match(name)} - SPECS - OTHERS - ROLES_AND_MODULES == set()


ROLES_AND_MODULES = {
    path.stem for pattern in ("roles/*", "plugins/*/*.py", "playbooks/*") for path in ROOT.glob(pattern)
}


def anchors(page: Path) -> set[str]:
    """As forges make them of headings."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        name, _hash, anchor = target.partition("#")
        there = (page.parent / name) if name else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_every_finding_of_the_doctor_has_its_symptom() -> None:
    codes = {anchor for anchor in anchors(ROOT / "docs/doctor.md") if "_" in anchor}
    told = (ROOT / "docs/guides/troubleshooting.md").read_text()
    assert len(codes) > 10
    assert {code for code in codes if f"doctor.md#{code})" not in told} == set()


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 40
