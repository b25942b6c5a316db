# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell which branches and which kernel modules drive a GPU, and how long a branch lives. Pure.

What is known stands in the role's ``vars/main.yml`` with its sources; here is only how to read it. A GPU or a branch that the
table does not have is let through: NVIDIA may know it before we do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import PciDevice

KINDS = ("open", "proprietary")
#: What the table says instead of a month where NVIDIA gave none.
ENDED = "ended"


@dataclass(frozen=True)
class Architecture:
    """The GPUs of one row; ``first`` and ``last``: the branches that drive them."""

    name: str
    first: int = 0
    last: int | None = None
    kernel_modules: tuple[str, ...] = KINDS
    device_ids: tuple[str, ...] = ()  # of those that differ from the rest of their architecture

    def drives(self, branch: str) -> bool:
        """Tell whether a branch drives these GPUs; what is no number is not judged."""
        return not branch.isdigit() or (self.first <= int(branch) and (self.last is None or int(branch) <= self.last))

    @property
    def branches(self) -> str:
        """Say which branches these are, for a sentence."""
        return f"{self.first} and later" if self.last is None else f"{self.last} and earlier"


@dataclass(frozen=True)
class Support:
    """The whole table. ``ends``: the month after which NVIDIA mends nothing in a branch, as ``2026-06``."""

    architectures: tuple[Architecture, ...] = ()
    ends: tuple[tuple[str, str], ...] = ()
    open_recommended_from: int | None = None

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Support:
        """Take it from the role's variable."""
        rows = table.get("architectures") or {}
        return cls(
            tuple(
                Architecture(
                    name,
                    int(row.get("first", 0)),
                    int(row["last"]) if row.get("last") else None,
                    tuple(row.get("kernel_modules", KINDS)),
                    tuple(str(each).lower() for each in row.get("device_ids", ())),
                )
                for name, row in rows.items()
            ),
            tuple((str(branch), str(month)) for branch, month in (table.get("branch_ends") or {}).items()),
            table.get("open_recommended_from"),
        )

    def architecture(self, gpu: PciDevice) -> Architecture | None:
        """Return a GPU's row: the one that names its device id before that of its architecture."""
        named = (row for row in self.architectures if gpu.device_id in row.device_ids)
        rows = (row for row in self.architectures if row.name == gpu.architecture)
        return next(named, None) or next(rows, None)

    def drives(self, gpus: Iterable[PciDevice], branch: str) -> bool:
        """Tell whether a branch drives all GPUs of a node."""
        return all(row is None or row.drives(branch) for row in map(self.architecture, gpus))

    def kernel_modules(self, gpus: Iterable[PciDevice], branch: str) -> str:
        """Choose the kernel modules: what alone drives a GPU of the node, else what NVIDIA recommends, else proprietary ones.

        A GPU that is not known gets the modules that drive most.
        """
        rows = [self.architecture(gpu) for gpu in gpus]
        only = {row.kernel_modules[0] for row in rows if row is not None and len(row.kernel_modules) == 1}
        if "open" in only:
            return "open"
        newer = (
            branch.isdigit() and self.open_recommended_from is not None and int(branch) >= self.open_recommended_from
        )
        return "open" if newer and not only and None not in rows else "proprietary"

    def faults(self, gpus: Iterable[PciDevice], branch: str, kernel_modules: str) -> Iterator[GpuError]:
        """Refuse a driver that does not drive the node's GPUs, once for each kind of GPU."""
        for row, address in {row: gpu.address for gpu in gpus for row in [self.architecture(gpu)] if row}.items():
            where = f"PCI {address}"
            if not row.drives(branch):
                step = "set driver_branch or driver_version to one of these, or leave them empty"
                yield GpuError(
                    f"a driver of branch {row.branches}, for a {row.name} GPU", f"branch {branch}", where, step
                )
            if kernel_modules not in row.kernel_modules:
                wanted = f"{' or '.join(row.kernel_modules)} kernel modules, for a {row.name} GPU"
                step = f"set driver_kernel_modules to auto or {row.kernel_modules[0]}"
                yield GpuError(wanted, f"{kernel_modules} ones", where, step)

    def ended(self, branch: str, month: str) -> str | None:
        """Say that a branch is past its end in a month such as ``2026-11``; None where it lives or is not known."""
        end = dict(self.ends).get(branch)
        if end is None or (end != ENDED and month <= end):
            return None
        when = "has ended" if end == ENDED else f"ended in {end}"
        return f"NVIDIA's support of driver branch {branch} {when}: it gets no security fixes of theirs any more"
