# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make a node's state the one dictionary that the terminal table and the report page are made from. Pure.

The keys are those of docs/report.md.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._driver import installed
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import health as nvidia_health
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import Fault


def summary(state: NodeState, reboot_pending: str | None, health: tuple[Fault, ...]) -> dict[str, Any]:
    """Return the node in the report's words. ``reboot_pending``: the reason, or None."""
    unseen = [{"pci_address": gpu.address} for gpu in nvidia_health.unseen(state.pci, state.smi.gpus)]
    return {
        "os": state.system.os_name,
        "kernel": state.system.kernel_release,
        "driver": {
            "installed_version": state.driver.driver_version if state.driver else None,
            "loaded_version": state.kernel_module.version,
            "kernel_modules": state.kernel_module.kernel_modules
            or (state.driver.kernel_modules if state.driver else None),
            "module_build": state.driver.module_build if state.driver else None,
            "gsp_enabled": _shared([gpu.gsp_enabled for gpu in state.smi.gpus]),
            "persistence_enabled": _shared([gpu.persistence_enabled for gpu in state.smi.gpus]),
            "held_packages": _held(state),
            "reboot_pending": reboot_pending is not None,
            "reboot_reason": reboot_pending,
            "boot_id": state.system.boot_id,
        },
        "gpus": [*(gpu.to_dict() for gpu in state.smi.gpus), *unseen],
        "health": [fault.to_dict() for fault in health],
        "problems": [str(fault) for fault in health],
    }


def _held(state: NodeState) -> list[str]:
    """Return what is held of the driver and for it: other holds, of CUDA's libraries say, are somebody else's."""
    ours = set(installed.hold_set(state.packages, state.system.kernel_release))
    return sorted(package.name for package in state.packages if package.held and package.label in ours)


def _shared(values: list[bool | None]) -> bool | None:
    known = [value for value in values if value is not None]
    return all(known) if known else None
