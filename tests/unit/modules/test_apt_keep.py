"""The module on a folder: set, check, again, refuse."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._debian import keep
from ansible_collections.t9k.gpu.plugins.modules import apt_keep

SPEC, FILE = "tools:amd64=1", "tools_1_amd64.deb"
DIGEST = "315f5bdb76d078c43b8ac0064e4a0164612b1fce77c869345bfc94c75894edd3"  # of "Hello, world!"


class Bench:
    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.place, self.capsys, self.on_offer = tmp_path / "kept", capsys, True
        monkeypatch.setattr(apt_keep, "runner", lambda _module: self.run)
        monkeypatch.setattr(keep, "CACHE", str(tmp_path / "cache"))

    def run(self, argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        if argv[0] == keep._HELPER:
            Path(argv[3]).write_bytes(b"Hello, world!")
        uri = f"'http://archive/{FILE}' {FILE} 13 SHA256:{DIGEST}\n" if self.on_offer else ""
        return Result(tuple(argv), 0 if uri else 100, uri, "")

    def __call__(self, **arguments: Any) -> dict[str, Any]:
        with patch_module_args({"name": [SPEC], "path": str(self.place), **arguments}), pytest.raises(SystemExit):
            apt_keep.main()
        found: dict[str, Any] = json.loads(self.capsys.readouterr().out)
        return found

    def there(self) -> list[str]:
        return sorted(path.name for path in self.place.iterdir()) if self.place.exists() else []


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, monkeypatch, capsys)


def test_set_and_again(bench: Bench) -> None:
    first = bench(about={"version": "1"})
    assert (first["changed"], first["missing"]) == (True, [])
    assert bench.there() == ["set.json", FILE]
    assert json.loads((bench.place / "set.json").read_text()) == {"version": "1", "files": {SPEC: FILE}}
    assert stat.S_IMODE(bench.place.stat().st_mode) == 0o700
    assert bench(about={"version": "1"})["changed"] is False


def test_check_says_and_does_nothing(bench: Bench) -> None:
    told = bench(_ansible_check_mode=True)
    assert (told["changed"], bench.there()) == (True, [])
    assert FILE in told["diff"]["after"]


def test_one_set_and_no_more(bench: Bench) -> None:
    (bench.place / "older").mkdir(parents=True)
    (bench.place / "older_1_amd64.deb").write_text("x")
    bench()
    assert bench.there() == ["set.json", FILE]


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("required", [False, True])
def test_what_cannot_be_had(bench: Bench, check: bool, required: bool) -> None:
    """An incomplete set is none."""
    bench.on_offer = False
    told = bench(required=required, _ansible_check_mode=check)
    assert bench.there() == []
    assert told.get("failed", False) is required
    assert SPEC in (told["msg"] if required else told["missing"])


def test_refuse_a_name_without_version(bench: Bench) -> None:
    assert "name:architecture=version" in bench(name=["tools"])["msg"]
