# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read what a ClusterPolicy, or a GPUCluster, asks for. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict

Object = Dict[str, Any]


def section(config: Object | None, component: str) -> Mapping[str, Any]:
    """Return a part of the ClusterPolicy's (or GPUCluster's) spec."""
    return ((config or {}).get("spec") or {}).get(component) or {}


def enabled(config: Object | None, component: str, default: bool) -> bool:
    """Tell whether the ClusterPolicy (or GPUCluster) asks for a component."""
    return bool(section(config, component).get("enabled", default))


def uses_driver_crd(policy: Object | None) -> bool:
    """Tell whether the drivers are NVIDIADriver's matter."""
    return bool(section(policy, "driver").get("useNvidiaDriverCRD"))
