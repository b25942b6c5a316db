# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Choose the driver a node shall run: what was asked for, completed from the node and, where packages must change, from apt."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run
from ansible_collections.t9k.gpu.plugins.module_utils._debian import apt as debian_apt
from ansible_collections.t9k.gpu.plugins.module_utils._debian import kernel as debian_kernel
from ansible_collections.t9k.gpu.plugins.module_utils._debian import preview as debian_preview
from ansible_collections.t9k.gpu.plugins.module_utils._debian import sources as debian_sources
from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Transaction
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import follow, names, whole
from ansible_collections.t9k.gpu.plugins.module_utils._driver import former as driver_former
from ansible_collections.t9k.gpu.plugins.module_utils._driver import installed as driver_installed
from ansible_collections.t9k.gpu.plugins.module_utils._driver import packages as driver_packages
from ansible_collections.t9k.gpu.plugins.module_utils._driver.installed import InstalledDriver
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import PackagePlan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.support import Support
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import version as versions

_NOTHING_KNOWN = Support()
#: Package lists older than this are fetched anew before packages are chosen.
LISTS_FRESH_S = 24 * 3600


def source_entries(
    state: NodeState, wanted: Wanted, supported_os: Mapping[str, Any], root: str = "/"
) -> dict[str, debian_sources.Entry]:
    """Return the apt sources that must stand in the collection's own files, by file; none where the node's are enough."""
    source = wanted.source
    if source.kind == "distribution":
        fabric = supported_os.get("fabric_components", ()) if wants_fabric_manager(state, wanted) else ()
        known = debian_sources.read(root, leave_out=driver_files.SOURCES_OF.values())
        needed = [*supported_os.get("components", ()), *fabric]
        found = debian_sources.extra_components(known, state.system.codename, needed)
        return {driver_files.SOURCES_OF[pocket]: entry for pocket, entry in found.items()}
    if source.kind == "local":
        return {}
    return {driver_files.SOURCES: debian_sources.Entry(source.uris, source.suites, source.components, source.signed_by)}


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
    if driver is None or not any(driver.serves(release) for release in _kernels(state, wanted)):
        return False
    if wanted.version:
        right = versions.driver_version(wanted.version) == driver.driver_version
    else:
        right = driver.branch == branch
    builds = wanted.module_build in ("auto", driver.module_build)
    kind = driver.kernel_modules == modules and flavour_of(driver, state, wanted) in (None, wanted.flavour)
    return right and builds and kind and _fabric_manager_right(driver, state, wanted)


def _kernels(state: NodeState, wanted: Wanted) -> tuple[str, ...]:
    """Return the kernels of which one must have its modules: the running one, or one that it is left for at the next boot."""
    line = _line(state) if wanted.kernel == "follow" else None
    return (state.system.kernel_release, *((line.release,) if line else ()))


def flavour_of(driver: InstalledDriver, state: NodeState, wanted: Wanted) -> str | None:
    return driver_installed.flavour(driver, state.system.os_id, wanted.source.kind)


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
    modules = kernel_modules(state, wanted, tried[0], support)
    driver = state.driver
    sources = source_entries(state, wanted, supported_os)
    gaps = _gaps(state, wanted)
    right = driver is not None and satisfied(driver, state, wanted, tried[0], modules)
    here = Target(driver.driver_version, driver.kernel_modules, sources=sources) if driver is not None else None
    if here is not None and right and not gaps and wanted.kernel != "follow":
        return here
    requests = [_request(state, wanted, each, kernel_modules(state, wanted, each, support)) for each in tried]
    if driver is not None and right and gaps:
        # What is missing is mended at the version that is there: a library is no reason to move the driver.
        requests = [replace(request, version=driver.driver_version, kernel="hold") for request in requests]
    try:
        plan, leaving, transaction = _ask(run, state, requests, wanted, sources)
    except GpuError as why:
        if here is None or not right or gaps:
            raise
        return replace(here, warnings=(f"Nothing is followed yet, and the node stays as it is. {why}",))
    if here is not None and not wanted.version and not gaps and _leads_back(state, wanted, plan, right):
        return here if wanted.kernel != "follow" else replace(here, warnings=plan.warnings)
    return Target(
        driver_version=plan.driver_version,
        kernel_modules=plan.kernel_modules,
        packages=None if _in_place(plan, state) and not leaving else plan,
        leaving=leaving,
        transaction=transaction,
        sources=sources,
        gaps=gaps if driver is not None and driver.driver_version == plan.driver_version else (),
        vendor_persistence_off=bool(supported_os.get("persistence_off")),
    )


def _ask(
    run: Run,
    state: NodeState,
    requests: Sequence[driver_packages.Request],
    wanted: Wanted,
    sources: Mapping[str, debian_sources.Entry],
) -> tuple[PackagePlan, tuple[str, ...], Transaction]:
    """Ask the node's own apt where it sees what the plan is about, else a private one."""
    if wanted.source.kind == "local" or (_sources_in_place(state, sources) and _lists_are_fresh(state)):
        return _packages(run, state, requests, wanted)
    own_files = (*driver_files.SOURCES_OF.values(), driver_files.LOGINS)
    with debian_preview.preview(run, sources, own_files) as previewing:
        return _packages(previewing, state, requests, wanted)


def _leads_back(state: NodeState, wanted: Wanted, plan: PackagePlan, right: bool) -> bool:
    """Tell whether the plan is none: the branch asked for only leads to the installed one, which is held and moves for a version
    asked for; or, where the kernel is followed, the installed branch leads to another, which nobody asked for."""
    driver = state.driver
    if driver is None:
        return False
    if wanted.kernel == "follow" and right:
        return plan.branch != driver.branch
    return satisfied(driver, state, wanted, plan.branch, plan.kernel_modules)


def _gaps(state: NodeState, wanted: Wanted) -> tuple[str, ...]:
    asked = whole.Asked(state.system.os_id, wanted.flavour, wanted.libraries, state.system.kernel_release)
    return whole.gaps(state.packages, state.driver, asked) if state.driver is not None else ()


def _packages(
    run: Run, state: NodeState, requests: Sequence[driver_packages.Request], wanted: Wanted
) -> tuple[PackagePlan, tuple[str, ...], Transaction]:
    """Return the plan, what must go for it, and what apt says that does: conflicts show here, before anything changes."""
    offer = debian_apt.catalogue(run, _pattern(run, state, wanted))
    if wanted.source.kind == "local":
        offer = debian_apt.local_catalogue(run, wanted.source.directory or "", offer)
    plan = _first_on_offer(requests, offer)
    staying = [package.partition("=")[0] for package in plan.packages]
    leaving = driver_installed.leaving(state.packages, staying, plan.driver_version)
    if plan.faults:
        return plan, leaving, Transaction()
    moves = debian_apt.transaction(run, plan.arguments(leaving)).measured(offer)
    return _with_way_back(run, state, plan, moves, wanted), leaving, moves


def _pattern(run: Run, state: NodeState, wanted: Wanted) -> str:
    """Return what apt is asked for; kernels have their releases in their names, so those that are led to are found first."""
    running, line = state.system.kernel_release, _line(state)
    if line is None:
        return names.apt_pattern(running)
    metapackages = names.metapackages_pattern(line.flavours)
    found = follow.releases(debian_apt.catalogue(run, metapackages)) if wanted.kernel == "follow" else ()
    return f"{names.apt_pattern(*dict.fromkeys((running, *found)))}|{metapackages}"


def _line(state: NodeState) -> debian_kernel.Line | None:
    return debian_kernel.line(state.packages, state.system.kernel_release)


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


def _with_way_back(run: Run, state: NodeState, plan: PackagePlan, moves: Transaction, wanted: Wanted) -> PackagePlan:
    """Say, or refuse, where a change that fails could not be undone."""
    if wanted.rollback == "never" or state.driver is None:
        return plan
    version = state.driver.driver_version
    notes: list[str] = []
    faults: list[GpuError] = []
    lost = driver_former.missing(run, state, wanted, moves)
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        found = f"neither on offer nor in apt's cache: {lost[0]}{more}"
        notes.append(f"a change that fails could not be rolled back to driver {version} ({found})")
        step = "add a source that still has these versions, or go without a way back (driver_rollback: true)"
        faults.append(GpuError(f"the packages of driver {version}, to go back to", found, "apt's metadata", step))
    kernel = driver_former.staying_kernel(state, plan.module_build, moves)
    if kernel:
        running = state.system.kernel_release
        notes.append(
            f"a change that fails would be rolled back to driver {version}, whose modules are for kernel {running}, but kernel {kernel} "
            f"would stay and boot next: choose {running} with grub-reboot then, and run with driver_kernel: hold"
        )
        found = f"kernel {kernel} comes with the change, stays, boots next, and would have no module"
        step = "leave the kernel (driver_kernel: hold), or go without a whole way back (driver_rollback: true)"
        faults.append(
            GpuError(f"a way back to driver {version} on kernel {running}", found, "what apt would install", step)
        )
    if wanted.rollback == "required":
        return replace(plan, faults=(*plan.faults, *map(str, faults)))
    return replace(plan, warnings=(*plan.warnings, *notes))


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
        kernel=wanted.kernel,
        line=_line(state),
        also=_moving(state),
    )


def _sources_in_place(state: NodeState, sources: Mapping[str, debian_sources.Entry]) -> bool:
    """Tell whether the collection's own files say what they must, so that the node's apt sees what the plan is about."""
    others = [
        path for path in driver_files.SOURCES_OF.values() if path not in sources and state.files[path] is not None
    ]
    known = state.files[driver_files.LOGINS] == driver_files.logins(sources)
    return known and not others and not driver_files.lacking(state.files, sources)


def _lists_are_fresh(state: NodeState) -> bool:
    fetched = state.system.apt_lists_mtime
    return fetched is not None and time.time() - fetched < LISTS_FRESH_S


def _in_place(plan: driver_packages.PackagePlan, state: NodeState) -> bool:
    installed = {f"{package.name}={package.version}" for package in state.packages if package.installed}
    return set(plan.packages) <= installed
