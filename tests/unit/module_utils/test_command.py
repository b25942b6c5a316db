"""Commands run for real through a module of Ansible: locale, limits, and what is left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.t9k.gpu.plugins.module_utils import _command
from ansible_collections.t9k.gpu.plugins.module_utils._command import NOT_FOUND, TIMED_OUT, Run, runner


@pytest.fixture
def run() -> Iterator[Run]:
    with patch_module_args({}):
        yield runner(AnsibleModule(argument_spec={}))


def test_programs_speak_the_c_locale_and_ask_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LC_ALL": "de_DE.UTF-8", "LANGUAGE": "de", "DEBIAN_FRONTEND": "dialog"}.items():
        monkeypatch.setenv(name, value)
    seen = dict(line.split("=", 1) for line in run(["env"]).stdout.splitlines() if "=" in line)
    assert {name: seen[name] for name in ("LC_ALL", "LANGUAGE", "DEBIAN_FRONTEND")} == {
        "LC_ALL": "C",
        "LANGUAGE": "C",
        "DEBIAN_FRONTEND": "noninteractive",
    }


def test_a_missing_program_is_a_result(run: Run) -> None:
    result = run(["t9k-gpu-no-such-program", "x"])
    assert (result.rc, result.missing, result.ok) == (NOT_FOUND, True, False)


def test_stdin_reaches_the_program(run: Run) -> None:
    assert run(["cat"], stdin="a\nb\n").stdout == "a\nb\n"


def test_a_program_that_ends_without_reading_its_input_is_heard(run: Run) -> None:
    """A dpkg that finds its lock taken reads nothing; the module has to see which words it said."""
    before = os.fstat(0)[1:3]  # file and file system
    result = run(["ls", "/nonexistent"], stdin="bash hold\n" * 100_000)
    assert (result.rc, "No such file" in result.stderr) == (2, True)
    assert os.fstat(0)[1:3] == before, "the module's own input is as it was"


def test_a_program_that_takes_too_long_is_ended(run: Run) -> None:
    result = run(["sleep", "30"], timeout_s=1)
    assert (result.rc, result.timed_out) == (TIMED_OUT, True)


@pytest.mark.parametrize("timeout_s", [5, None])
def test_the_alarm_of_others_is_as_it_was(run: Run, timeout_s: int | None) -> None:
    """ansible-core 2.19 keeps a task's ``timeout`` by SIGALRM as well."""

    def somebody_elses(_number: int, _frame: object) -> None:
        raise AssertionError

    before = signal.signal(signal.SIGALRM, somebody_elses)
    try:
        assert run(["true"], timeout_s=timeout_s).ok
        assert signal.getsignal(signal.SIGALRM) is somebody_elses
        assert signal.alarm(0) == 0
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_program_that_outlives_sigkill_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """``nvidia-smi`` on a hung driver waits inside the kernel, and ``timeout`` waits for it."""
    monkeypatch.setattr(_command, "KILL_AFTER_S", 0)
    monkeypatch.setattr(_command, "GIVE_UP_AFTER_S", 0)
    module = SimpleNamespace(get_bin_path=lambda name: f"/bin/{name}", run_command=lambda *_a, **_k: signal.pause())
    result = runner(module)(["nvidia-smi"], timeout_s=1)  # type: ignore[arg-type]
    assert (result.rc, result.timed_out) == (TIMED_OUT, True)
    assert "waits inside the kernel" in result.stderr
