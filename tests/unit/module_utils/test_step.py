from __future__ import annotations

from ansible_collections.t9k.gpu.plugins.module_utils._step import Step


def test_a_step_disturbs_nobody_unless_it_says_what() -> None:
    quiet = Step("hold", "two packages are not held")
    assert quiet.to_dict() == {"name": "hold", "reason": "two packages are not held", "disturbs": "", "data": {}}
    assert Step("reboot", "new kernel module", "every pod of the node").disturbs


def test_the_data_of_one_step_is_not_another_s() -> None:
    assert Step("a", "b").data is not Step("a", "b").data
