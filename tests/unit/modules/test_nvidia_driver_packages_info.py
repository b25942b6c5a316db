"""The module over apt and the plan: real Debian captures, with tables in place of commands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.t9k.gpu.plugins.module_utils._command import Result
from ansible_collections.t9k.gpu.plugins.module_utils._debian.os_release import parse_os_release, read_os_release
from ansible_collections.t9k.gpu.plugins.modules import nvidia_driver_packages_info as module

Call = Callable[..., dict[str, Any]]
OS_RELEASE = 'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n# a comment\n'


@pytest.fixture
def asked() -> list[list[str]]:
    return []


@pytest.fixture
def call(
    fixtures: Path, asked: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    answers = {
        "--print-architecture": "amd64\n",
        "show": (fixtures / "apt/bookworm-show.txt").read_text(),
        "policy": (fixtures / "apt/bookworm-policy.txt").read_text(),
        "-s": (fixtures / "apt/bookworm-simulate.txt").read_text(),
        "--print-uris": (fixtures / "apt/bookworm-print-uris.txt").read_text(),
    }

    def run(argv: list[str], timeout_s: int | None = None, stdin: str | None = None) -> Result:
        asked.append(argv)
        return Result(tuple(argv), 0, answers[argv[1]], "")

    monkeypatch.setattr(module, "runner", lambda _module: run)
    monkeypatch.setattr(module, "read_os_release", lambda: parse_os_release(OS_RELEASE))

    def call(check: bool = False, **params: Any) -> dict[str, Any]:
        arguments = {"kernel_release": "6.1.0-50-amd64", **params, "_ansible_check_mode": check}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            module.main()
        answer: dict[str, Any] = json.loads(capsys.readouterr().out)
        return answer

    return call


@pytest.mark.parametrize("check", [False, True])
def test_plans(call: Call, asked: list[list[str]], check: bool) -> None:
    answer = call(branch="535", check=check)
    assert answer["changed"] is False
    assert answer["plan"]["driver_version"] == "535.261.03"
    assert answer["plan"]["faults"] == []
    assert answer["branches"] == ["535"]
    assert "transaction" not in answer
    assert len(asked) == 3


def test_simulates_the_very_packages_of_the_plan(call: Call, asked: list[list[str]]) -> None:
    answer = call(branch="535", kernel_modules="open", transaction=True)
    assert answer["transaction"]["download_bytes"] == 1_416_736
    assert answer["transaction"]["install"][-1] == {"name": "nvidia-smi", "before": None, "after": "535.261.03-1"}
    assert asked[-1][-len(answer["plan"]["install"]) :] == answer["plan"]["install"]


def test_a_fault_leaves_the_simulation_out(call: Call, asked: list[list[str]]) -> None:
    answer = call(branch="535", kernel_release="5.15.0-lab", transaction=True)
    assert "linux-headers-5.15.0-lab" in answer["plan"]["faults"][0]
    assert "transaction" not in answer
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"branch": "999"}, "branches 535"),
        ({"branch": "535", "version": "535.1.1"}, "versions 535.261.03-1"),
        ({"branch": "535", "module_build": "prebuilt"}, "debian and this source have no pre-built modules"),
        ({"branch": "535", "source": "local"}, "directory"),
        ({"branch": "535", "source": "local", "directory": "/nonexistent"}, "a folder of .deb files"),
        ({"branch": "535", "flavour": "laptop"}, "flavour must be one of"),
        ({}, "branch"),
    ],
)
def test_refuses(call: Call, params: dict[str, Any], words: str) -> None:
    answer = call(**params)
    assert answer["failed"] is True
    assert words in answer["msg"]


def test_os_release(tmp_path: Path) -> None:
    assert read_os_release(str(tmp_path)) == {}
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/os-release").write_text(OS_RELEASE)
    found = read_os_release(str(tmp_path))
    assert (found["NAME"], found["ID"], found["VERSION_ID"]) == ("Debian GNU/Linux", "debian", "12")
