# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell which Node a host of the inventory is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def node_of(variables: Mapping[str, Any], host: str) -> str:
    """Return the name that a host has in the cluster: the role's own word, that for all roles, else its name in the inventory.

    ``variables`` are those of the inventory and of the run (``hostvars``); the defaults of roles are not among them.
    """
    return str(variables.get("driver_node_name") or variables.get("gpu_node_name") or host)
