# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wait with an end: the one clock of a drain, which tests can turn by hand."""

from __future__ import annotations

import time
from typing import Callable

POLL_S = 1.0


class Deadline:
    """So many seconds from now."""

    def __init__(
        self, seconds: float, now: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.seconds, self.now, self._sleep = seconds, now, sleep
        self._end = now() + seconds

    @property
    def passed(self) -> bool:
        return self.now() >= self._end

    def pause(self, polls: int = 1) -> None:
        """Sleep between two looks, or as long as ``polls`` of them where a look is dear, and never past the end."""
        self._sleep(max(0.0, min(POLL_S * polls, self._end - self.now())))
