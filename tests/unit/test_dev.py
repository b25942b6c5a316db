"""The front door: what it starts has the last word."""

from __future__ import annotations

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
    ("words", "run"),
    [
        (["-q", "-n", "2"], ["tests/unit", "-q", "-n", "2"]),
        (["tests/unit/test_dev.py", "-q"], ["tests/unit/test_dev.py", "-q"]),
        (["tests/unit/test_dev.py::test_x"], ["tests/unit/test_dev.py::test_x"]),
    ],
)
def test_unit_runs_the_unit_tests_or_the_paths_given(
    monkeypatch: pytest.MonkeyPatch, words: list[str], run: list[str]
) -> None:
    """Without a path of its own pytest would run the scenarios too, beside whoever else uses the lab."""
    asked: list[tuple[str, ...]] = []
    monkeypatch.setattr(dev, "_exec", lambda *argv: asked.append(argv))
    dev.unit(words)
    assert list(asked[0][3:]) == run
