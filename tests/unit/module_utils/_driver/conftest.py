"""What tests of this room share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._driver import target as driver_target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Target | GpuError], None]:
    """Decides what comes of asking apt."""

    def set_answer(answer: Target | GpuError) -> None:
        def answered(*_arguments: Any) -> Target:
            if isinstance(answer, GpuError):
                raise answer
            return answer

        monkeypatch.setattr(driver_target, "resolve", answered)

    return set_answer
