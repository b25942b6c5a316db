# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Decide whether GSP firmware is to be switched, and whether that is allowed.

Facts: the option exists from driver 510 on and matters from Turing on. Open kernel modules ignore it, and Blackwell has
no others; on Hopper it is unverified. MIG and vGPU want GSP. A driver that runs says what it really does in each
GPU's ``information`` file and in nvidia-smi; its ``params`` only repeat the option.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._gsp.facts import (
    BEFORE_GSP,
    DEFAULT_ON,
    FIRST_WITH_OPTION,
    FIXED,
    OPTION,
    SWITCHABLE,
    UNKNOWN,
    GspFacts,
    family,
)
from ansible_collections.t9k.gpu.plugins.module_utils._linux.modprobe import COMMAND_LINE, Setting
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import version as versions


@dataclass(frozen=True)
class Verdict:
    """What to do with the option. ``effective``: whether the loaded driver does what is wanted; None: not known."""

    action: str
    value: str | None
    module_name: str
    reason: str
    initramfs_needed: bool = False
    reboot_needed: bool = False
    effective: bool | None = None
    reboot_reason: str = ""
    found: str = ""
    where: str = ""
    next_step: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def raise_if_refused(self) -> None:
        if self.action == "refuse":
            raise GpuError(self.reason, self.found, self.where, self.next_step)


def beats(setting: Setting, facts: GspFacts) -> bool:
    """Tell whether a line elsewhere is read after ours."""
    if setting.path == facts.path:
        return False
    if setting.module != facts.module_name or setting.path == COMMAND_LINE:
        return True
    return setting.name.encode() > facts.path.rsplit("/", 1)[-1].encode()


def contradictions(facts: GspFacts, value: str | None) -> tuple[Setting, ...]:
    """Return lines elsewhere that say something else than ``value`` (None: than the driver's default)."""
    return tuple(s for s in facts.settings if s.path != facts.path and s.value != value)


def obstacle(facts: GspFacts) -> tuple[str, str, str] | None:
    """Say why GSP must stay on: what was found, where, and what to do. None where it may be switched off."""
    foreign = [a for a in facts.architectures if family(a) not in (*SWITCHABLE, *BEFORE_GSP)]
    if facts.kernel_modules == "open":
        return (
            "open kernel modules, which always use GSP and ignore the option",
            "/proc/driver/nvidia/version or the packages",
            "use mode auto or enabled, or change to the proprietary modules",
        )
    if foreign:
        return (
            f"GPUs of architecture {', '.join(sorted(set(foreign)))}",
            "PCI device ids",
            "use mode auto or enabled: GSP can be switched off on Turing, Ampere and Ada only",
        )
    if facts.mig or facts.vgpu:
        kind = "MIG" if facts.mig else "vGPU"
        return (f"{kind} is wanted or on", "options or nvidia-smi", f"use mode auto or enabled, or give up {kind}")
    if facts.kernel_modules is None or facts.driver_version is None:
        missing = "kind of kernel modules" if facts.driver_version else "version"
        return (
            f"no driver whose {missing} is known",
            "/proc/driver/nvidia/version and modinfo",
            "install the driver first, or give driver_version and kernel_modules",
        )
    return None


def pointless(facts: GspFacts) -> str | None:
    """Say why the option makes no difference; None where it does."""
    if not facts.architectures:
        return "no NVIDIA GPU was found"
    if all(family(a) in BEFORE_GSP for a in facts.architectures):
        return "the GPUs are older than Turing and have no GSP"
    if facts.driver_version and versions.key(facts.driver_version) < FIRST_WITH_OPTION:
        return f"driver {facts.driver_version} is older than 510 and does not know the option"
    return None


def always_on(facts: GspFacts) -> bool:
    """Tell where GSP cannot be switched at all."""
    newer = (family(a) not in (*SWITCHABLE, *BEFORE_GSP, UNKNOWN) for a in facts.architectures)
    return facts.kernel_modules == "open" or any(newer)


def default_gsp(facts: GspFacts) -> bool | None:
    """Return what the driver does when nobody says anything; None where that depends on the board."""
    by_version = facts.driver_version is not None and versions.key(facts.driver_version) >= DEFAULT_ON
    return True if always_on(facts) or by_version else None


def _disabled(facts: GspFacts) -> Verdict:
    useless, hindrance = pointless(facts), obstacle(facts)
    if useless:
        return Verdict("none", None, facts.module_name, useless)
    if hindrance:
        found, where, step = hindrance
        wanted = "GSP firmware disabled"
        return Verdict("refuse", None, facts.module_name, wanted, found=found, where=where, next_step=step)
    return _write(facts, "0", "GSP firmware is to be disabled")


def _enabled(facts: GspFacts) -> Verdict:
    useless = pointless(facts)
    if useless:
        return Verdict("none", None, facts.module_name, useless)
    if always_on(facts):
        return _default(facts, "this driver always uses GSP on these GPUs")
    return _write(facts, "1", "GSP firmware is to be enabled")


def _auto(facts: GspFacts) -> Verdict:
    useless, hindrance = pointless(facts), obstacle(facts)
    if useless:
        return Verdict("none", None, facts.module_name, useless)
    if hindrance:
        return _default(facts, f"GSP stays as the driver has it: {hindrance[0]}")
    if versions.key(facts.driver_version) < FIXED:
        reason = f"driver {facts.driver_version} is older than 525.105.17, which fixed GSP timeouts (Xid 119)"
        verdict = _write(facts, "0", reason)
    elif facts.own in ("0", "1"):
        verdict = _write(facts, facts.own, f"{facts.path} states a choice, which auto keeps")
    else:
        verdict = _default(facts, f"driver {facts.driver_version} has the fix for GSP timeouts")
    if verdict.action != "refuse":
        return verdict
    return Verdict("none", None, facts.module_name, f"{verdict.found} ({verdict.where}) stands; auto does not fight it")


def _write(facts: GspFacts, value: str, reason: str) -> Verdict:
    """Have our file say ``value``, unless a line that is read later says otherwise."""
    stronger = [s for s in contradictions(facts, value) if beats(s, facts)]
    if stronger:
        return Verdict(
            "refuse",
            value,
            facts.module_name,
            f"options {facts.module_name} {OPTION}={value} in {facts.path}",
            found=", ".join(f"{OPTION}={s.value} for {s.module}, read later" for s in stronger),
            where=", ".join(s.place for s in stronger),
            next_step="remove the option there",
        )
    action = "none" if facts.own == value and facts.own_exact else "write"
    return _with_running(facts, action, value, reason, value == "1")


def _default(facts: GspFacts, reason: str) -> Verdict:
    """Have our file not switch GSP off, where somebody knows that this is a driver to say so about."""
    known = facts.kernel_modules is not None and facts.driver_version is not None
    must_go = facts.own not in (None, "1") and (known or always_on(facts))
    return _with_running(facts, "remove" if must_go else "none", None, reason, default_gsp(facts))


def _with_running(facts: GspFacts, action: str, value: str | None, reason: str, wanted: bool | None) -> Verdict:
    """Add what the loaded driver does, and whether a boot changes that."""
    changed = action != "none"
    effective = None if None in (wanted, facts.running_gsp) else wanted == facts.running_gsp
    state = {True: "on", False: "off", None: "in an unknown state"}[facts.running_gsp]
    reboot, why = False, ""
    if not facts.loaded:
        why = "no driver is loaded: the option counts from its first load on" if changed else ""
    elif effective is False and not changed and _next_value(facts) == _loaded_value(facts):
        why = f"the loaded driver got what the next boot gives it and runs with GSP {state}: a boot would not help"
    elif effective is False or (effective is None and changed):
        reboot, why = True, f"the loaded driver runs with GSP {state} until the next boot"
    initramfs = changed or (value is not None and facts.initramfs_older)
    return Verdict(
        action,
        value,
        facts.module_name,
        reason,
        initramfs_needed=initramfs,
        reboot_needed=reboot,
        effective=effective,
        reboot_reason=why,
    )


def _next_value(facts: GspFacts) -> str | None:
    """Return what the files, as they are, give the next boot."""
    return facts.settings[-1].value if facts.settings else None


def _loaded_value(facts: GspFacts) -> str | None:
    """Return what the loaded driver was given: its params show 18 where nobody gave anything."""
    return facts.params_value if facts.params_value in ("0", "1") else None


def decide(wanted: str, facts: GspFacts) -> Verdict:
    """Decide by what is wanted: disabled, enabled or auto. Auto never refuses."""
    return {"disabled": _disabled, "enabled": _enabled, "auto": _auto}[wanted](facts)
