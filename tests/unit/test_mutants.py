"""The tool that asks whether tests would notice: which tests it runs, and what it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import mutants

ROOT = Path(__file__).parents[2]


def test_what_is_counted() -> None:
    ends = ("killed", "timeout", "survived", "no tests", "suspicious", "not checked")
    lines = [f"    a.x_f__mutmut_{number}: {end}" for number, end in enumerate(ends)]
    counted, unnoticed = mutants.outcome(["noise", *lines])
    assert dict(counted) == dict.fromkeys(ends[:-1], 1)  # what was not tried is no success
    assert unnoticed == ["a.x_f__mutmut_2", "a.x_f__mutmut_3", "a.x_f__mutmut_4"]


@pytest.mark.parametrize(
    ("util", "expected"),
    [
        ("_driver/proof.py", {"module_utils/_driver/test_proof.py", "module_utils/_driver/test_before.py"}),
        (
            "_operator/plan.py",
            {"module_utils/_operator/test_plan_steps.py", "module_utils/_operator/test_plan_settles.py"},
        ),
        ("_step.py", {"module_utils/_driver/test_plan.py"}),
    ],
)
def test_the_tests_of_a_utility_are_its_rooms_and_those_that_import_it(util: str, expected: set[str]) -> None:
    found = mutants.tests_of(ROOT, Path("plugins/module_utils") / util)
    assert expected <= {str(path.relative_to(ROOT / "tests/unit")) for path in found}
