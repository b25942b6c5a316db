# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the packages of the way back to the driver that was there before a change that failed.

It is the inverse of apt's transaction, from files on the node: what was changed or removed comes again at its version, and what is of
the driver and was not there goes. No archive, source or choice of packages has a say, so it leads back across sources, and from dkms to
pre-built modules, as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run
from ansible_collections.t9k.gpu.plugins.module_utils._debian import apt as debian_apt
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import PackagePlan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState


def target(run: Run, state: NodeState, told: dict[str, Any]) -> Target:
    """Return the driver of the record (``former.known``): the kept files, without what came since."""
    installed = {f"{p.spec}={p.version}" for p in state.packages if p.installed}
    leaving = tuple(_newcomers(state, told["family"]))
    version, modules = told["version"], told["kernel_modules"]
    if set(told["files"]) <= installed and not leaving:
        return Target(version, modules)
    pinned = tuple(sorted(told["files"]))
    paths = tuple(f"{driver_files.FORMER}/{told['files'][spec]}" for spec in pinned)
    plan = PackagePlan(
        packages=tuple(f"{spec.partition(':')[0]}={spec.partition('=')[2]}" for spec in pinned),
        install=paths,
        roots=(),
        driver_version=version,
        branch=version.partition(".")[0],
        kernel_modules=modules,
        module_build=told["module_build"],
    )
    transaction = debian_apt.transaction(run, plan.arguments(leaving))
    return Target(version, modules, packages=plan, leaving=leaving, transaction=transaction)


def _newcomers(state: NodeState, family: Sequence[str]) -> Iterator[str]:
    for package in state.packages:
        if package.present and names.is_driver(package.name) and package.label not in family:
            yield package.label
