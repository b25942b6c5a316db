# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Collect the facts that a decision on GSP firmware rests on, from files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under
from ansible_collections.t9k.gpu.plugins.module_utils._linux.modprobe import Config, Setting
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import PciDevice
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.proc import MODULE_NAME, KernelModule
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.smi import SmiReport

OPTION = "NVreg_EnableGpuFirmware"
DEFAULT_PATH = "/etc/modprobe.d/nvidia-gsp.conf"
FIRST_WITH_OPTION = (510,)
#: The regression "Timeout waiting for RPC from GSP" (Xid 119) is fixed from here on, say the release notes.
FIXED = (525, 105, 17)
#: From here on proprietary modules use GSP on every GPU that has one.
DEFAULT_ON = (560,)
BEFORE_GSP = ("Tesla", "Fermi", "Kepler", "Maxwell", "Pascal", "Volta")
SWITCHABLE = ("Turing", "Ampere", "Ada")
UNKNOWN = "unknown"
_MODULE_FILE = re.compile(rf"/({MODULE_NAME})\.ko[.\w]*:")


def family(architecture: str) -> str:
    """Return the first word: ``Ada Lovelace`` (nvidia-smi) is ``Ada``."""
    return (architecture.split() or [UNKNOWN])[0]


@dataclass(frozen=True)
class Host:
    """The system around the driver: the ID of its os-release, its running kernel, and where its files are."""

    os_id: str
    kernel_release: str
    root: str = "/"


@dataclass(frozen=True)
class GspFacts:
    """What the decision rests on. ``architectures``: one for each GPU; ``params_value``: of the loaded driver."""

    driver_version: str | None = None
    kernel_modules: str | None = None
    architectures: tuple[str, ...] = ()
    mig: bool = False
    vgpu: bool = False
    loaded: bool = False
    running_gsp: bool | None = None
    params_value: str | None = None
    module_name: str = "nvidia"
    path: str = DEFAULT_PATH
    settings: tuple[Setting, ...] = ()
    initramfs_older: bool = False

    @property
    def own(self) -> str | None:
        """Return the value that our file gives: its last one."""
        return next((s.value for s in reversed(self.settings) if s.path == self.path), None)

    @property
    def own_exact(self) -> bool:
        """Tell whether our file says one thing only, and to the module's real name."""
        said = {(s.module, s.value) for s in self.settings if s.path == self.path}
        return said == {(self.module_name, self.own)}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def running_gsp(states: Iterable[bool | None]) -> bool | None:
    """Give one answer from every GPU's: True if any runs on GSP, False if all known ones do not, None if none is known."""
    known = [state for state in states if state is not None]
    return any(known) if known else None


def real_module_name(config: Config, system: Host) -> str:
    """Return the kernel module's name on this host, best witness first: modprobe's install line, the modules that the
    running kernel has, the distribution (Debian builds ``nvidia-current``)."""
    named = config.real_name("nvidia")
    if named:
        return named
    index = read_text(under(system.root, f"/lib/modules/{system.kernel_release}/modules.dep")) or ""
    found = _MODULE_FILE.search(index)
    if found:
        return found[1]
    return "nvidia-current" if system.os_id == "debian" else "nvidia"


def initramfs_older(path: str, system: Host) -> bool:
    """Tell whether the running kernel's initramfs was made before our file was last written, so that it lacks it."""
    try:
        image = under(system.root, f"/boot/initrd.img-{system.kernel_release}").stat()
        return image.st_mtime < under(system.root, path).stat().st_mtime
    except OSError:
        return False


def collect(
    devices: Iterable[PciDevice],
    kernel: KernelModule,
    report: SmiReport | None,
    config: Config,
    system: Host,
    path: str = DEFAULT_PATH,
) -> GspFacts:
    """Return the facts of a host as others read it; what the user states over them is for ``dataclasses.replace``."""
    gpus = report.gpus if report else ()
    module_name = real_module_name(config, system)
    states = {address: information.gsp_enabled for address, information in kernel.gpus.items()}
    for gpu in gpus:
        if gpu.gsp_enabled is not None:
            states[gpu.pci_address or gpu.uuid or str(gpu.index)] = gpu.gsp_enabled
    return GspFacts(
        driver_version=kernel.version,
        kernel_modules=kernel.kernel_modules,
        architectures=tuple(device.architecture or UNKNOWN for device in devices if device.is_gpu),
        mig=any(gpu.mig_mode_current or gpu.mig_mode_pending for gpu in gpus),
        vgpu=any("vgpu" in (gpu.virtualization_mode or "").lower() for gpu in gpus),
        loaded=kernel.loaded,
        running_gsp=running_gsp(states.values()),
        params_value=kernel.params.get("EnableGpuFirmware"),
        module_name=module_name,
        path=path,
        settings=config.settings((module_name, "nvidia"), OPTION),
        initramfs_older=initramfs_older(path, system),
    )


def parse_modinfo(text: str) -> tuple[str | None, str | None]:
    """Return version and kind of the module on disk: the open one is licensed ``Dual MIT/GPL``, the other ``NVIDIA``."""
    fields = {key: value.strip() for key, _colon, value in (line.partition(":") for line in text.splitlines())}
    licence = fields.get("license", "")
    kind = "open" if "MIT" in licence or "GPL" in licence else "proprietary" if "NVIDIA" in licence else None
    return fields.get("version") or None, kind
