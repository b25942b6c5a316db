# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Run the module of the same name in slices, since a module cannot speak while it runs, and tell the rest."""

from __future__ import annotations

import math
import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.t9k.gpu.plugins.module_utils._operator.waits import Progress

MODULE = "t9k.gpu.gpu_operator_readiness"
SLICE_S, LONGEST_SLICE_S = 15, 120
#: Each slice lists all nodes once: on a large cluster it should be long against that.
_TIMES = 30
_SHOWN = 4

display = Display()


def told(summary: list[str]) -> str:
    more = f"; and {len(summary) - _SHOWN} more" if len(summary) > _SHOWN else ""
    return "; ".join(summary[:_SHOWN]) + more


class ActionModule(ActionBase):
    """Counts the seconds without progress: what gets better, however slowly, is waited for."""

    _supports_check_mode = True

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        patience, progress = int(arguments.get("timeout", 900)), Progress()
        start = last = time.monotonic()
        said, slice_s = "", float(SLICE_S)
        while True:
            left = patience - (time.monotonic() - last)
            asked = {**arguments, **_slice(patience, left, bool(arguments.get("fail_on_timeout", True)), slice_s)}
            result = self._execute_module(module_name=MODULE, module_args=asked, task_vars=task_vars)
            if left <= 0 or result.get("failed") or result.get("ready"):
                break
            slice_s = min(LONGEST_SLICE_S, max(SLICE_S, _TIMES * result["listed_s"]))
            if progress.made(result["waiting"]):
                last = time.monotonic()
            if told(result["summary"]) != said:
                said = told(result["summary"])
                display.display(f"waiting for {said}", color="dark gray")
        if "waited_s" in result:
            result["waited_s"] = round(time.monotonic() - start, 1)
        return result


def _slice(patience: int, left: float, fail: bool, longest_s: float) -> dict[str, Any]:
    """Return the arguments of one slice; the last one only looks, and may fail."""
    slice_s = max(0, math.ceil(min(left, longest_s)))
    return {"timeout": slice_s, "already_waited": patience - slice_s, "fail_on_timeout": fail and left <= 0}
