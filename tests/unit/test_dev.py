"""The front door: what it starts has the last word."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import dev

ROOT = Path(__file__).parents[2]


def test_a_failure_of_the_lab_is_its_own_message_and_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        dev._module("tests.lab.hosts", "status", "--name", "No_Name")
    assert ended.value.code == 1
    assert (
        capfd.readouterr().err == "lab: No_Name: a lab's name: wanted up to 40 of a-z, 0-9 and '-', found 'No_Name'\n"
    )


@pytest.mark.parametrize(
    ("command", "words", "run"),
    [
        (dev.unit, ["-q", "-n", "2"], ["tests/unit", "-q", "-n", "2"]),
        (dev.unit, ["tests/unit/test_dev.py", "-q"], ["tests/unit/test_dev.py", "-q"]),
        (dev.unit, ["tests/unit/test_dev.py::test_x"], ["tests/unit/test_dev.py::test_x"]),
        (dev.slow, ["-x"], ["tests/slow", "-x"]),
        (dev.slow, ["tests/slow/test_dkms.py"], ["tests/slow/test_dkms.py"]),
        (dev.unit, ["--ignore", "tests/unit/lab"], ["tests/unit", "--ignore", "tests/unit/lab"]),
        (dev.unit, ["-q", "tests/unit/lab"], ["-q", "tests/unit/lab"]),
    ],
)
def test_the_tests_of_a_command_are_its_folder_or_the_paths_given(
    monkeypatch: pytest.MonkeyPatch, command: Callable[[list[str]], None], words: list[str], run: list[str]
) -> None:
    """Without a path of its own pytest would run the scenarios too, beside whoever else uses the lab."""
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(dev, "_module", lambda *_words: None)
    monkeypatch.setattr(dev, "_exec", lambda *argv: asked.append(argv))
    command(words)
    assert list(asked[0][3:]) == run


@pytest.mark.parametrize(
    ("command", "needed"), [(dev.test, True), (dev.unit, True), (dev.mutants, True), (dev.lint, False)]
)
@pytest.mark.parametrize("apt", [True, False])
def test_what_tests_ask_is_installed_before_them_where_there_is_apt(
    monkeypatch: pytest.MonkeyPatch, command: Callable[[list[str]], None], needed: bool, apt: bool
) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(dev.shutil, "which", lambda name: f"/usr/bin/{name}" if apt else None)
    monkeypatch.setattr(dev, "_module", lambda *words: asked.append(words))
    monkeypatch.setattr(dev, "_exec", lambda *argv: asked.append(argv))
    command([])
    assert asked[:-1] == ([("tests.lab.hosts.machine", "tests")] if needed and apt else [])


def test_a_test_fails_where_a_program_is_missing_that_it_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    import conftest

    def said(*needs: str) -> str:
        test = SimpleNamespace(iter_markers=lambda _name: [pytest.mark.needs(*needs).mark])
        try:
            conftest.pytest_runtest_setup(test)
        except pytest.fail.Exception as failure:
            return str(failure)
        return ""

    monkeypatch.setattr(conftest.shutil, "which", lambda name: "/usr/bin/gpg" if name == "gpg" else None)
    assert said() == said("gpg") == ""
    assert said("gpg", "gpg-agent", "dpkg-deb") == (
        "wanted: gpg-agent, dpkg-deb, which this test needs; found: none; next: apt-get install dpkg gpg-agent"
    )


def test_no_test_passes_itself_over() -> None:
    """Whoever needs a program says so by the marker ``needs``, which fails without it."""
    words = re.compile(r"pytest\.(skip|importorskip|mark\.skip|mark\.skipif|mark\.xfail)\b")
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "molecule").rglob("*.py")]
    assert [
        str(path.relative_to(ROOT)) for path in files if path != Path(__file__) and words.search(path.read_text())
    ] == []


PYTHON = """#!/bin/bash
case "$*" in
    -V) echo Python 3.99 ;;
    "-m venv "*) echo made >>"$(dirname "$0")/log"; mkdir -p "$3/bin"; sleep 0.5; cp "$0" "$3/bin/python"; cp "$0" "$3/bin/pip" ;;
    "install "*) cat "${@: -1}" >"$VENVS/wanted" ;;
esac
"""


DEV = Path(__file__).resolve().parents[2] / "dev"


def environment(tmp_path: Path) -> dict[str, str]:
    """Where ./dev finds a stand-in for Python, which says what was asked of it."""
    python = tmp_path / "python3"
    python.write_text(PYTHON)
    python.chmod(0o755)
    return {
        **os.environ,
        "T9K_GPU_CACHE": str(tmp_path / "cache"),
        "T9K_GPU_PYTHON": str(python),
        "VENVS": str(tmp_path),
    }


@pytest.mark.parametrize(
    ("core", "wanted"),
    [("", ["ansible==12.3.0", "ansible-core==2.19.14"]), ("2.21", ["ansible==14.*", "ansible-core==2.21.*"])],
)
def test_another_core_may_be_asked_for(tmp_path: Path, core: str, wanted: list[str]) -> None:
    subprocess.run([DEV, "help"], env={**environment(tmp_path), "T9K_GPU_CORE": core}, check=True)
    asked = [line.partition(" ")[0] for line in (tmp_path / "wanted").read_text().splitlines()]
    assert [line for line in asked if line.startswith(("ansible==", "ansible-core=="))] == wanted


def test_two_first_runs_beside_each_other_make_one_environment(tmp_path: Path) -> None:
    """They took each other's half-made one away."""
    known = environment(tmp_path)
    runs = [subprocess.Popen([DEV, "help"], env=known, stderr=subprocess.PIPE, text=True) for _run in range(2)]
    assert [(run.communicate(timeout=60)[1].count("making"), run.returncode) for run in runs] in (
        [(1, 0), (0, 0)],
        [(0, 0), (1, 0)],
    )
    assert (tmp_path / "log").read_text() == "made\n"
