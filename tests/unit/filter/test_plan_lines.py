"""A plan as a person reads it."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.filter.plan_lines import FilterModule, plan_lines

EMPTY: dict[str, Any] = {
    "has_gpu": True, "steps": [], "faults": [], "warnings_found": [], "reboot_pending": None,
}  # fmt: skip
STEP = {"name": "hold", "reason": "not held: libcuda1", "disturbs": "", "data": {}}


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ({"has_gpu": False, "steps": []}, ["skipped: no NVIDIA GPU on the PCI bus"]),
        (EMPTY, ["nothing to be done"]),
        ({"steps": []}, ["nothing to be done"]),
        ({**EMPTY, "steps": [STEP, {**STEP, "name": "reboot", "reason": "why"}]}, ["hold: not held: libcuda1", "reboot: why"]),
        ({**EMPTY, "reboot_pending": "why"}, ["nothing to be done", "reboot pending: why"]),
        (
            {**EMPTY, "steps": [{**STEP, "disturbs": "every pod"}]},
            ["hold: not held: libcuda1 (disturbs: every pod)"],
        ),
        ({**EMPTY, "steps": [STEP], "warnings_found": ["old"]}, ["hold: not held: libcuda1", "note: old"]),
        ({**EMPTY, "faults": ["no room", "no key"]}, ["cannot be done: no room", "cannot be done: no key"]),
    ],
)  # fmt: skip
def test_lines(plan: dict[str, Any], expected: list[str]) -> None:
    assert plan_lines(plan) == expected


def test_the_filters_name() -> None:
    assert FilterModule().filters() == {"plan_lines": plan_lines}
