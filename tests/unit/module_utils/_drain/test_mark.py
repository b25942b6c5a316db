"""The mark of our cordon: written, read back, and when it speaks of the cordon that stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._drain import mark
from ansible_collections.t9k.gpu.plugins.module_utils._drain import node as drain_node
from ansible_collections.t9k.gpu.plugins.module_utils._drain.holder import Holder

MARK = mark.Mark(
    Holder("root", "h", 1, 2), "why", 1.5, 2.5, gpus={"nvidia.com/gpu": 8}, paused={"a": "true"}, operands=("n/d",)
)


def node(text: str | None, unschedulable: bool = True, managers: tuple[str, ...] = ("t9k.gpu",)) -> dict[str, Any]:
    owned = [{"manager": name, "fieldsV1": {"f:spec": {"f:unschedulable": {}}}} for name in managers]
    annotations = {} if text is None else {mark.ANNOTATION: text}
    return {"metadata": {"annotations": annotations, "managedFields": owned}, "spec": {"unschedulable": unschedulable}}


def test_read_back_as_written() -> None:
    assert mark.of(node(MARK.text())) == MARK


@pytest.mark.parametrize("text", [None, "", "yes", "{}", "[1]", '{"holder": {}}', '{"holder": null, "operands": []}'])
def test_what_we_did_not_write_is_no_mark(text: str | None) -> None:
    assert mark.of(node(text)) is None
    assert not mark.cordon_is_ours(node(text))


@pytest.mark.parametrize(
    ("found", "ours"),
    [
        pytest.param(node(MARK.text()), True, id="ours"),
        pytest.param(node(MARK.text(), managers=("kubectl",)), False, id="cordoned-again-by-another"),
        pytest.param(node(MARK.text(), managers=()), True, id="server-without-managed-fields"),
        pytest.param(node(MARK.text(), unschedulable=False), False, id="uncordoned"),
        pytest.param(node(replace(MARK, was_cordoned=True).text()), False, id="cordoned-before-us"),
    ],
)
def test_cordon_is_ours(found: dict[str, Any], ours: bool) -> None:
    assert mark.cordon_is_ours(found) is ours
    assert mark.cordon_is_ours(drain_node.counted(found)) is ours
