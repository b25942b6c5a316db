# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Put faults, steps, health and summary of one node together: what ``nvidia_driver_plan`` returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any, Callable

from ansible_collections.t9k.gpu.plugins.module_utils._change import Change
from ansible_collections.t9k.gpu.plugins.module_utils._command import Run
from ansible_collections.t9k.gpu.plugins.module_utils._debian import apt as debian_apt
from ansible_collections.t9k.gpu.plugins.module_utils._debian.login import shown
from ansible_collections.t9k.gpu.plugins.module_utils._driver import back as driver_back
from ansible_collections.t9k.gpu.plugins.module_utils._driver import before as driver_before
from ansible_collections.t9k.gpu.plugins.module_utils._driver import busy as driver_busy
from ansible_collections.t9k.gpu.plugins.module_utils._driver import files as driver_files
from ansible_collections.t9k.gpu.plugins.module_utils._driver import former as driver_former
from ansible_collections.t9k.gpu.plugins.module_utils._driver import notes
from ansible_collections.t9k.gpu.plugins.module_utils._driver import plan as driver_plan
from ansible_collections.t9k.gpu.plugins.module_utils._driver import preflight as driver_preflight
from ansible_collections.t9k.gpu.plugins.module_utils._driver import proof as driver_proof
from ansible_collections.t9k.gpu.plugins.module_utils._driver import summary as driver_summary
from ansible_collections.t9k.gpu.plugins.module_utils._driver import target as driver_target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._driver.support import Support
from ansible_collections.t9k.gpu.plugins.module_utils._driver.wanted import Wanted
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import version as versions
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.holders import Process
from ansible_collections.t9k.gpu.plugins.module_utils._step import Step, Steps

_NOTHING_KNOWN = Support()

#: What is returned of a host without a GPU.
_LISTS = (
    "steps",
    "faults",
    "security_held_back",
    "warnings_found",
    "problems",
    "failures",
    "known_problems",
    "waiting_for",
    "health",
    "history",
)
NOTHING: dict[str, Any] = {
    **{name: [] for name in _LISTS},
    **dict.fromkeys(("reboot_pending", "previous", "before", "waited")),
    "mended_by_going_back": True,
}


def make(
    run: Run,
    state: NodeState,
    wanted: Wanted,
    supported: Mapping[str, Any],
    support: Support = _NOTHING_KNOWN,
    after_change: bool = False,
    at_work: Callable[[], Sequence[Process]] = tuple,
) -> dict[str, Any]:
    """Return everything the role needs to know of the node, in one dictionary. ``after_change``: the reading is the proof of one.

    ``at_work`` finds GPU work that is no pod's; it is asked only where something will be disturbed.
    """
    target, faults = _target(run, state, wanted, supported, support)
    steps = () if faults else _steps(state, wanted, target, faults)
    if not after_change:
        steps = _undisturbed(wanted, steps, at_work, faults)
    steps = tuple(step for step in steps if not (after_change and step.name == "settle"))
    pending = driver_plan.pending_reboot(state, wanted, target, steps)
    due = [step for step in steps if step.name not in driver_plan.AFTER_PROOF]
    proof = driver_proof.Proof() if due or pending or faults else _proof(state, wanted, target)
    return {
        "faults": [str(fault) for fault in faults],
        "steps": [step.to_dict() for step in steps],
        "warnings_found": [*_warnings(state, target, support), *proof.warnings],
        **proof.to_dict(),
        "before": _before(state, wanted, steps),
        "reboot_pending": pending,
        "security_held_back": [asdict(each) for each in state.security_updates],
        "target_version": target.driver_version if target else None,
        "previous": _previous(state, wanted),
        "node": driver_summary.summary(state, pending, proof.health),
        "diff": _diff(state, steps),
    }


def _steps(state: NodeState, wanted: Wanted, target: driver_plan.Target | None, faults: list[GpuError | str]) -> Steps:
    try:
        return driver_plan.plan(state, wanted, target)
    except GpuError as fault:
        faults.append(fault)
        return ()


def _undisturbed(
    wanted: Wanted, steps: Steps, at_work: Callable[[], Sequence[Process]], faults: list[GpuError | str]
) -> Steps:
    """Refuse, or wait for, work that the steps would break and no drain ends; the way back is no time to ask."""
    if wanted.busy == "ignore" or wanted.back or not any(step.disturbs for step in steps):
        return steps
    found = at_work()
    if found and wanted.busy == "refuse":
        faults.append(driver_busy.fault(found))
        return ()
    return (driver_busy.step(found), *steps) if found else steps


def _target(
    run: Run, state: NodeState, wanted: Wanted, supported: Mapping[str, Any], support: Support
) -> tuple[driver_plan.Target | None, list[GpuError | str]]:
    """Return the target and every fault that keeps the node from it; apt is not asked where it could not answer."""
    if wanted.state == "absent":
        return None, list(_absent_faults(run, state, wanted))
    faults: list[GpuError | str] = [
        *driver_preflight.faults(state, supported),
        *driver_preflight.count(state, wanted),
        *driver_preflight.followed(state, wanted),
    ]
    key = driver_preflight.os_key(state)
    if key not in supported or not state.system.as_root:
        return None, faults
    told = driver_former.known(state) if wanted.back else None
    try:
        target = (
            driver_back.target(run, state, told)
            if told
            else driver_target.resolve(run, state, wanted, supported[key], support)
        )
    except GpuError as fault:
        return None, [*faults, fault]
    return target, [*faults, *driver_preflight.target_faults(state, wanted, target, support)]


def _absent_faults(run: Run, state: NodeState, wanted: Wanted) -> Iterator[GpuError]:
    """Refuse to take the driver away where apt would take more than that."""
    yield from driver_preflight.privilege(state)
    going = driver_plan.leaving(state)
    if going and state.system.as_root:
        try:
            yield from driver_preflight.removals(wanted, debian_apt.removal(run, going))
        except GpuError as fault:
            yield fault


def _proof(state: NodeState, wanted: Wanted, target: driver_plan.Target | None) -> driver_proof.Proof:
    return driver_proof.prove(state, wanted, driver_plan.gsp_verdict(state, wanted, target) if target else None)


def _before(state: NodeState, wanted: Wanted, steps: Steps) -> str | None:
    """Return what must be remembered of the GPUs before the steps; an interrupted run remembers better than this one could."""
    disturbing = any(step.disturbs for step in steps) and wanted.state == "present"
    return driver_before.render(state) if disturbing and state.files[driver_files.BEFORE] is None else None


def _warnings(state: NodeState, target: driver_plan.Target | None, support: Support) -> tuple[str, ...]:
    if target is None:
        return ()
    ended = support.ended(versions.branch(target.driver_version), date.today().strftime("%Y-%m"))
    lacking = (notes.without_module(state), notes.kept_away(state)) if target.packages is None else ()
    said = (*target.warnings, *(target.packages.warnings if target.packages else ()))
    return tuple(filter(None, (ended, *lacking, *said)))


def _previous(state: NodeState, wanted: Wanted) -> dict[str, str] | None:
    """Return the driver to go back to: the one that is kept from before a change without a proof, else the one that is there."""
    kept = driver_former.previous(state)
    if kept or state.driver is None:
        return kept
    driver = state.driver
    return {
        "version": driver.driver_version,
        "kernel_modules": driver.kernel_modules,
        "module_build": driver.module_build,
        "flavour": driver_target.flavour_of(driver, state, wanted) or wanted.flavour,
    }


def _diff(state: NodeState, steps: Steps) -> list[dict[str, str]]:
    """Return one entry a step: files by their text, packages by their versions, the rest by its reason."""
    return [change.diff for step in steps for change in _changes(state, step)]


def _changes(state: NodeState, step: Step) -> list[Change]:
    if step.name == "files":
        sides = ((file["path"], state.files[file["path"]], file["content"]) for file in step.data["files"])
        return [Change(path, *(text if text is None else shown(text) for text in texts)) for path, *texts in sides]
    if step.name == "install":
        return [_packages_change(step.data["transaction"])]
    if step.name == "remove":
        versions = {package.label: package.version for package in state.packages}
        return [Change("packages", "".join(f"{name} {versions[name]}\n" for name in step.data["packages"]), "")]
    return [Change(step.name, "", f"{step.reason}\n")]


def _packages_change(transaction: Mapping[str, Any]) -> Change:
    """Return every package that apt said it would touch, with its version before and after."""
    moves = [move for kind in ("install", "upgrade", "downgrade", "remove") for move in transaction[kind]]
    sides = [
        "".join(
            f"{move['name']} {move[side]}\n" for move in sorted(moves, key=lambda move: str(move["name"])) if move[side]
        )
        for side in ("before", "after")
    ]
    return Change("packages", *sides)
