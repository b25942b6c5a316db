"""The callback, told what Ansible would tell it of a rollout: plain lines, a terminal, the log."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.executor.task_result import CallbackTaskResult
from ansible.inventory.host import Host
from ansible.plugins.loader import callback_loader

ROLE = "/c/t9k/gpu/roles/driver/tasks"


def task(file: str, action: str = "ansible.builtin.command", **more: Any) -> Any:
    fields = {
        "check_mode": False,
        "no_log": False,
        "loop": None,
        "delegate_to": None,
        "ignore_unreachable": False,
        "_uuid": file,
        **more,
    }
    return SimpleNamespace(action=action, get_path=lambda: f"{file}:1", get_name=lambda: f"task of {file}", **fields)


def result(of: str, task: Any, **told: Any) -> CallbackTaskResult:
    """As the installed ansible-core makes it: from 2.21 on of an object, before of a mapping."""
    try:
        from ansible._internal._task import UnifiedTaskResult
    except ImportError:
        return CallbackTaskResult(Host(of), task, told, {"name": task.get_name()})
    return CallbackTaskResult(Host(of), task, UnifiedTaskResult.from_action_result_dict(told))


class Rollout:
    """Plays to the callback what happens."""

    def __init__(self, callback: Any) -> None:
        self.callback = callback

    def play(self, strategy: str = "ansible.builtin.host_pinned") -> None:
        named = SimpleNamespace(strategy=strategy, check_mode=False, get_name=lambda: f"a {strategy} play")
        self.callback.v2_playbook_on_play_start(named)

    def ok(self, of: str, file: str, action: str = "ansible.builtin.command", **told: Any) -> None:
        begun = task(f"{ROLE}/{file}", action)
        self.callback.v2_runner_on_start(Host(of), begun)
        self.callback.v2_runner_on_ok(result(of, begun, **told))

    def change(self, node: str) -> None:
        self.ok(node, "steps/drain.yml", since=1.0)
        self.ok(node, "steps/install.yml")
        self.ok(node, "plan.yml", "ansible.builtin.debug", msg="a long plan")
        self.ok(node, "steps/uncordon.yml", away_s=9, node="takes pods")
        self.ok(node, "report.yml", "ansible.builtin.debug", msg="a row")
        self.ok(node, "report.yml", "ansible.builtin.assert")


@pytest.fixture
def rollout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, capfd: Any) -> Rollout:
    monkeypatch.setenv("T9K_GPU_FLEET_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("NO_COLOR", "1")
    if getattr(request, "param", "plain") == "live":
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "60")
    callback = callback_loader.get("t9k.gpu.fleet")
    callback.set_options()
    request.addfinalizer(callback.ended.set)
    played = Rollout(callback)
    played.play("linear")
    for node in ("a", "b"):
        played.ok(node, "x.yml", "ansible.builtin.group_by", add_group="t9k_gpu_changes")
    played.play()
    return played


def said(capfd: Any) -> list[str]:
    return [re.sub(r"^\[\d+:\d\d\] ", "", line) for line in capfd.readouterr().out.splitlines() if line]


def test_plain_lines(rollout: Rollout, capfd: Any) -> None:
    rollout.change("a")
    lines = said(capfd)
    assert lines[-6:] == [
        "a: drain",
        "a: pods are without it now",
        "a: install (drain took 0:00)",
        "a: uncordon (install took 0:00)",
        "a: takes pods again",
        "a: done after 0:00 (1 of 2)",
    ]
    assert not any("\x1b" in line or "a long plan" in line or "a row" in line for line in lines)


def test_what_failed_and_what_was_left(rollout: Rollout, capfd: Any) -> None:
    rollout.ok("a", "steps/reboot.yml")
    rollout.callback.v2_runner_on_failed(result("a", task(f"{ROLE}/steps/reboot.yml"), msg="it did not come back"))
    rollout.ok("a", "one_of_many.yml", "set_fact", ansible_facts={"__driver_failed": "no answer"})
    rollout.ok("b", "one_of_many.yml", "set_fact", ansible_facts={"__driver_left": "stopped"})
    everything = capfd.readouterr()
    assert "it did not come back" in everything.out + everything.err
    assert "a: failed after 0:00 (1 of 2): no answer" in everything.out
    assert "b: left (2 of 2)" in everything.out


def test_a_node_that_cannot_be_reached(rollout: Rollout, capfd: Any) -> None:
    rollout.ok("a", "steps/reboot.yml")
    forgiven = task(f"{ROLE}/history.yml", ignore_unreachable=True)
    rollout.callback.v2_runner_on_unreachable(result("a", forgiven, msg="no route"))
    assert "a: failed" not in capfd.readouterr().out
    rollout.callback.v2_runner_on_unreachable(result("a", task(f"{ROLE}/prove.yml"), msg="no route"))
    assert "a: failed after 0:00 (1 of 2): unreachable" in capfd.readouterr().out


def test_the_tables_of_other_plays_are_shown(rollout: Rollout, capfd: Any) -> None:
    rollout.play("linear")
    rollout.ok("a", "fleet.yml", "ansible.builtin.debug", msg="the fleet", _ansible_verbose_always=True)
    rollout.ok("a", "plan.yml", "ansible.builtin.debug", msg="a long plan", _ansible_verbose_always=True)
    shown = capfd.readouterr().out
    assert "the fleet" in shown and "a long plan" not in shown


@pytest.mark.parametrize("rollout", ["live"], indirect=True)
def test_a_terminal(rollout: Rollout, capfd: Any) -> None:
    rollout.ok("a", "steps/drain.yml", since=1.0)
    drawn = capfd.readouterr().out
    assert "a     drain" in drawn and "0/2 done, 1 at work" in drawn and "a: drain" not in drawn
    rollout.change("b")
    after = capfd.readouterr().out
    assert after.startswith("\x1b[2A\r\x1b[J")  # over the node and the bar
    assert "b: done after 0:00 (1 of 2)\n" in after
    assert max(len(re.sub(r"\x1b\[\d*[AJ]|\r", "", line)) for line in after.splitlines()) < 60


def test_the_log(rollout: Rollout, tmp_path: Path) -> None:
    rollout.change("a")
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [event["event"] for event in events] == ["step", "away", "step", "step", "back", "done"]
    assert events[2] == {
        "at": events[2]["at"],
        "event": "step",
        "node": "a",
        "step": "install",
        "after": "drain",
        "took": 0.0,
    }


def test_the_steps_are_where_the_callback_looks_for_them() -> None:
    tasks = Path(__file__).resolve().parents[3] / "roles/driver/tasks"
    for name in (
        "steps/drain.yml",
        "steps/uncordon.yml",
        "prove.yml",
        "compute.yml",
        "rollback.yml",
        "report.yml",
        "plan.yml",
    ):
        assert (tasks / name).exists()
    assert "__driver_failed:" in (tasks / "one_of_many.yml").read_text()
    assert "__driver_left:" in (tasks / "one_of_many.yml").read_text()
