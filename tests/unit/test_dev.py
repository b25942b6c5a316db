"""The front door: what it starts has the last word."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests import dev


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
    ],
)
def test_the_tests_of_a_command_are_its_folder_or_the_paths_given(
    monkeypatch: pytest.MonkeyPatch, command: Callable[[list[str]], None], words: list[str], run: list[str]
) -> None:
    """Without a path of its own pytest would run the scenarios too, beside whoever else uses the lab."""
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(dev, "_exec", lambda *argv: asked.append(argv))
    command(words)
    assert list(asked[0][3:]) == run
