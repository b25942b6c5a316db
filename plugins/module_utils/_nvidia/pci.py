# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find NVIDIA's devices on the PCI bus, from sysfs."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under

NVIDIA = "10de"
DEVICES = "/sys/bus/pci/devices"

# First and last device id of each chip family. A chip gets a block of 64 or 128 ids, so blocks of one architecture that
# touch are one row here. Sources: the "PCI device IDs" chapter of envytools (Maxwell to Turing), the public PCI ID
# repository (Ampere to Blackwell), and gpu/devid_chips.py of NVIDIA's gpu-admin-tools (Blackwell's blocks).
_ARCHITECTURES: tuple[tuple[int, int, str], ...] = (
    (0x1340, 0x147F, "Maxwell"),  # GM108, GM107, GM204, GM206
    (0x15C0, 0x15FF, "Pascal"),  # GP100
    (0x1600, 0x167F, "Maxwell"),  # GM204, GM206 (mobile)
    (0x1740, 0x17FF, "Maxwell"),  # GM108, GM107 (mobile), GM200
    (0x1B00, 0x1D7F, "Pascal"),  # GP102, GP104, GP106, GP107, GP108
    (0x1D80, 0x1DFF, "Volta"),  # GV100
    (0x1E00, 0x1FFF, "Turing"),  # TU102, TU104, TU106, TU117
    (0x2080, 0x20FF, "Ampere"),  # GA100
    (0x2180, 0x21FF, "Turing"),  # TU116
    (0x2200, 0x227F, "Ampere"),  # GA102
    (0x2300, 0x237F, "Hopper"),  # GH100
    (0x2400, 0x25FF, "Ampere"),  # GA103, GA104, GA106, GA107
    (0x2680, 0x28FF, "Ada"),  # AD102, AD103, AD104, AD106, AD107
    (0x2900, 0x29FF, "Blackwell"),  # GB100, GB102
    (0x2B80, 0x2C7F, "Blackwell"),  # GB202, GB203
    (0x2D00, 0x2E7F, "Blackwell"),  # GB206, GB207, GB20B
    (0x2F00, 0x2F7F, "Blackwell"),  # GB205
    (0x3180, 0x31FF, "Blackwell"),  # GB110
)

_ADDRESS = re.compile(r"([0-9a-fA-F]{1,8}):([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2})\.([0-7])")


@dataclass(frozen=True)
class PciDevice:
    """One function on the bus, as sysfs shows it."""

    address: str
    vendor_id: str
    device_id: str
    class_id: str
    driver: str | None = None
    numa_node: int | None = None
    virtual_function: bool = False

    @property
    def is_gpu(self) -> bool:
        """Tell whether it is a VGA (0300) or 3D (0302) controller of NVIDIA's."""
        return self.vendor_id == NVIDIA and self.class_id[:4] in ("0300", "0302")

    @property
    def is_nvswitch(self) -> bool:
        """Tell whether it is a bridge (0680): the NVSwitch of HGX and DGX systems, which needs the fabric manager."""
        return self.vendor_id == NVIDIA and self.class_id[:4] == "0680"

    @property
    def architecture(self) -> str | None:
        return architecture(self.device_id) if self.is_gpu else None

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "architecture": self.architecture}


def architecture(device_id: str) -> str | None:
    """Return Maxwell to Blackwell by device id, such as ``2335``; None for ids outside the known blocks."""
    try:
        number = int(device_id, 16)
    except ValueError:
        return None
    return next((name for first, last, name in _ARCHITECTURES if first <= number <= last), None)


def normal_address(text: str) -> str | None:
    """Return ``00000000:3B:00.0`` (nvidia-smi) or ``0000:3b:00.0`` (sysfs) in sysfs' form; None if it is no address."""
    found = _ADDRESS.fullmatch(text.strip())
    if found is None:
        return None
    domain, bus, device, function = (int(part, 16) for part in found.groups())
    return f"{domain:04x}:{bus:02x}:{device:02x}.{function:x}"


def scan(root: str = "/") -> tuple[PciDevice, ...]:
    """Return NVIDIA's devices, sorted by address. One small file is read for each device of other vendors."""
    folder = under(root, DEVICES)
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208 - names are all that is wanted
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ()
    return tuple(_read(folder / name) for name in names if _is_nvidia(f"{folder}/{name}/vendor"))


def _is_nvidia(path: str) -> bool:
    """Tell NVIDIA's devices, without the comfort of ``read_text``: a server has hundreds, nearly all of other vendors."""
    try:
        with open(path, "rb", buffering=0) as stream:
            return stream.read(16).strip().lower() == b"0x10de"
    except OSError:
        return False


def _read(folder: Path) -> PciDevice:
    return PciDevice(
        address=normal_address(folder.name) or folder.name.lower(),
        vendor_id=NVIDIA,
        device_id=_hexadecimal(folder / "device"),
        class_id=_hexadecimal(folder / "class"),
        driver=_link_name(folder / "driver"),
        numa_node=_numa_node(folder / "numa_node"),
        virtual_function=(folder / "physfn").exists(),
    )


def _hexadecimal(path: Path) -> str:
    """Return ``0x10de`` as ``10de``; an unreadable file is an empty string."""
    text = (read_text(path) or "").strip().lower()
    return text[2:] if text.startswith("0x") else text


def _link_name(path: Path) -> str | None:
    try:
        return Path(os.readlink(path)).name  # Path.readlink is of Python 3.9
    except OSError:
        return None


def _numa_node(path: Path) -> int | None:
    """Return the memory node; the kernel writes -1 where the firmware names none."""
    try:
        node = int(read_text(path) or "-1")
    except ValueError:
        return None
    return node if node >= 0 else None
