"""A switch may come from the command line, where ``-e driver_gate=false`` is a text, and a text is true in a condition.

So every role reads its switches with ``bool``, or hands them as they are to a module, which knows their type.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROLES = sorted((Path(__file__).resolve().parents[3] / "roles").iterdir())


def switches(role: Path) -> list[str]:
    entries = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"].values()
    return sorted({name for entry in entries for name, option in entry["options"].items() if option["type"] == "bool"})


@pytest.mark.parametrize(("role", "switch"), [(role, switch) for role in ROLES for switch in switches(role)])
def test_a_switch_is_read_as_one(role: Path, switch: str) -> None:
    lines = [line for path in role.glob("[tv]a*s/**/*.yml") for line in path.read_text().splitlines()]
    used = [line.strip() for line in lines if re.search(rf"\b{switch}\b", line) and not line.strip().startswith("#")]
    handed_on = re.compile(rf'\w+: "{{{{ {switch} }}}}"')
    assert used
    assert [
        line for line in used if not handed_on.fullmatch(line) and not re.search(rf"\b{switch} \| bool\b", line)
    ] == []
