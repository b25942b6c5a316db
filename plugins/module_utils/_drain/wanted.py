# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say how a node shall be emptied: the module's options as one frozen value. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Of every module that empties nodes; documented in the fragment ``t9k.gpu.drain``.
ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    "force": {"type": "bool", "default": False},
    "grace_period": {"type": "int", "default": -1},
    "hold": {"type": "int", "default": 7200},
    "budget_timeout": {"type": "int", "default": 21600},
    "known_gpu_nodes": {"type": "list", "elements": "str", "default": []},
    "namespace": {"type": "str", "default": "t9k-gpu"},
}


@dataclass(frozen=True)
class Wanted:
    """What may go, and what must not. The words are those of ``kubectl drain``."""

    mode: str = "all"
    force: bool = False
    ignore_daemonsets: bool = True
    delete_emptydir_data: bool = True
    grace_period: int = -1
    #: Whether the GPU Operator's operands go too; the MIG manager, which is one of them, sees to the others itself.
    operands: bool = True

    @classmethod
    def of(cls, params: dict[str, Any]) -> Wanted:
        """Take the fields from module parameters; unknown keys are the module's own business."""
        return cls(**{key: params[key] for key in cls.__dataclass_fields__ if params.get(key) is not None})
