# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell how much room an installation takes, and where it is lacking: a file system that fills up half way leaves dpkg broken. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.t9k.gpu.plugins.module_utils._debian import kernel
from ansible_collections.t9k.gpu.plugins.module_utils._driver.plan import Target
from ansible_collections.t9k.gpu.plugins.module_utils._driver.state import NodeState
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

#: Room for a driver whose packages do not say how large they are, and what is left free beside those that do.
UNKNOWN_MIB, MARGIN_MIB = 1024, 256
#: What dkms takes below /var/lib/dkms for a kernel; and a kernel below /boot beside its initramfs.
BUILD_MIB, KERNEL_MIB = 1024, 64
_MIB, _KIB = 1024 * 1024, 1024


def needed(state: NodeState, target: Target) -> dict[str, int]:
    """Return the MiB that the installation takes: on the root, below /var what is fetched and built, below /boot new images.

    An initramfs is written beside the one that it replaces, one after the other; a new kernel brings one of its own.
    """
    moves, packages = target.transaction, target.packages
    builds = packages is not None and packages.module_build == "dkms"
    kernels = [move for move in moves.install if kernel.image_of([move.name])]
    image = state.system.initramfs_mib
    return {
        "/": -(-moves.unpacked_kib // _KIB) + MARGIN_MIB if moves.unpacked_kib else UNKNOWN_MIB,
        "/var": -(-moves.download_bytes // _MIB) + (BUILD_MIB if builds else 0),
        "/boot": image + len(kernels) * (image + KERNEL_MIB),
    }


def faults(state: NodeState, target: Target) -> Iterator[GpuError]:
    """Refuse what would fill a file system half way; places that are one file system need the room of all."""
    elsewhere, taken = dict(state.system.elsewhere), needed(state, target)
    free = {"/": state.system.free_mib, **elsewhere}
    for place, there in free.items():
        sharing = [name for name in taken if name == place or (place == "/" and name not in elsewhere)]
        wanted = sum(taken[name] for name in sharing)
        if there < wanted:
            yield GpuError(
                f"{wanted} MiB free on {place}",
                f"{there} MiB",
                f"statvfs {place}",
                "make room: old kernels (apt-get autoremove) and fetched packages (apt-get clean) often take it",
            )
