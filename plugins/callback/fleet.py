# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The callback C(t9k.gpu.fleet)."""

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet
author: t9k.gpu maintainers (@t9k)
type: stdout
version_added: 0.2.0
short_description: A rollout as it runs, one line a node
description:
  - On a terminal, shows each node in hand with its step, the seconds in it and since when pods are without it, above a bar of the fleet
    with an estimate. A node that is through leaves one line.
  - Where the output is no terminal, as in CI, says each change of a step in one plain line.
  - Failures, differences and the tables of the playbooks are shown as by P(ansible.builtin.default#callback); the rest is not.
  - The environment variable E(NO_COLOR) takes the colours away.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
options:
  log:
    description: A file on the control host to which each thing that happens is added as one line of JSON.
    type: path
    env:
      - name: T9K_GPU_FLEET_LOG
    ini:
      - section: t9k_gpu_fleet
        key: log
  plain:
    description: Say plain lines on a terminal too.
    type: bool
    default: false
    env:
      - name: T9K_GPU_FLEET_PLAIN
    ini:
      - section: t9k_gpu_fleet
        key: plain
"""

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.callback.default import CallbackModule as Default

from ansible_collections.t9k.gpu.plugins.module_utils._fleet import progress as fleet_progress
from ansible_collections.t9k.gpu.plugins.module_utils._fleet import view
from ansible_collections.t9k.gpu.plugins.module_utils._fleet.progress import DONE, FAILED, LEFT, Event, Progress

#: How often the seconds move.
_TICK_S = 1.0
#: Long messages that playbooks/plan.yml and check mode are for.
_OF_ONE_NODE = ("/roles/driver/tasks/plan.yml", "/roles/driver/tasks/preview.yml")


class CallbackModule(Default):
    """Ansible's way to tell what happens."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "t9k.gpu.fleet"

    def __init__(self) -> None:
        super().__init__()
        self.progress = Progress()
        self.lock = threading.RLock()
        self.drawn = 0
        self.rolling = False
        self.ended = threading.Event()

    def set_options(self, task_keys: Any = None, var_options: Any = None, direct: Any = None) -> None:
        super().set_options(task_keys=task_keys, var_options=var_options, direct=direct)
        self.live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not self.get_option("plain")
        self.colour = (
            "NO_COLOR" not in os.environ
            and not constants.ANSIBLE_NOCOLOR
            and (self.live or constants.ANSIBLE_FORCE_COLOR)
        )
        if self.live:
            threading.Thread(target=self._tick, daemon=True).start()

    # What is on the screen

    def _write(self, text: str) -> None:
        """Pass by Python's buffer, whose lock a process that is forked meanwhile would never see opened."""
        sys.stdout.flush()
        os.write(sys.stdout.fileno(), text.encode(sys.stdout.encoding or "utf-8", "replace"))

    def _draw(self) -> None:
        size = shutil.get_terminal_size()
        lines = view.picture(self.progress, time.time(), size.columns, size.lines, self.colour)
        self._write(view.over(self.drawn, lines))
        self.drawn = len(lines)

    def _clear(self) -> None:
        if self.drawn:
            self._write(view.over(self.drawn, []))
            self.drawn = 0

    def _tick(self) -> None:
        while not self.ended.wait(_TICK_S):
            with self.lock:
                if self.rolling and self.progress.nodes:
                    self._draw()

    def _above(self, show: Any, *words: Any, **named: Any) -> None:
        """Let something be said that stays, above what is drawn."""
        with self.lock:
            self._clear()
            show(*words, **named)
            if self.live and self.rolling and self.progress.nodes:
                self._draw()

    def _told(self, event: Event) -> None:
        if event is None:
            return
        now = time.time()
        if not self.live or event["event"] in (DONE, FAILED, LEFT):
            self._above(self._display.display, view.line(event, self.progress, now, self.colour))
        elif self.rolling:
            with self.lock:
                self._draw()
        if self.get_option("log"):
            at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
            with Path(self.get_option("log")).expanduser().open("a", encoding="utf-8") as log:
                log.write(json.dumps({"at": at, **event}) + "\n")

    # What Ansible tells

    def v2_playbook_on_play_start(self, play: Any) -> None:
        with self.lock:
            self._clear()
            self.rolling = str(play.strategy).endswith("host_pinned")
        super().v2_playbook_on_play_start(play)

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        step = fleet_progress.step_of(task.get_path() or "") if self.rolling else None
        if step:
            self._told(self.progress.step(host.get_name(), step, time.time()))

    def v2_runner_on_ok(self, result: Any) -> None:
        told, path = result.result, result.task.get_path() or ""
        if str(told.get("add_group", "")) == "t9k_gpu_changes":
            self.progress.total += 1
        if self.rolling:
            self._node(result, told, path)
        if self._worth_showing(result, path):
            self._above(super().v2_runner_on_ok, result)
        elif told.get("warnings"):
            self._above(self._handle_warnings_and_exception, result)

    def _node(self, result: Any, told: Any, path: str) -> None:
        """Look at what a task of a rollout says of its node."""
        name, now, facts = result.host.get_name(), time.time(), told.get("ansible_facts") or {}
        if isinstance(told.get("since"), float):
            self._told(self.progress.away(name, told["since"]))
        if told.get("away_s") is not None and told.get("node") == "takes pods":
            self._told(self.progress.away(name, None))
        if "__driver_failed" in facts:
            self._told(self.progress.end(name, FAILED, now, str(facts["__driver_failed"])))
        elif "__driver_left" in facts:
            self._told(self.progress.end(name, LEFT, now))
        elif "/roles/driver/tasks/report.yml" in path and result.task.action.endswith("assert"):
            self._told(self.progress.end(name, DONE, now))

    def _worth_showing(self, result: Any, path: str) -> bool:
        if result.task.action not in ("debug", "ansible.builtin.debug"):
            return False
        if self.rolling and "/roles/driver/tasks/report.yml" in path:
            return False  # the node's row of the fleet's table
        return bool(result.task.check_mode) or not any(file in path for file in _OF_ONE_NODE)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._above(super().v2_runner_on_failed, result, ignore_errors=ignore_errors)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._above(super().v2_runner_on_unreachable, result)
        if self.rolling and not result.task.ignore_unreachable:
            self._told(self.progress.end(result.host.get_name(), FAILED, time.time(), "unreachable"))

    def v2_on_file_diff(self, result: Any) -> None:
        self._above(super().v2_on_file_diff, result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        self.ended.set()
        self._above(super().v2_playbook_on_stats, stats)

    def v2_runner_on_skipped(self, result: Any) -> None:
        """Say nothing."""

    def _task_start(self, task: Any, prefix: Any = None) -> None:
        """Say nothing, but know the task's name for when it fails."""
        if prefix is not None:
            self._task_type_cache[task._uuid] = prefix
        self._last_task_name = None

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """Say nothing."""

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """Say nothing."""

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        """Say nothing."""

    def v2_playbook_on_no_hosts_matched(self) -> None:
        """Say nothing: a rollout without canaries, or with nothing to do, has such a play."""
