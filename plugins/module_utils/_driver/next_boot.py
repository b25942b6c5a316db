# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell whether the kernel that boots next will have the driver, before the reboot that would show it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._files import under
from ansible_collections.t9k.gpu.plugins.module_utils._linux import boot
from ansible_collections.t9k.gpu.plugins.module_utils._linux.secure_boot import ENROLLED, SecureBoot
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.proc import MODULE_FILE

_MODINFO_S = 30
_NO_SECURE_BOOT = SecureBoot()


@dataclass(frozen=True)
class Module:
    """The driver's module on disk. ``version`` and ``kernel``: what it says of itself; None where modinfo cannot read it.

    ``signer``: who signed it; None for nobody, or where modinfo cannot read it.
    """

    path: str
    version: str | None = None
    kernel: str | None = None
    signer: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Kernels:
    """The next kernel and those without a module; ``headers``: those of the next one are there, to build a module with."""

    next: boot.NextKernel
    headers: bool = False
    without: tuple[str, ...] = ()


def kernels(running: str, root: str = "/") -> Kernels:
    """Return what the plan needs to know; files only, since every run pays for it."""
    coming = boot.next_kernel(running, root)
    without = tuple(release for release in boot.installed(root) if not boot.module_file(release, MODULE_FILE, root))
    return Kernels(coming, under(root, f"/lib/modules/{coming.release}/build").exists(), without)


def module(run: Run, release: str, root: str = "/") -> Module | None:
    """Return the module that a kernel has; None if there is none."""
    path = boot.module_file(release, MODULE_FILE, root)
    if path is None:
        return None
    shown = run(["modinfo", str(path)], timeout_s=_MODINFO_S)
    pairs = (line.partition(":") for line in shown.stdout.splitlines() if shown.ok)
    fields = {name.strip(): value.strip() for name, _colon, value in pairs}
    return Module(
        str(path),
        fields.get("version"),
        fields.get("vermagic", "").partition(" ")[0] or None,
        fields.get("signer") or None,
    )


def judge(
    kernel: boot.NextKernel, found: Module | None, version: str, secured: SecureBoot = _NO_SECURE_BOOT
) -> GpuError | None:
    """Return why the driver would not be there after the reboot; None if it would be, as far as can be told. Pure."""
    if found is None:
        said, where = "no module of the driver", f"/lib/modules/{kernel.release}"
    elif found.version not in (None, version):
        said, where = f"its module is of {found.version}", found.path
    elif found.kernel not in (None, kernel.release):
        said, where = f"its module is built for {found.kernel}", found.path
    elif secured.on and found.version is not None:
        return _unsigned(kernel, found, version, secured)
    else:
        return None
    return GpuError(
        f"driver {version} for the kernel that boots next, {kernel.release} ({kernel.where})",
        said,
        where,
        f"install the modules of this version for it (linux-headers-{kernel.release} for dkms, then `dkms autoinstall -k "
        f"{kernel.release}`), or choose another kernel with grub-set-default, then run again",
    )


def _unsigned(kernel: boot.NextKernel, found: Module, version: str, secured: SecureBoot) -> GpuError | None:
    """Return why a kernel under Secure Boot would refuse the module: what a distribution signed, its own kernel accepts."""
    if found.signer is None:
        said = "its module is not signed"
    elif "/updates/dkms/" in found.path and secured.key != ENROLLED:
        said = f"its module is signed by {found.signer!r}, with a key ({secured.certificate}) that is {secured.key}"
    else:
        return None
    return GpuError(
        f"driver {version}, signed for Secure Boot, for the kernel that boots next, {kernel.release} ({kernel.where})",
        said,
        found.path,
        f"enrol the key that dkms signs with (mokutil --import {secured.certificate}, then confirm at the console at the next "
        "boot) and build again (dkms build --force, dkms install --force), or turn Secure Boot off",
    )


def unknown(kernel: boot.NextKernel, found: Module | None) -> list[str]:
    """Return what could not be told, as sentences for a person. Pure."""
    notes = [f"Which kernel boots next is not sure: {kernel.unsure}."] if kernel.unsure else []
    if found is not None and found.version is None:
        notes.append(f"modinfo cannot tell the version of {found.path}.")
    return notes
