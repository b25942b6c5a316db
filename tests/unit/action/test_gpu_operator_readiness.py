"""The slices: seconds are counted from the last progress, and the last look is the one that may fail."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from ansible_collections.t9k.gpu.plugins.action import gpu_operator_readiness as subject


def play(
    monkeypatch: pytest.MonkeyPatch, missing: list[int], listed_s: float = 0.1, **arguments: Any
) -> tuple[dict[str, Any], list[Any]]:
    """Each slice takes its whole time and then finds so much missing; 0 is ready."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(subject, "time", SimpleNamespace(monotonic=lambda: clock.now))
    asked: list[Any] = []

    def module(module_args: dict[str, Any], **_more: Any) -> dict[str, Any]:
        asked.append(module_args)
        clock.now += module_args["timeout"]
        left = missing[min(len(asked), len(missing)) - 1]
        waiting = [{"kind": "DaemonSet", "name": "x", "missing": left}] if left else []
        failed = {"failed": True} if left and module_args["fail_on_timeout"] else {}
        return {
            "ready": not left,
            "waiting": waiting,
            "summary": [str(left)],
            "waited_s": 0,
            "listed_s": listed_s,
            **failed,
        }

    task = MagicMock(args=arguments, async_val=0)
    action = subject.ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._execute_module = module
    monkeypatch.setattr(subject.ActionBase, "run", lambda *_a: {})
    return action.run(task_vars={}), asked


def test_what_gets_better_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ninety seconds in all, though the patience is thirty."""
    result, asked = play(monkeypatch, [60, 50, 40, 30, 20, 0], timeout=30)
    assert result["ready"] and [each["timeout"] for each in asked] == [15] * 6
    assert result["waited_s"] == 90


def test_what_does_not_get_better_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    result, asked = play(monkeypatch, [60, 50, 50], timeout=30)
    assert result["failed"]
    assert [(each["timeout"], each["fail_on_timeout"]) for each in asked] == [(15, False)] * 4 + [(0, True)]


def test_a_look_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    result, asked = play(monkeypatch, [1], timeout=0, fail_on_timeout=False)
    assert not result["ready"] and "failed" not in result and len(asked) == 1


def test_slices_are_long_where_a_list_of_nodes_is(monkeypatch: pytest.MonkeyPatch) -> None:
    _result, asked = play(monkeypatch, [60, 50, 0], listed_s=3.0, timeout=900)
    assert [each["timeout"] for each in asked] == [15, 90, 90]
    _result, asked = play(monkeypatch, [60, 50, 0], listed_s=30.0, timeout=900)
    assert [each["timeout"] for each in asked] == [15, 120, 120]
