"""The operator's deploy labels, paused and resumed in its own words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.t9k.gpu.plugins.module_utils._drain import operands

PAUSED = operands.PAUSED


@pytest.mark.parametrize(
    ("name", "value", "paused"),
    [
        ("device-plugin", "true", PAUSED),
        ("mig-manager", "custom", f"custom_{PAUSED}"),
        ("device-plugin", "false", None),
        ("device-plugin", PAUSED, None),
        ("driver", "true", None),
        ("operands", "true", None),
    ],
)
def test_pause(name: str, value: str, paused: str | None) -> None:
    label = operands.DEPLOY + name
    assert operands.to_pause({label: value, "other": "true"}) == ([{label: paused}] if paused else [])


def test_the_plugin_that_serves_claims_goes_last() -> None:
    labels = {f"{operands.DEPLOY}{name}": "true" for name in ("dra-driver", "dra-validator")}
    assert [list(change) for change in operands.to_pause(labels)] == [
        [f"{operands.DEPLOY}dra-validator"],
        [f"{operands.DEPLOY}dra-driver"],
    ]


def test_a_label_that_somebody_changed_meanwhile_stays() -> None:
    label = f"{operands.DEPLOY}dcgm"
    assert operands.to_resume({label: "false"}, {label: "true"}) == {}
    assert operands.to_resume({}, {label: "true"}) == {}


@given(
    st.dictionaries(
        st.sampled_from(["dcgm", "device-plugin", "dra-driver", "driver", "operands"]),
        st.sampled_from(["true", "false", "x", ""]),
    )
)
def test_what_was_paused_comes_back_and_nothing_else_changes(values: dict[str, str]) -> None:
    labels = {operands.DEPLOY + name: value for name, value in values.items()}
    after, former = dict(labels), {}
    for change in operands.to_pause(labels):
        former.update({key: labels[key] for key in change})
        after.update(change)
    assert {**after, **operands.to_resume(after, former)} == labels
