"""Stop a run of ansible-playbook at every step of the driver role until the fault runner lets it go on.

Opt-in: it does nothing without the socket that the runner names in T9K_LAB_FAULTS. At the start of each task it says the
step that the task belongs to (the stem of its file below tasks/steps/, else nothing) and the task's name, and waits for an
answer: "before" and "after" a step are exact, however busy the machine is.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import PurePath
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: lab_faults
type: aggregate
short_description: stops a run at every step for the lab's fault runner
description: See the head of the file.
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "lab_faults"
    CALLBACK_NEEDS_ENABLED = True

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        path = PurePath((task.get_path() or "").rpartition(":")[0])
        self._say({"step": path.stem if path.parent.name == "steps" else "", "task": task.get_name()})

    def _say(self, message: dict[str, str]) -> None:
        with socket.socket(socket.AF_UNIX) as runner:
            runner.connect(os.environ["T9K_LAB_FAULTS"])
            runner.sendall(json.dumps(message).encode() + b"\n")
            runner.recv(16)
