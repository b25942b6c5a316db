# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plan the way of a node to the driver wanted: (state, wanted, target) → ordered steps, each with a reason. Pure.

The property the tests hold it to: once the steps of a plan are done, the next plan has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._debian.apt import Transaction, install_arguments, purge_arguments
from ansible_collections.t9k.gpu.plugins.module_utils._debian.login import has_login, shown
from ansible_collections.t9k.gpu.plugins.module_utils._debian.sources import Entry
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import former as driver_former
from ansible_collections.t9k.gpu.plugins.module_utils._driver import installed as driver_installed
from ansible_collections.t9k.gpu.plugins.module_utils._driver import names
from ansible_collections.t9k.gpu.plugins.module_utils._driver.packages import PackagePlan
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._gsp import facts as gsp_facts
from ansible_collections.t9k.gpu.plugins.module_utils._gsp import verdict as gsp_decision
from ansible_collections.t9k.gpu.plugins.module_utils._linux import modprobe, systemd_unit
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import FABRIC_SERVICE
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step, Steps

NO_PERSISTENCE = "--no-persistence-mode"
#: Steps that wait for the proof: pods are let in again, and what was before is forgotten, only where nothing is wrong.
AFTER_PROOF = ("uncordon", "settle")
#: What ``deb822_repository`` cannot do without.
PYTHON_DEBIAN = "python3-debian"
INTERRUPTED = "dpkg was interrupted, and apt refuses to work until it has finished"
#: What steps disturb.
GPU_WORK = "GPU work on the node loses the library and the module under it"
EVERYTHING = "everything on the node stops"


@dataclass(frozen=True)
class Target:
    """What the node will run once the packages are right."""

    driver_version: str
    kernel_modules: str
    packages: PackagePlan | None = None  # None: the packages are right already
    leaving: tuple[str, ...] = ()  # packages of the former driver that must go
    gaps: tuple[str, ...] = ()  # what the installed driver of this version lacks
    transaction: Transaction = field(default_factory=Transaction)
    sources: Mapping[str, Entry] = field(default_factory=dict)  # what the collection's own apt source files must hold
    warnings: tuple[str, ...] = ()  # where the packages are right already
    vendor_persistence_off: bool = False  # the unit these packages bring starts with --no-persistence-mode


def plan(state: NodeState, wanted: Wanted, target: Target | None) -> Steps:
    """Return the whole plan, in order. ``target`` is None only to take the driver away."""
    changes = list(_present(state, wanted, target) if target else _absent(state))
    reason = _reboot(state, changes, wanted, target)
    if reason and wanted.reboot == "auto":
        changes.append(Step("reboot", reason, EVERYTHING, {"mark": _mark(state, wanted, target)}))
    return tuple(_drained(state, wanted, changes, reboot_is_left=bool(reason) and wanted.reboot == "never"))


def _present(state: NodeState, wanted: Wanted, target: Target) -> Iterator[Step]:
    apt = [*_source(state, target), *_install(state, wanted, target)]
    yield from _repair(state, target, uses_apt=bool(apt))
    yield from _files(state, wanted, target)
    yield from apt
    yield from _hold(state, wanted, target)
    gsp = list(_gsp_option(state, wanted, target))
    yield from gsp
    yield from _persistence(state, wanted, target)
    yield from _fabric(state, wanted, target)
    yield from _initramfs(state, wanted, gsp)


def _repair(state: NodeState, target: Target, uses_apt: bool) -> Iterator[Step]:
    """Mend what dpkg left half done.

    Configuring brings no files back, nor does apt install a version that is there already (tried with apt 2.6): what lacks
    files is installed again, unless the installation that follows brings another version. A journal stops apt, whoever left it.
    """
    broken = [p for p in state.packages if names.is_driver(p.name) and p.present and not p.installed]
    coming = dict(entry.split("=", 1) for entry in target.packages.packages) if target.packages else {}
    staying = [p for p in broken if p.label not in target.leaving and p.version == coming.get(p.name, p.version)]
    lacking = [p for p in staying if p.must_be_unpacked_again]
    data = _repair_data(f"{p.spec}={p.version}" for p in lacking)
    if broken:
        which = ", ".join(sorted(package.name for package in broken))
        yield Step("repair", f"dpkg was interrupted: {which} half installed", GPU_WORK, data)
    elif uses_apt and state.system.dpkg_interrupted:
        yield Step("repair", INTERRUPTED, data=data)


def _repair_data(lacking: Iterable[str]) -> dict[str, Any]:
    again = sorted(lacking)
    return {"reinstall": again, "apt_get": install_arguments(["--reinstall", *again])}


def _files(state: NodeState, wanted: Wanted, target: Target) -> Iterator[Step]:
    texts = {
        modprobe.BLACKLIST_PATH: modprobe.render_blacklist() if wanted.blacklist else None,
        driver_files.PREFERENCES: driver_files.preferences(target.driver_version) if wanted.pin else None,
        driver_files.UNATTENDED: driver_files.unattended() if wanted.unattended_exclusion else None,
        **{path: None for path in driver_files.SOURCES_OF.values() if path not in target.sources},
        **({} if driver_files.logins(target.sources) else {driver_files.LOGINS: None}),
        **({} if wanted.persistence else {driver_files.PERSISTENCE: None}),
    }
    stale = {path: text for path, text in texts.items() if state.files[path] != text}
    if stale:
        yield Step(
            "files",
            f"{', '.join(sorted(stale))} not as wanted",
            data={"files": [{"path": path, "content": text} for path, text in sorted(stale.items())]},
        )


def _source(state: NodeState, target: Target) -> Iterator[Step]:
    missing = driver_files.lacking(state.files, target.sources)
    logins = driver_files.logins(target.sources)
    unknown = logins is not None and state.files[driver_files.LOGINS] != logins
    if not missing and not unknown:
        return
    places = [f"{path} must add {' '.join(entry.uris)} {' '.join(entry.suites)}" for path, entry in missing.items()]
    if unknown:
        places.append(f"{driver_files.LOGINS} must have the names and passwords of the addresses")
    tool = not missing or any(p.name == PYTHON_DEBIAN and p.installed for p in state.packages)
    entries = [{"name": Path(path).stem, **entry.to_dict()} for path, entry in missing.items()]
    addresses = [shown(uri) for entry in target.sources.values() for uri in entry.uris if has_login(uri)]
    data = {"entries": entries, "needs": [] if tool else [PYTHON_DEBIAN], "logins": addresses if unknown else []}
    reason = "; ".join(places)
    yield Step("sources", reason if tool else f"{reason}, by way of {PYTHON_DEBIAN}", data=data)


def _install(state: NodeState, wanted: Wanted, target: Target) -> Iterator[Step]:
    if target.packages is None:
        return
    before = state.driver.driver_version if state.driver else "none"
    # Kernels that are followed are held anew after it: those of former runs need no hold any more.
    let_go = target.packages.module_build == "dkms" or wanted.kernel == "follow"
    data = {
        "packages": list(target.packages.install),
        "apt_get": install_arguments(target.packages.arguments(target.leaving)),
        "local": any(package.endswith(".deb") for package in target.packages.install),
        "release": [*target.leaving, *(held_kernels(state) if let_go else ())],
        "keep": driver_former.to_keep(state, wanted, target.transaction) if wanted.rollback != "never" else None,
        "transaction": target.transaction.to_dict(),
    }
    reason = f"driver {before} installed, {target.driver_version} wanted"
    if before == target.driver_version and wanted.kernel == "follow":
        reason = f"driver {before} stays, and the kernel moves on to {target.packages.kernel_release}"
    if target.gaps:
        more = f" and {len(target.gaps) - 3} more" if len(target.gaps) > 3 else ""
        reason = f"driver {before} is not whole: {', '.join(target.gaps[:3])}{more}"
    yield Step("install", reason, "" if _only_adds(state, target) else GPU_WORK, data)


def _only_adds(state: NodeState, target: Target) -> bool:
    """Tell whether the installation puts libraries or tools beside the very driver that runs: nobody notices, nor is a boot needed."""
    moves = target.transaction
    same = state.driver is not None and state.driver.driver_version == target.driver_version
    modules = [m for m in moves.install if names.DKMS.match(m.name) or names.FOR_KERNEL.match(m.name)]
    return same and bool(moves.install) and not (moves.upgrade or moves.downgrade or moves.remove or modules)


def _hold(state: NodeState, wanted: Wanted, target: Target) -> Iterator[Step]:
    follows = wanted.kernel == "follow"
    holding = set(driver_installed.hold_set(state.packages, state.system.kernel_release, follows))
    held = {package.label for package in state.packages if package.held}
    loose = sorted(holding - held)
    if wanted.hold and target.packages is not None:
        yield Step(
            "hold",
            f"the packages of driver {target.driver_version} must not drift",
            data={"state": "held", "kernels": follows},
        )
    elif wanted.hold and loose:
        yield Step("hold", f"not held: {', '.join(loose)}", data={"state": "held", "kernels": follows})
    elif not wanted.hold:
        going = sorted(p.label for p in state.packages if p.held and names.is_driver(p.name)) + held_kernels(state)
        if going:
            reason = f"held, but no hold is wanted: {', '.join(going)}"
            yield Step("hold", reason, data={"state": "unheld", "packages": going})


def _fabric(state: NodeState, wanted: Wanted, target: Target) -> Iterator[Step]:
    """The package of fabric manager does not enable its service everywhere, and without it no CUDA program runs."""
    if state.fabric.kind is None or wanted.fabric_manager == "absent" or state.fabric.enabled:
        return
    runs = target.packages is None and state.kernel_module.version == target.driver_version
    reason = f"{FABRIC_SERVICE} does not start at boot, and this machine has an {state.fabric.kind} fabric"
    yield Step("fabric", reason, data={"start": runs})


def gsp_verdict(state: NodeState, wanted: Wanted, target: Target) -> gsp_decision.Verdict:
    """Decide on GSP for the driver that will run, against what runs now."""
    facts = state.gsp_facts
    coming = replace(
        facts,
        driver_version=target.driver_version,
        kernel_modules=target.kernel_modules,
        mig=facts.mig or wanted.mig,
        vgpu=facts.vgpu or wanted.vgpu,
    )
    return gsp_decision.decide(wanted.gsp, coming)


def _gsp_option(state: NodeState, wanted: Wanted, target: Target) -> Iterator[Step]:
    verdict = gsp_verdict(state, wanted, target)
    if verdict.action in ("write", "remove"):
        data = {"mode": wanted.gsp, "driver_version": target.driver_version, "kernel_modules": target.kernel_modules}
        yield Step("gsp", verdict.reason, data=data)


def _persistence(state: NodeState, wanted: Wanted, target: Target) -> Iterator[Step]:
    """Nothing of it disturbs. systemd's reload could take the GPUs from running containers, so the drop-in is there for the next boot,
    and the mode is switched by nvidia-smi now, which lasts as long as the driver is loaded (NVIDIA's "Driver Persistence")."""
    if not wanted.persistence:
        return
    unit = state.persistenced
    if unit is None:
        if target.packages is not None and target.vendor_persistence_off:
            yield Step("persistence", f"the vendor's unit will start with {NO_PERSISTENCE}", data={"switch": False})
        return
    drop_in = _drop_in(unit)
    off = any(gpu.persistence_enabled is False for gpu in state.smi.gpus)
    # The old module refuses the new library: between an installation and its reboot nothing can be switched.
    data = {"switch": off and target.packages is None}
    if drop_in.changed:
        yield Step("persistence", drop_in.reason, data=data)
    elif unit.enable_possible and not state.persistenced_enabled:
        yield Step("persistence", f"{unit.name} is not enabled", data=data)
    elif off:
        yield Step("persistence", "persistence mode is off on a GPU", data=data)


def _drop_in(unit: systemd_unit.Unit) -> systemd_unit.DropInPlan:
    """An administrator's own command is respected where it keeps the mode on; where it does not, one of the two must give way."""
    try:
        return systemd_unit.plan(unit, remove=[NO_PERSISTENCE], add=[])
    except GpuError as error:
        step = f"take {NO_PERSISTENCE} away there, or set driver_persistence to false"
        raise GpuError("persistence mode on (driver_persistence)", error.found, error.where, step) from error


def _initramfs(state: NodeState, wanted: Wanted, gsp: list[Step]) -> Iterator[Step]:
    built = state.system.initramfs_mtime
    if built is None:
        return
    blacklist_changes = state.files[modprobe.BLACKLIST_PATH] != (
        modprobe.render_blacklist() if wanted.blacklist else None
    )
    if gsp or blacklist_changes:
        yield Step("initramfs", "module options changed", data=_images(state))
    elif state.modprobe_mtime is not None and state.modprobe_mtime > built:
        yield Step("initramfs", "an initramfs is older than the module options", data=_images(state))


def _images(state: NodeState) -> dict[str, Any]:
    return {"kernel_releases": list(state.system.initramfs_releases)}


def _reboot_reason(state: NodeState, verdict: gsp_decision.Verdict | None) -> str | None:
    """Say why the running kernel does not run what is installed and configured, judged from the node as it is."""
    if state.driver is None:
        return f"driver {state.kernel_module.version} is still loaded" if state.kernel_module.loaded else None
    installed = state.driver.driver_version
    if state.rival_bound:
        return f"{state.rival_bound} holds a GPU"
    if not state.kernel_module.loaded:
        return f"driver {installed} is installed but not loaded"
    if state.kernel_module.version != installed:
        return f"driver {state.kernel_module.version} is loaded, {installed} is installed"
    if state.kernel_module.kernel_modules not in (None, state.driver.kernel_modules):
        return (
            f"{state.kernel_module.kernel_modules} modules are loaded, {state.driver.kernel_modules} ones are installed"
        )
    return verdict.reboot_reason if verdict is not None and verdict.reboot_needed else None


def _reboot(state: NodeState, changes: list[Step], wanted: Wanted, target: Target | None) -> str | None:
    """Say why a reboot is due: the kernel takes modules and their options at boot, so what changes them ends in one."""
    doing = {step.name for step in changes if step.name != "install" or step.disturbs}
    if "install" in doing:
        return "the new driver is loaded at boot"
    if "remove" in doing:
        return "the removed driver is still loaded" if state.kernel_module.loaded else None
    if "gsp" in doing and state.kernel_module.loaded:
        return "the kernel module takes its options at boot"
    if not changes and rebooted_in_vain(state, wanted, target):
        return None
    reason = _reboot_reason(state, gsp_verdict(state, wanted, target) if target else None)
    return reason or (_kernel_waits(state) if wanted.kernel == "follow" else None)


def _kernel_waits(state: NodeState) -> str | None:
    """Say which kernel came and has its modules, but does not run yet: an interrupted run, or a reboot left to the user."""
    kernels, running = state.kernels, state.system.kernel_release
    if kernels is None or kernels.next.unsure or kernels.next.release in (running, *kernels.without):
        return None
    return f"kernel {kernels.next.release} came with its modules, {running} runs"


def _mark(state: NodeState, wanted: Wanted, target: Target | None) -> str:
    """Return what a reboot is for: the driver and its kind of kernel modules, its GSP option, and the boot that it ends."""
    if target is None:
        return f"none default {state.system.boot_id}"
    driver = f"{target.driver_version}/{target.kernel_modules}"
    if wanted.kernel == "follow":
        coming = target.packages.kernel_release if target.packages else state.kernels and state.kernels.next.release
        driver = f"{driver}/{coming or state.system.kernel_release}"
    return f"{driver} {gsp_verdict(state, wanted, target).value or 'default'} {state.system.boot_id}"


def rebooted_in_vain(state: NodeState, wanted: Wanted, target: Target | None) -> bool:
    """Tell whether this very driver with these options had its reboot already: one more would not help, and must not come
    on every run."""
    *purpose, boot_id = (state.files[driver_files.REBOOT_MARK] or "none").split()
    *due, this_boot = _mark(state, wanted, target).split()
    return purpose == due and boot_id != this_boot


def pending_reboot(state: NodeState, wanted: Wanted, target: Target | None, planned: Steps) -> str | None:
    """Say why a reboot is due that the plan does not contain, since the user wants none."""
    if wanted.reboot == "auto":
        return None
    return _reboot(state, list(planned), wanted, target)


def leaving(state: NodeState) -> list[str]:
    """Return every package of the driver that dpkg remembers, for taking it away."""
    return sorted(p.label for p in state.packages if names.is_driver(p.name) and p.status != "not-installed")


def _absent(state: NodeState) -> Iterator[Step]:
    if state.system.dpkg_interrupted and any(names.is_driver(p.name) and p.present for p in state.packages):
        yield Step("repair", INTERRUPTED, data=_repair_data(()))
    going = leaving(state)
    if going:
        data = {"packages": going, "apt_get": purge_arguments(going), "release": held_kernels(state)}
        yield Step("remove", f"{len(going)} packages of the driver are there", GPU_WORK, data)
    left = {path: _without_ours(state, path) for path in driver_files.OURS}
    ours = [path for path, text in left.items() if text != state.files[path]]
    if ours:
        files = [{"path": path, "content": left[path]} for path in ours]
        yield Step("files", f"ours, and no longer wanted: {', '.join(ours)}", data={"files": files})
    if state.system.initramfs_mtime is not None and {modprobe.BLACKLIST_PATH, gsp_facts.DEFAULT_PATH} & set(ours):
        yield Step("initramfs", "module options changed", data=_images(state))


def held_kernels(state: NodeState) -> list[str]:
    """Return the kernels that are held for the sake of pre-built modules, by our own record: others' holds are theirs."""
    ours = set((state.files[driver_files.HELD_KERNELS] or "").split())
    return sorted(p.label for p in state.packages if p.held and p.name in ours)


def _without_ours(state: NodeState, path: str) -> str | None:
    """Return what stays of a file: the GSP file may hold other options, which somebody else wrote."""
    if path != gsp_facts.DEFAULT_PATH:
        return None
    modules = (state.gsp_facts.module_name, "nvidia")
    return modprobe.without_option(state.files[path], modules, gsp_facts.OPTION)


def _drained(state: NodeState, wanted: Wanted, changes: list[Step], reboot_is_left: bool) -> Iterator[Step]:
    """Add drain and uncordon: where a step disturbs, the node is emptied before the first such, and pods return after the last.

    While a reboot is left to the user the node stays empty: a pod would meet a library that does not fit the loaded module.
    """
    drain = wanted.drain == "always" or (wanted.drain == "auto" and state.system.kubelet)
    first = next((step for step in changes if step.disturbs), None) if drain else None
    if first is not None:
        yield Step("drain", f"the step {first.name} comes: {first.disturbs}")
    yield from changes
    if reboot_is_left:
        return
    if first is not None:
        yield Step("uncordon", "the node was drained by this run")
    elif state.files[driver_files.CORDON_MARK] is not None:
        yield Step("uncordon", "an earlier run drained the node and did not let it in again")
    if not changes and state.files[driver_files.BEFORE] is not None:
        yield Step("settle", "an earlier run changed the node and did not prove it")
