"""``changed`` and ``diff`` come from the same two objects."""

from __future__ import annotations

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._change import Change


@pytest.mark.parametrize(
    ("before", "after", "changed", "shown"),
    [
        (None, None, False, ""),
        (None, "a\n", True, "a\n"),
        ("a\n", None, True, ""),
        ({"b": 1, "a": 2}, {"a": 2, "b": 1}, False, '{\n  "a": 2,\n  "b": 1\n}\n'),
    ],
)
def test_change(before: object, after: object, changed: bool, shown: str) -> None:
    change = Change("x", before, after)
    assert change.changed is changed
    assert change.diff["after"] == shown
    assert change.diff["before_header"] == "x (before)"
