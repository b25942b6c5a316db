# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say what a plan that disturbs does about GPU work that no drain ends. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.holders import Process
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step

#: How many processes are named.
_SHOWN = 5


def fault(at_work: Sequence[Process], waited_s: int = 0) -> GpuError:
    after = f" after {waited_s} s" if waited_s else ""
    return GpuError(
        "no work on the GPUs but that of pods, since the change would break it",
        f"{_named(at_work)}{after}",
        "/proc/*/fd",
        "end it, or set driver_busy to wait (for driver_busy_timeout seconds) or to ignore",
    )


def step(at_work: Sequence[Process]) -> Step:
    """Return the step that waits; it comes before anything else."""
    return Step("busy", f"work on the GPUs is waited for: {_named(at_work)}")


def _named(at_work: Sequence[Process]) -> str:
    more = f" and {len(at_work) - _SHOWN} more" if len(at_work) > _SHOWN else ""
    return ", ".join(map(str, at_work[:_SHOWN])) + more
