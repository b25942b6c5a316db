# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say what a person should know of a node though it fails nothing: kernels without the driver, fixes that a hold keeps away. Pure."""

from __future__ import annotations

from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState


def without_module(state: NodeState) -> str | None:
    """Name installed kernels that would boot without the driver."""
    without = state.kernels.without if state.kernels and state.driver else ()
    return f"Installed kernels without a module of the driver, if booted: {', '.join(without)}." if without else None


def kept_away(state: NodeState) -> str | None:
    """Count the security updates that holds on the driver and its kernel keep away."""
    found = state.security_updates
    if not found:
        return None
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"Holds keep {len(found)} security updates away: {', '.join(str(each) for each in found[:3])}{more}."
