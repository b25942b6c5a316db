# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell whether the kernel that boots next will have the driver, before the reboot that would show it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._files import under
from ansible_collections.t9k.gpu.plugins.module_utils._linux import boot, secure_boot
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.proc import MODULE_FILE

_MODINFO_S = 30


@dataclass(frozen=True)
class Module:
    """The driver's module on disk: what it says of itself; None where modinfo cannot read it. ``signature``: ``none``, or its kind;
    who signed it, and with which key, only a modinfo that can read that kind tells."""

    path: str
    version: str | None = None
    kernel: str | None = None
    signature: str | None = None
    signer: str | None = None
    key: str | None = None

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
    signature = (fields.get("sig_id") or "none") if fields else None
    kernel = fields.get("vermagic", "").partition(" ")[0] or None
    return Module(str(path), fields.get("version"), kernel, signature, fields.get("signer"), fields.get("sig_key"))


def judge(
    kernel: boot.NextKernel, found: Module | None, version: str, trust: secure_boot.Trust | None = None
) -> GpuError | None:
    """Return why the driver would not be there after the reboot; None if it would be, as far as can be told. Pure.

    ``trust``: whose signatures the kernel takes, where Secure Boot is on.
    """
    if found is not None and trust is not None and _right(kernel, found, version):
        return _refused(kernel, found, trust)
    if found is None:
        said, where = "no module of the driver", f"/lib/modules/{kernel.release}"
    elif found.version not in (None, version):
        said, where = f"its module is of {found.version}", found.path
    elif found.kernel not in (None, kernel.release):
        said, where = f"its module is built for {found.kernel}", found.path
    else:
        return None
    return GpuError(
        f"driver {version} for the kernel that boots next, {kernel.release} ({kernel.where})",
        said,
        where,
        f"install the modules of this version for it (linux-headers-{kernel.release} for dkms, then `dkms autoinstall -k "
        f"{kernel.release}`), or choose another kernel with grub-reboot (for good: grub-set-default, with GRUB_DEFAULT=saved), then "
        "run again",
    )


def _right(kernel: boot.NextKernel, found: Module, version: str) -> bool:
    return found.version in (None, version) and found.kernel in (None, kernel.release)


def _refused(kernel: boot.NextKernel, found: Module, trust: secure_boot.Trust) -> GpuError | None:
    """Return why the kernel would refuse a module that is otherwise right, since Secure Boot is on."""
    if found.signature == "none":
        said = "it is not signed"
    elif trust.takes(found.signer, found.key) is False:
        said = f"it is signed by {found.signer} with key {found.key}, which is not enrolled"
    else:
        return None
    return GpuError(
        f"a module that kernel {kernel.release} takes, since Secure Boot is on",
        said,
        f"{found.path}; {secure_boot.EFI} (db, MokListRT), /proc/keys",
        "enrol the key that dkms signs with (mokutil --import, then confirm at the console while booting) and build the module anew, "
        "or use pre-built modules (driver_module_build: prebuilt)",
    )


def unknown(kernel: boot.NextKernel, found: Module | None, trust: secure_boot.Trust | None = None) -> list[str]:
    """Return what could not be told, as sentences for a person. Pure."""
    notes = [f"Which kernel boots next is not sure: {kernel.unsure}."] if kernel.unsure else []
    if found is not None and found.version is None:
        notes.append(f"modinfo cannot tell the version of {found.path}.")
    if (
        found is not None
        and trust is not None
        and found.signature != "none"
        and trust.takes(found.signer, found.key) is None
    ):
        notes.append(f"Secure Boot is on, and whether the kernel takes the signature of {found.path} cannot be told.")
    return notes
