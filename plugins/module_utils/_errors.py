# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Define the one exception of the collection."""

from __future__ import annotations


class GpuError(Exception):
    """A fault a person must act on.

    ``wanted``     what was asked for
    ``found``      what was there instead
    ``where``      the file, command or object that says so
    ``next_step``  what to do about it

    Only the modules' ``main`` turn it into ``fail_json(msg=str(error))``.
    """

    def __init__(self, wanted: str, found: str, where: str, next_step: str) -> None:
        super().__init__(wanted, found, where, next_step)
        self.wanted = wanted
        self.found = found
        self.where = where
        self.next_step = next_step

    def __str__(self) -> str:
        return f"Wanted: {self.wanted}. Found: {self.found} ({self.where}). Next: {self.next_step}."
