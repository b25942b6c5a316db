# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters of the role gpu_operator: text that helm rendered → objects."""

from __future__ import annotations

from typing import Any, Callable

from ansible_collections.t9k.gpu.plugins.module_utils._operator.manifests import marked_crds, render


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"marked_crds": marked_crds, "operator_render": render}
