# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the module of the same name, unless the play would run the role for several hosts at once.

The strategies ``free`` and ``host_pinned`` run a task with ``run_once`` for every host (ansible-core warns of it: "not currently
supported"). Two helms, and two plans that each know nothing of the other's steps, must not work on one cluster.
"""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

MODULE = "t9k.gpu.gpu_operator_plan"
#: Names of the strategies that let every host go its own way.
_EACH_FOR_ITSELF = ("free", "host_pinned")


def twice(strategy: str, run_once: bool, hosts: list[str]) -> str:
    """Say why the role would run more than once; "" if it runs once."""
    if not run_once or len(hosts) < 2 or strategy.rpartition(".")[2] not in _EACH_FOR_ITSELF:
        return ""
    found = f"strategy {strategy}, which runs it for each of {len(hosts)} hosts at once"
    return str(GpuError("to work on the cluster once", found, "the play", "give the play strategy: linear"))


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        strategy = str(getattr(getattr(self._task, "play", None), "strategy", "linear"))
        refused = twice(strategy, bool(self._task.run_once), list((task_vars or {}).get("ansible_play_hosts") or []))
        if refused:
            return {**result, "failed": True, "msg": refused}
        found: dict[str, Any] = self._execute_module(
            module_name=MODULE, module_args=self._task.args, task_vars=task_vars
        )
        return {**result, **found}
