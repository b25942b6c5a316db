"""The tables of the driver role, as its tasks hand them to the module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ansible_collections.t9k.gpu.plugins.module_utils._driver.support import Support

VARS = Path(__file__).resolve().parents[2] / "roles/driver/vars/main.yml"


def role_vars() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(VARS.read_text())
    return loaded


def role_support() -> Support:
    return Support.of(role_vars()["__driver_support"])
