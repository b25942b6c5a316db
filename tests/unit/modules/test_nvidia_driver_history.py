"""The module on a made-up host: write, write again, check."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.t9k.gpu.plugins.module_utils._fleet import history
from ansible_collections.t9k.gpu.plugins.modules import nvidia_driver_history as module

OK = {"outcome": "ok", "steps": ["install", "reboot"], "before": "525.105.17", "after": "525.147.05", "away_s": 70}
FAILED = {"outcome": "failed", "steps": ["install"], "failed_at": "Install", "why": "no room " * 100}


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(module, "ROOT", str(tmp_path))

    def run(check: bool = False, **params: Any) -> dict[str, Any]:
        with patch_module_args({"_ansible_check_mode": check, **params}), pytest.raises(SystemExit):
            module.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return run


def test_two_changes(play: Any, tmp_path: Path) -> None:
    assert play(**OK)["changed"] is True
    play(**FAILED)
    written = tmp_path / history.PATH[1:]
    first, second = map(json.loads, written.read_text().splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first.pop("at"))
    assert first == OK
    assert (second["failed_at"], len(second["why"]), "away_s" in second) == ("Install", 500, False)
    fact = tmp_path / history.FACT[1:]
    assert json.loads(fact.read_text())["history"][1] == second
    assert [oct(path.stat().st_mode & 0o777) for path in (written, fact)] == ["0o644", "0o644"]
    assert [path.name for path in written.parent.iterdir()] == [written.name]  # nothing half written is left


def test_no_more_than_asked_for(play: Any, tmp_path: Path) -> None:
    for _change in range(4):
        play(keep=2, **OK)
    assert len((tmp_path / history.PATH[1:]).read_text().splitlines()) == 2


def test_check_mode_writes_nothing(play: Any, tmp_path: Path) -> None:
    assert play(check=True, **OK)["changed"] is True
    assert not list(tmp_path.iterdir())


def test_an_outcome_that_is_none(play: Any) -> None:
    assert "value of outcome must be one of: ok, rolled back, failed" in play(outcome="fine", steps=[])["msg"]
