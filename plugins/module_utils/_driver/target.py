# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Choose the driver a node shall run: what was asked for, completed from the node and, where packages must change, from apt."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run
from ansible_collections.t9k.gpu.plugins.module_utils._debian import apt as debian_apt
from ansible_collections.t9k.gpu.plugins.module_utils._debian import dpkg as debian_dpkg
from ansible_collections.t9k.gpu.plugins.module_utils._debian import preview as debian_preview
from ansible_collections.t9k.gpu.plugins.module_utils._debian import sources as debian_sources
from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Transaction
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import installed as driver_installed
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names, whole
from ansible_collections.t9k.gpu.plugins.module_utils._driver import packages as driver_packages
from ansible_collections.t9k.gpu.plugins.module_utils._driver.installed import InstalledDriver
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import PackagePlan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.support import Support
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import version as versions

_NOTHING_KNOWN = Support()
#: Package lists older than this are fetched anew before packages are chosen.
LISTS_FRESH_S = 24 * 3600


def source_entry(
    state: NodeState, wanted: Wanted, supported_os: Mapping[str, Any], root: str = "/"
) -> debian_sources.Entry | None:
    """Return the apt source that must stand in the collection's own file; None where the node's sources are enough."""
    source = wanted.source
    if source.kind == "distribution":
        needed = supported_os.get("components", ())
        return debian_sources.extra_components(
            debian_sources.read(root, leave_out=driver_files.SOURCES), state.system.codename, needed
        )
    if source.kind == "local":
        return None
    return debian_sources.Entry(source.uris, source.suites, source.components, source.signed_by)


def kernel_modules(state: NodeState, wanted: Wanted, branch: str, support: Support) -> str:
    """Choose open or proprietary. ``auto`` keeps what the branch has installed, else takes what the table says."""
    if wanted.kernel_modules != "auto":
        return wanted.kernel_modules
    if state.driver is not None and state.driver.branch == branch:
        return state.driver.kernel_modules
    return support.kernel_modules(state.gpus, branch)


def branches(state: NodeState, wanted: Wanted, supported_os: Mapping[str, Any], support: Support) -> tuple[str, ...]:
    """Return the version's own branch, the one asked for or the one installed; else the table's for this system that drive its
    GPUs, in order of preference, for a source may not have the first."""
    if wanted.version:
        return (versions.branch(wanted.version) or wanted.version,)
    named = wanted.branch or (state.driver.branch if state.driver else "")
    table = [str(branch) for branch in supported_os.get("branches") or (supported_os.get("branch", ""),)]
    fitting = [branch for branch in table if support.drives(state.gpus, branch)]
    return (named,) if named else tuple(fitting or table)


def satisfied(driver: InstalledDriver | None, state: NodeState, wanted: Wanted, branch: str, modules: str) -> bool:
    """Tell whether the installed driver is the one wanted, judged without apt."""
    if driver is None or not driver.serves(state.system.kernel_release):
        return False
    if wanted.version:
        right = versions.driver_version(wanted.version) == driver.driver_version
    else:
        right = driver.branch == branch
    builds = wanted.module_build in ("auto", driver.module_build)
    kind = driver.kernel_modules == modules and flavour_of(driver, state, wanted) in (None, wanted.flavour)
    return right and builds and kind and _fabric_manager_right(driver, state, wanted)


def flavour_of(driver: InstalledDriver, state: NodeState, wanted: Wanted) -> str | None:
    """Return server or desktop; None where package names do not tell."""
    if not names.names_flavour(state.system.os_id, wanted.source.kind):
        return None
    return "server" if driver.server else "desktop"


def wants_fabric_manager(state: NodeState, wanted: Wanted) -> bool:
    """Tell whether it is wanted: one that is installed already must move with the driver, wherever it is."""
    there = bool(state.nvswitches or state.fabric.kind) or (
        state.driver is not None and state.driver.fabric_manager_version is not None
    )
    return wanted.fabric_manager == "present" or (wanted.fabric_manager == "auto" and there)


def _fabric_manager_right(driver: InstalledDriver, state: NodeState, wanted: Wanted) -> bool:
    return not wants_fabric_manager(state, wanted) or driver.fabric_manager_version == driver.driver_version


def resolve(
    run: Run, state: NodeState, wanted: Wanted, supported_os: Mapping[str, Any], support: Support = _NOTHING_KNOWN
) -> Target:
    """Return the driver version and, where they are not right yet, the packages that bring it."""
    tried = branches(state, wanted, supported_os, support)
    branch, modules = tried[0], kernel_modules(state, wanted, tried[0], support)
    driver = state.driver
    entry = source_entry(state, wanted, supported_os)
    gaps = _gaps(state, wanted)
    right = satisfied(driver, state, wanted, branch, modules)
    if driver is not None and right and not gaps:
        return Target(driver.driver_version, driver.kernel_modules, source=entry)
    requests = [_request(state, wanted, each, kernel_modules(state, wanted, each, support)) for each in tried]
    if driver is not None and right:
        # What is missing is mended at the version that is there: a library is no reason to move the driver.
        requests = [replace(request, version=driver.driver_version) for request in requests]
    local = wanted.source.kind == "local"
    if local or (_source_in_place(state, entry) and _lists_are_fresh(state)):
        plan, leaving, transaction = _packages(run, state, requests, wanted)
    else:
        with debian_preview.preview(run, entry, driver_files.SOURCES) as previewing:
            plan, leaving, transaction = _packages(previewing, state, requests, wanted)
    if (
        driver is not None
        and not wanted.version
        and not gaps
        and satisfied(driver, state, wanted, plan.branch, modules)
    ):
        # the branch asked for only leads to the installed one, which is held and moves for a version asked for
        return Target(driver.driver_version, driver.kernel_modules, source=entry)
    return Target(
        driver_version=plan.driver_version,
        kernel_modules=plan.kernel_modules,
        packages=None if _in_place(plan, state) and not leaving else plan,
        leaving=leaving,
        transaction=transaction,
        source=entry,
        gaps=gaps if driver is not None and driver.driver_version == plan.driver_version else (),
        vendor_persistence_off=bool(supported_os.get("persistence_off")),
    )


def _gaps(state: NodeState, wanted: Wanted) -> tuple[str, ...]:
    asked = whole.Asked(state.system.os_id, wanted.flavour, wanted.libraries, state.system.kernel_release)
    if state.driver is None:
        return ()
    gaps = whole.gaps(state.packages, state.driver, asked)
    if state.driver.module_build != "dkms" or wanted.headers == "ignore":
        return gaps
    there = {package.name for package in state.packages if package.present}
    lacking = [name for name, _version in debian_dpkg.next_headers(state.packages) if name not in there]
    return (*gaps, *(f"{name} is missing, without which the next kernel has no module" for name in lacking))


def _packages(
    run: Run, state: NodeState, requests: Sequence[driver_packages.Request], wanted: Wanted
) -> tuple[PackagePlan, tuple[str, ...], Transaction]:
    """Return the plan, what must go for it, and what apt says that does: conflicts show here, before anything changes."""
    following = [name for name, _version in debian_dpkg.next_headers(state.packages)]
    offer = debian_apt.catalogue(run, names.apt_pattern(state.system.kernel_release, following))
    if wanted.source.kind == "local":
        offer = debian_apt.local_catalogue(run, wanted.source.directory or "", offer)
    plan = _first_on_offer(requests, offer)
    plan = replace(plan, warnings=(*plan.warnings, *_no_way_back(state, offer)))
    staying = [package.partition("=")[0] for package in plan.packages]
    leaving = driver_installed.leaving(state.packages, staying, plan.driver_version)
    if plan.faults:
        return plan, leaving, Transaction()
    return plan, leaving, debian_apt.transaction(run, plan.arguments(leaving))


def _first_on_offer(requests: Sequence[driver_packages.Request], offer: debian_apt.Catalogue) -> PackagePlan:
    """Return the plan for the first branch that the sources have; the fault of the last where they have none."""
    first, *others = requests
    try:
        return driver_packages.plan(first, offer)
    except driver_packages.NoSuchBranchError:
        if not others:
            raise
    return _first_on_offer(others, offer)


def _moving(state: NodeState) -> tuple[str, ...]:
    """Return what is installed of the driver besides its kernel modules and metapackages, which are chosen anew."""
    chosen_anew = (names.DKMS, names.FOR_KERNEL, names.OF_KERNEL_MODULES)
    driver = (p.name for p in state.packages if p.installed and names.is_driver(p.name))
    return tuple(dict.fromkeys(name for name in driver if not any(kind.match(name) for kind in chosen_anew)))


def _no_way_back(state: NodeState, offer: debian_apt.Catalogue) -> Iterator[str]:
    """Warn where the installed driver could not be installed again, were its successor to fail."""
    installed = [p for p in state.packages if p.installed and names.is_driver(p.name)]
    lost = [p.name for p in installed if not _on_offer(offer, p.name, p.version)]
    if state.driver is not None and lost:
        yield (
            f"driver {state.driver.driver_version} is no longer on offer ({lost[0]} and {len(lost) - 1} more): "
            "a change that fails could not be rolled back"
        )


def _on_offer(offer: debian_apt.Catalogue, name: str, version: str | None) -> bool:
    """Tell whether it comes from anywhere but dpkg's own record of what is installed."""
    entries = [entry for entry in offer.entries.get(name, ()) if entry.version == version]
    return any(entry.path or any("/var/lib/dpkg/status" not in origin for origin in entry.origins) for entry in entries)


def _request(state: NodeState, wanted: Wanted, branch: str, modules: str) -> driver_packages.Request:
    return driver_packages.Request(
        os_id=state.system.os_id,
        os_version=state.system.os_version,
        codename=state.system.codename,
        kernel_release=state.system.kernel_release,
        branch=branch,
        version=wanted.version,
        flavour=wanted.flavour,
        libraries=wanted.libraries,
        kernel_modules=modules,
        module_build=wanted.module_build,
        source=wanted.source.kind,
        fabric_manager=wants_fabric_manager(state, wanted),
        headers=wanted.headers,
        next_headers=debian_dpkg.next_headers(state.packages),
        also=_moving(state),
    )


def _source_in_place(state: NodeState, entry: debian_sources.Entry | None) -> bool:
    """Tell whether the collection's own file says what it must, so that the node's apt sees what the plan is about."""
    text = state.files[driver_files.SOURCES]
    if entry is None or text is None:
        return entry is None and text is None
    return any(entry.same_place(there) for there in debian_sources.parse(text, deb822=True))


def _lists_are_fresh(state: NodeState) -> bool:
    fetched = state.system.apt_lists_mtime
    return fetched is not None and time.time() - fetched < LISTS_FRESH_S


def _in_place(plan: driver_packages.PackagePlan, state: NodeState) -> bool:
    installed = {f"{package.name}={package.version}" for package in state.packages if package.installed}
    return set(plan.packages) <= installed
