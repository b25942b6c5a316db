"""The reference is what the code says, and its examples are what the roles take."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from tests import reference

VARIABLES = [(role, name) for role in reference.ROLES for name in reference.variables(role)]


def test_the_page_is_the_codes() -> None:
    assert reference.PAGE.read_text() == reference.page(), "run ./dev reference"


@pytest.mark.parametrize(("role", "name"), VARIABLES)
def test_the_example_is_one(role: str, name: str) -> None:
    """Not empty, since that shows nothing, and taken by the role."""
    options = reference.variables(role)
    shown = yaml.safe_load(reference.flat(reference.example(name, options[name], reference.in_inventories())))
    assert shown not in (None, "", [], {}), "give it an example in tests/reference.py"
    assert ArgumentSpecValidator({name: options[name]}).validate({name: shown}).error_messages == []


def test_every_role_is_in_it() -> None:
    roles = {path.parents[1].name for path in reference.ROOT.glob("roles/*/meta/argument_specs.yml")}
    assert roles == set(reference.ROLES)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a C(b) c", "a `b` c"),
        (["As O(x=1).", "See M(t9k.gpu.y)."], "As `x=1`. See `t9k.gpu.y`."),
        ("P(t9k.gpu.y#filter) | z", "`t9k.gpu.y` \\| z"),
    ],
)
def test_prose(text: Any, line: str) -> None:
    assert reference.prose(text) == line
