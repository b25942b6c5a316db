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
_SOURCE: dict[str, Any] = {
    "kind": {"type": "str", "choices": ["distribution", "cuda", "mirror", "local"], "default": "distribution"},
    "uris": {"type": "list", "elements": "str", "no_log": True},  # what of it is hidden: _debian/login.py
    "suites": {"type": "list", "elements": "str"},
    "components": {"type": "list", "elements": "str"},
    "signed_by": {"type": "str", "no_log": True},
    "directory": {"type": "path"},
}
_SOURCE_NEEDS = [
    ("kind", "cuda", ["uris", "suites"]),
    ("kind", "mirror", ["uris", "suites"]),
    ("kind", "local", ["directory"]),
]
#: All that is wanted of a node, as ``nvidia_driver_plan`` documents it.
NODE_ARGUMENTS: dict[str, Any] = {
    **ARGUMENT_SPEC,
    "version": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "branch": {"type": "str"},
    "kernel_modules": {"type": "str", "choices": ["auto", "open", "proprietary"], "default": "auto"},
    "kernel": {"type": "str", "choices": ["hold", "follow"], "default": "hold"},
    "source": {"type": "dict", "options": _SOURCE, "required_if": _SOURCE_NEEDS},
    "hold": {"type": "bool", "default": True},
    "pin": {"type": "bool", "default": False},
    "unattended_exclusion": {"type": "bool", "default": False},
    "blacklist": {"type": "bool", "default": True},
    "persistence": {"type": "bool", "default": True},
    "gsp": {"type": "str", "choices": ["auto", "enabled", "disabled"], "default": "auto"},
    "mig": {"type": "bool", "default": False},
    "vgpu": {"type": "bool", "default": False},
    "fabric_manager": {"type": "str", "choices": ["auto", "present", "absent"], "default": "auto"},
    "may_remove": {"type": "list", "elements": "str", "default": []},
    "reboot": {"type": "str", "choices": ["auto", "never"], "default": "auto"},
    "drain": {"type": "str", "choices": ["auto", "always", "never"], "default": "auto"},
    "gpus_expected": {"type": "int", "default": 0},
    "busy": {"type": "str", "choices": ["refuse", "wait", "ignore"], "default": "refuse"},
    "rollback": {"type": "str", "choices": ["auto", "required", "never"], "default": "auto"},
    "back": {"type": "bool", "default": False},
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
    kernel: str = "hold"
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
