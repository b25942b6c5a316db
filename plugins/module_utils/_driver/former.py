# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell what a change takes away, so that it is kept on the node beforehand. Pure but for ``missing``, which asks apt.

The files and their record (``set.json`` of the module ``apt_keep``) are there from before the change until its proof holds: a second
attempt after a failed one goes back to where the first began.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run
from ansible_collections.t9k.gpu.plugins.module_utils._debian import keep, kernel
from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Transaction
from ansible_collections.t9k.gpu.plugins.module_utils._debian.dpkg import Package
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import installed as driver_installed
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted

_ABOUT = ("version", "kernel_modules", "module_build", "flavour")


def packages(installed: Sequence[Package], transaction: Transaction) -> tuple[str, ...]:
    """Return what the transaction changes or removes, as ``name:architecture=version``: what must be had to undo it."""
    moves = (*transaction.upgrade, *transaction.downgrade, *transaction.remove)
    gone = {(move.name.partition(":")[0], move.before) for move in moves}
    return tuple(sorted(f"{p.spec}={p.version}" for p in installed if p.present and (p.name, p.version) in gone))


def missing(run: Run, state: NodeState, wanted: Wanted, transaction: Transaction) -> tuple[str, ...]:
    """Return what of it cannot be had."""
    specs = (to_keep(state, wanted, transaction) or {"packages": []})["packages"]
    return keep.missing(run, [each for each in map(keep.File.of, specs) if each is not None])


def staying_kernel(state: NodeState, build: str, transaction: Transaction) -> str | None:
    """Return the kernel that comes with a change and that no way back takes away, since it may be the running one by then.

    It boots next, and pre-built modules of the former driver are for the former kernel. None where dkms built them and builds again:
    it does for each kernel.
    """
    coming = kernel.image_of(move.name.partition(":")[0] for move in transaction.install)
    if state.driver is None or coming == state.system.kernel_release or state.driver.module_build == build == "dkms":
        return None
    return coming


def to_keep(state: NodeState, wanted: Wanted, transaction: Transaction) -> dict[str, Any] | None:
    """Return what is to be kept: packages, and what must be known of them; None where nothing is lost, or a set is kept already."""
    gone = packages(state.packages, transaction)
    if state.driver is None or not gone or known(state):
        return None
    driver = state.driver
    family = sorted(p.label for p in state.packages if p.present and names.is_driver(p.name))
    flavour = driver_installed.flavour(driver, state.system.os_id, wanted.source.kind) or wanted.flavour
    told = (driver.driver_version, driver.kernel_modules, driver.module_build, flavour)
    return {"packages": list(gone), "about": {**dict(zip(_ABOUT, told)), "family": family}}


def known(state: NodeState) -> dict[str, Any] | None:
    """Return the record of what was before a change that has no proof yet; None: there is none, or it cannot be read.

    Where the change did not begin, as after a failed drain, somebody else may have moved the driver since.
    """
    if state.files[driver_files.BEFORE] is None:
        return None
    try:
        told: dict[str, Any] | None = json.loads(state.files[driver_files.FORMER] or "null")
        whole = told and told["files"] and told["family"] and all(isinstance(told[key], str) for key in _ABOUT)
        return told if whole else None
    except (ValueError, TypeError, KeyError):
        return None


def previous(state: NodeState) -> dict[str, str] | None:
    """Return the driver that is kept, in the words of the plan's ``previous``."""
    told = known(state)
    return {key: told[key] for key in _ABOUT} if told else None
