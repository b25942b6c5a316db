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
