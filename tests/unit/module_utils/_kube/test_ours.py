"""Objects of ours, those of 0.1.0 among them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._kube.ours import is_ours, note

NOTES = [
    ({"gpu.t9k.io/chart-version": "26.7.0"}, "26.7.0"),
    ({"t9k.gpu/chart-version": "25.10.1"}, "25.10.1"),
    ({"t9k.gpu/chart-version": "25.10.1", "gpu.t9k.io/chart-version": "26.7.0"}, "26.7.0"),
    ({"example.com/chart-version": "1"}, None),
    (None, None),
]


@pytest.mark.parametrize(("annotations", "expected"), NOTES)
def test_note(annotations: dict[str, str] | None, expected: str | None) -> None:
    assert note({"metadata": {"annotations": annotations}}, "chart-version") == expected


OURS = [
    ({"app.kubernetes.io/managed-by": "t9k.gpu", "more": "x"}, True),
    ({"app.kubernetes.io/managed-by": "Helm"}, False),
    (None, False),
]


@pytest.mark.parametrize(("labels", "expected"), OURS)
def test_is_ours(labels: Any, expected: bool) -> None:
    assert is_ours({"metadata": {"labels": labels}}) is expected
