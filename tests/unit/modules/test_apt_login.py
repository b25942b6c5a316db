"""The module on a folder: set, check, again, refuse; and that nothing it says has a password in it."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible.release import __version__ as core_version

from ansible_collections.t9k.gpu.plugins.modules import apt_login

#: Since ansible-core 2.21 a module returns its arguments only where it is asked to.
INJECT = {} if core_version.startswith(("2.19", "2.20")) else {"_ansible_inject_invocation": True}
MIRROR = "https://mirror.internal/ubuntu"
WITH = "https://gpu:hunter2@mirror.internal/ubuntu"
ENTRY = "machine https://mirror.internal/ubuntu/ login gpu password hunter2\n"


class Bench:
    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.path, self.capsys = tmp_path, tmp_path / "auth.conf.d/t9k.conf", capsys
        monkeypatch.setattr(apt_login, "ROOT", str(tmp_path))

    def __call__(self, **arguments: Any) -> dict[str, Any]:
        given = {"path": str(self.path), "addresses": [MIRROR], **INJECT, **arguments}
        with patch_module_args(given), pytest.raises(SystemExit):
            apt_login.main()
        told = self.capsys.readouterr().out
        assert "hunter2" not in told
        found: dict[str, Any] = json.loads(told)
        return found


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, monkeypatch, capsys)


def test_set_and_again(bench: Bench) -> None:
    first = bench(logins=[WITH, "https://other.internal/"], _ansible_diff=True)
    assert first["changed"] is True
    assert first["invocation"]["module_args"]["logins"] == [
        "https://********mirror.internal/ubuntu",
        "https://other.internal/",
    ]
    assert "machine https://mirror.internal/ubuntu/" in first["diff"]["after"]
    assert bench.path.read_text() == ENTRY
    assert stat.S_IMODE(bench.path.stat().st_mode) == 0o600
    assert bench(logins=[WITH])["changed"] is False


def test_check_says_and_does_nothing(bench: Bench) -> None:
    assert bench(logins=[WITH], _ansible_check_mode=True)["changed"] is True
    assert not bench.path.exists()


def test_a_login_that_the_hosts_own_sources_have(bench: Bench) -> None:
    sources = bench.root / "etc/apt/sources.list"
    sources.parent.mkdir(parents=True)
    sources.write_text(f"deb {WITH} jammy main\n")
    assert bench()["changed"] is True
    assert bench.path.read_text() == ENTRY
    bench(logins=["https://gpu:newer-hunter2@mirror.internal/ubuntu"])
    assert "newer" in bench.path.read_text()


@pytest.mark.parametrize(
    "logins", [[], ["https://gpu:hunter2@other.internal/ubuntu"], ["https://gpu:hunter2%20x@mirror.internal/ubuntu"]]
)
def test_refuse(bench: Bench, logins: list[str]) -> None:
    told = bench(logins=logins)
    assert told["failed"] is True and MIRROR in told["msg"]
    assert not bench.path.exists()
