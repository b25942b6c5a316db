# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Find what can send peer-to-peer traffic a longer way: IOMMU and ACS.

Only sysfs and procfs are read; nothing is ever written to a PCI device.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under

_EXTENDED_CAPABILITIES = 0x100
_ACS_CAPABILITY = 0x000D
_ACS_CONTROL = 6
#: P2P Request Redirect and P2P Completion Redirect: traffic between two ports goes up to the root complex.
_REDIRECT = 0b1100
_IOMMU_WORDS = ("intel_iommu=", "amd_iommu=", "iommu=", "iommu.passthrough=", "pcie_acs_override=")


def cautions(addresses: Iterable[str], root: str = "/") -> list[str]:
    """Return sentences for people; empty if nothing stands in the way of peer-to-peer traffic."""
    known = sorted({address for address in addresses if address})
    found = []
    translated = [address for address in known if _translated(address, root)]
    if translated:
        words = _command_line(root)
        said = f" (kernel command line: {words})" if words else ""
        found.append(
            f"The IOMMU translates for {_names(translated)}{said}. Traffic "
            "between PCIe GPUs may go through the root complex or hang; bare metal wants iommu=pt or no IOMMU. "
            "In a virtual machine this is the guest's own IOMMU"
        )
    redirecting = sorted({bridge for address in known for bridge in _bridges(address, root) if _redirects(bridge)})
    if redirecting:
        found.append(
            f"ACS sends peer-to-peer traffic of the PCIe ports {_names([Path(bridge).name for bridge in redirecting])} "
            "up to the root complex. On bare metal switch ACS off in the firmware; a host of virtual machines needs it"
        )
    return found


def _translated(address: str, root: str) -> bool:
    """Tell whether the IOMMU translates, by the device's group: DMA, DMA-FQ (translated) or identity (passed through)."""
    return (read_text(_device(address, root) / "iommu_group/type") or "").startswith("DMA")


def _command_line(root: str) -> str:
    words = (read_text(under(root, "/proc/cmdline")) or "").split()
    return " ".join(word for word in words if word.startswith(_IOMMU_WORDS))


def _device(address: str, root: str) -> Path:
    return under(root, "/sys/bus/pci/devices") / address


def _bridges(address: str, root: str) -> Iterator[str]:
    """Yield the PCIe ports above a device, which sysfs has as the folders above it."""
    folder = Path(os.path.realpath(_device(address, root)))
    for parent in folder.parents:
        if not (parent / "config").exists():
            return
        yield str(parent)


def _redirects(bridge: str) -> bool:
    """Read ACS from the port's configuration space, of which only root may read more than 64 bytes."""
    try:
        space = (Path(bridge) / "config").read_bytes()
    except OSError:
        return False
    offset, seen = _EXTENDED_CAPABILITIES, set()
    while offset and offset not in seen and offset + 8 <= len(space):
        seen.add(offset)
        header = int.from_bytes(space[offset : offset + 4], "little")
        if header & 0xFFFF == _ACS_CAPABILITY:
            control = int.from_bytes(space[offset + _ACS_CONTROL : offset + _ACS_CONTROL + 2], "little")
            return bool(control & _REDIRECT)
        offset = header >> 20
    return False


def _names(addresses: list[str]) -> str:
    return ", ".join(addresses[:4]) + (f" and {len(addresses) - 4} more" if len(addresses) > 4 else "")
