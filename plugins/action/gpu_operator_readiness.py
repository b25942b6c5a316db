# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the module of the same name in slices, since a module cannot speak while it runs, and tell the rest."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

MODULE = "t9k.gpu.gpu_operator_readiness"
SLICE_S = 15
_SHOWN = 4

display = Display()


def told(summary: list[str]) -> str:
    more = f"; and {len(summary) - _SHOWN} more" if len(summary) > _SHOWN else ""
    return "; ".join(summary[:_SHOWN]) + more


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        start, total, said = time.monotonic(), int(arguments.get("timeout", 900)), ""
        while True:
            left = total - (time.monotonic() - start)
            final = left <= SLICE_S
            slice_s = max(0, int(min(left, SLICE_S)))
            asked = {**arguments, "timeout": slice_s, "already_waited": total - slice_s}
            if not final:
                asked["fail_on_timeout"] = False
            result = self._execute_module(module_name=MODULE, module_args=asked, task_vars=task_vars)
            if final or result.get("failed") or result.get("ready"):
                break
            if told(result["summary"]) != said:
                said = told(result["summary"])
                display.display(f"waiting for {said}", color="dark gray")
        if "waited_s" in result:
            result["waited_s"] = round(time.monotonic() - start, 1)
        return result
