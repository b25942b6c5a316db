# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Say what a node's driver should be: the parameters of ``nvidia_driver_plan`` as one frozen value. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: Which kind of a driver is meant, as plugins/doc_fragments/driver.py documents it.
ARGUMENT_SPEC: dict[str, Any] = {
    "flavour": {"type": "str", "choices": ["server", "desktop"], "default": "server"},
    "libraries": {"type": "str", "choices": ["compute", "graphics"], "default": "graphics"},
    "module_build": {"type": "str", "choices": ["auto", "prebuilt", "dkms"], "default": "auto"},
    "headers": {"type": "str", "choices": ["required", "ignore"], "default": "required"},
}


@dataclass(frozen=True)
class Source:
    """Where packages come from. ``kind``: distribution, cuda, mirror or local."""

    kind: str = "distribution"
    uris: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    signed_by: str | None = None  # a key file on the node
    directory: str | None = None  # of .deb files on the node, kind local only


@dataclass(frozen=True)
class Wanted:
    """One node's wanted state. Empty ``branch`` and ``version``: keep what is installed, else the OS table's branch."""

    state: str = "present"
    branch: str | None = None
    version: str | None = None
    flavour: str = "server"
    libraries: str = "graphics"
    kernel_modules: str = "auto"
    module_build: str = "auto"
    source: Source = Source()
    hold: bool = True
    pin: bool = False
    unattended_exclusion: bool = False
    blacklist: bool = True
    persistence: bool = True
    gsp: str = "auto"
    mig: bool = False
    vgpu: bool = False
    fabric_manager: str = "auto"
    headers: str = "required"
    may_remove: tuple[str, ...] = ()
    reboot: str = "auto"
    drain: str = "auto"
    busy: str = "refuse"  # or wait, or ignore: of GPU work that is no pod's
    rollback: str = "auto"  # required: refuse a change without a way back; never: keep nothing for one
    back: bool = False  # to what was there before a change that failed
    gpus_expected: int = 0  # 0: as many as there are

    @classmethod
    def of(cls, params: dict[str, Any]) -> Wanted:
        """Take it from module parameters; unknown keys are the module's own business."""
        given = params.get("source") or {}
        source: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in given.items() if value is not None
        }
        plain: dict[str, Any] = {
            key: tuple(params[key]) if isinstance(params[key], list) else params[key]
            for key in cls.__dataclass_fields__
            if key != "source" and params.get(key) is not None
        }
        return cls(source=Source(**source), **plain)
