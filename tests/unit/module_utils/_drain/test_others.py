"""Who else has a hand on a node."""

from __future__ import annotations

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._drain import others


def node(labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None, manager: str = "") -> dict:
    owned = [{"manager": manager, "fieldsV1": {"f:spec": {"f:unschedulable": {}}}}] if manager else []
    return {"metadata": {"labels": labels or {}, "annotations": annotations or {}, "managedFields": owned}, "spec": {}}


@pytest.mark.parametrize(
    ("state", "busy"),
    [("", False), ("upgrade-required", False), ("upgrade-done", False), ("upgrade-failed", False),
     ("cordon-required", True), ("pod-restart-required", True), ("uncordon-required", True)],
)  # fmt: skip
def test_states_of_the_upgrade_controller(state: str, busy: bool) -> None:
    assert (others.at_work(node({others.UPGRADE_STATE: state})) is not None) is busy


def test_quarantine_that_was_lifted_is_none() -> None:
    assert others.at_work(node(annotations={"quarantineHealthEvent": ""})) is None


@pytest.mark.parametrize(
    ("found", "by"),
    [
        (
            node({"k8saas.nvidia.com/cordon-by": "NVSentinel"}, manager="nvs"),
            "NVSentinel (label k8saas.nvidia.com/cordon-by)",
        ),
        (node(manager="kubectl"), "kubectl (its field manager)"),
        (node(), "somebody who left no name"),
    ],
)
def test_cordoned_by(found: dict, by: str) -> None:
    assert others.cordoned_by(found) == by
