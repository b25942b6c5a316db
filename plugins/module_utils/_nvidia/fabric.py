# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge the NVSwitch fabric of a machine: what there is of it, and who must run for it.

CUDA answers 802 on such a machine until the fabric is up, whatever nvidia-smi says of the GPUs. Sources: "Fabric Manager for
NVIDIA NVSwitch Systems" (User Guide; services, one version with the driver), and NVIDIA's driver container (gpu-driver-container,
ubuntu22.04/nvidia-driver and install.sh) for how NVLink 5 is told (``SW_MNG`` in the vital product data of an InfiniBand device,
since HGX B200 shows no NVSwitch on the PCI bus), for nvlsm beside fabric manager there, and for the companions of the driver's
version.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.health import ERROR, FABRIC_SERVICE, WARNING, Fault
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import PciDevice

NVSWITCH, NVLINK_5 = "NVSwitch", "NVLink 5"
#: Names of processes as the kernel keeps them: 15 characters.
MANAGER, SUBNET_MANAGER = "nv-fabricmanage", "nvlsm"
#: Packages that must be of the driver's version where they are installed; some have the branch in their name.
COMPANIONS = re.compile(r"(libnvidia-nscq|libnvsdm|nvidia-imex)(?:-\d+)?")
_INFINIBAND = "/sys/class/infiniband"
_MARK = b"SW_MNG"
_ENABLED = "/etc/systemd/system/multi-user.target.wants"
_NVLINK_5_GPUS = ("Blackwell", None)  # None: newer than we know


@dataclass(frozen=True)
class Fabric:
    """What was read. ``kind`` is None on a machine without a fabric, of which nothing else is read."""

    kind: str | None = None
    enabled: bool = False  # fabric manager starts at boot
    running: frozenset[str] = frozenset()  # of MANAGER and SUBNET_MANAGER
    umad: bool = False  # the kernel module ib_umad is loaded
    companions: Mapping[str, str | None] = field(default_factory=dict)  # driver version by package


def read(devices: Iterable[PciDevice], versions: Mapping[str, str | None], root: str = "/") -> Fabric:
    """Read the fabric's part of a node. ``versions``: the driver version of each installed package of the driver."""
    kind = kind_of(devices, root)
    if kind is None:
        return Fabric()
    return Fabric(
        kind,
        (under(root, _ENABLED) / FABRIC_SERVICE).is_symlink(),
        frozenset({MANAGER, SUBNET_MANAGER} & set(_processes(root))),
        under(root, "/sys/module/ib_umad").is_dir(),
        {name: version for name, version in versions.items() if COMPANIONS.fullmatch(name)},
    )


def kind_of(devices: Iterable[PciDevice], root: str = "/") -> str | None:
    """Tell which generation of fabric there is; NVLink 5 is not on the PCI bus of the node."""
    devices = tuple(devices)
    if any(device.is_nvswitch for device in devices):
        return NVSWITCH
    if not any(device.is_gpu and device.architecture in _NVLINK_5_GPUS for device in devices):
        return None  # vital product data is slow to read, and machines of other GPUs have many such devices
    return NVLINK_5 if any(_manages_switches(path) for path in _entries(under(root, _INFINIBAND))) else None


def _manages_switches(device: Path) -> bool:
    try:
        return _MARK in (device / "device/vpd").read_bytes()
    except OSError:
        return False


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _processes(root: str) -> Iterator[str]:
    proc = under(root, "/proc")
    for name in os.listdir(proc):  # noqa: PTH208 - names are all that is wanted
        if name.isdigit():
            yield (read_text(proc / name / "comm") or "").strip()


def judge(fabric: Fabric, driver_version: str | None, ours: bool = True) -> tuple[Fault, ...]:
    """Return every fault of the machine's part in it; a GPU's own is ``_nvidia.health``'s to judge.

    ``ours``: its services are this node's, not somebody else's (a container's).
    """
    return (*(_services(fabric) if ours else ()), *_versions(fabric, driver_version))


def _services(fabric: Fabric) -> Iterator[Fault]:
    if fabric.kind is None:
        return
    here = f"this machine has an {fabric.kind} fabric"
    enable = f"systemctl enable --now {FABRIC_SERVICE}"
    if not fabric.enabled:
        yield Fault("fabric_manager_disabled", ERROR, f"{here}, and {FABRIC_SERVICE} is not enabled", enable)
    if MANAGER not in fabric.running:
        remedy = f"{enable}, and see journalctl -u {FABRIC_SERVICE}"
        yield Fault("fabric_manager_not_running", ERROR, f"{here}, and no fabric manager runs", remedy, may_pass=True)
    if fabric.kind != NVLINK_5:
        return
    if SUBNET_MANAGER not in fabric.running:
        remedy = f"install nvlsm beside fabric manager (570 and later start it), then restart {FABRIC_SERVICE}"
        found = f"{here}, and no NVLink subnet manager (nvlsm) runs"
        yield Fault("nvlsm_not_running", ERROR, found, remedy, may_pass=True)
    if not fabric.umad:
        found = f"{here}, and the kernel module ib_umad, by which its managers speak, is not loaded"
        yield Fault("ib_umad_not_loaded", ERROR, found, "modprobe ib_umad, and name it in /etc/modules-load.d")


def _versions(fabric: Fabric, driver_version: str | None) -> Iterator[Fault]:
    other = {
        name: version for name, version in fabric.companions.items() if driver_version and version != driver_version
    }
    if other:
        said = ", ".join(f"{name} {version or 'of no known version'}" for name, version in sorted(other.items()))
        found = f"the driver is {driver_version}, and of another version are {said}"
        yield Fault("fabric_versions_differ", WARNING, found, "install these packages in the driver's version")
