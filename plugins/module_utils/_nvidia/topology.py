# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell how GPUs and NICs are linked: ``nvidia-smi topo -m``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._command import Run
from ansible_collections.t9k.gpu.plugins.module_utils._errors import GpuError

MATRIX = ("nvidia-smi", "topo", "-m")

_KINDS = {
    "X": "self",
    "PIX": "pcie_switch",
    "PXB": "pcie_switch",
    "PHB": "host_bridge",
    "NODE": "numa",
    "SYS": "system",
    "SOC": "system",  # what older drivers call SYS
}
_NVLINK = re.compile(r"NV(\d+)")
_ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\([A-Z0-9]")
_NIC_NAME = re.compile(r"^\s*(NIC\d+):\s*(\S+)", re.MULTILINE)
_GPU = re.compile(r"GPU\d+")


def kind(link: str) -> str | None:
    """Return ``nvlink``, ``pcie_switch``, ``host_bridge``, ``numa``, ``system`` or ``self``; None for a word not known."""
    return "nvlink" if nvlinks(link) else _KINDS.get(link)


def nvlinks(link: str) -> int:
    """Count the NVLinks that are bonded: 12 for ``NV12``, 0 for what is no NVLink."""
    found = _NVLINK.fullmatch(link)
    return int(found.group(1)) if found else 0


@dataclass(frozen=True)
class Affinity:
    """The processors and the memory node near a GPU, in nvidia-smi's words (``0-15,32-47``)."""

    cpus: str | None
    numa_nodes: str | None
    gpu_numa_node: str | None


@dataclass(frozen=True)
class Topology:
    """``links[i][j]`` is the link between the devices i and j of ``gpus`` followed by ``nics``."""

    gpus: tuple[str, ...]
    nics: tuple[str, ...]
    links: tuple[tuple[str, ...], ...]
    affinities: tuple[Affinity, ...]
    nic_names: dict[str, str]

    def link(self, a: str | int, b: str | int) -> str:
        """Return the link between two devices by name, GPUs also by number."""
        return self.links[self._position(a)][self._position(b)]

    def _position(self, device: str | int) -> int:
        name = f"GPU{device}" if isinstance(device, int) else device
        return (*self.gpus, *self.nics).index(name)

    def to_dict(self) -> dict[str, Any]:
        return {
            "gpus": list(self.gpus),
            "nics": [{"name": nic, "device": self.nic_names.get(nic)} for nic in self.nics],
            "links": [list(row) for row in self.links],
            "kinds": [[kind(link) for link in row] for row in self.links],
            "affinities": [vars(affinity).copy() for affinity in self.affinities],
        }


def query(run: Run, timeout_s: int = 30) -> Topology:
    """Ask nvidia-smi once."""
    result = run(list(MATRIX), timeout_s=timeout_s)
    if not result.ok:
        raise _error(f"exit status {result.rc}: {(result.stdout + result.stderr).strip()[:300]}")
    return parse(result.stdout)


def parse(output: str) -> Topology:
    """Parse the matrix that ``nvidia-smi topo -m`` printed, with or without its terminal escapes."""
    lines = _ESCAPE.sub("", output).splitlines()
    header = next((line for line in lines if line.split()[:1] == ["GPU0"]), "")
    names = tuple(header.partition("CPU Affinity")[0].split())
    gpus = tuple(name for name in names if _GPU.fullmatch(name))
    if not names or names[: len(gpus)] != gpus or "X" in names:
        raise _error("no line that names the devices")
    rows = {row[0]: row for row in map(_cells, lines[lines.index(header) + 1 :]) if row and row[0] in names}
    links = tuple(tuple(cell for cell in rows.get(name, ())[1 : len(names) + 1]) for name in names)
    short = [name for name, row in zip(names, links) if len(row) != len(names) or not all(map(kind, row))]
    if short:
        raise _error(f"no complete row for {', '.join(short)}")
    return Topology(
        gpus=gpus,
        nics=names[len(gpus) :],
        links=links,
        affinities=tuple(_affinity(rows[gpu][len(names) + 1 :]) for gpu in gpus),
        nic_names=dict(_NIC_NAME.findall("\n".join(lines))),
    )


def _cells(line: str) -> list[str]:
    """Return the cells of a row: between tabs as nvidia-smi prints them, between blanks as people paste them."""
    return [cell.strip() for cell in line.split("\t")] if "\t" in line else line.split()


def _affinity(cells: list[str]) -> Affinity:
    """Read the last columns of a row; the last follows an empty one in some versions."""
    said = [None if cell in ("", "N/A") else cell for cell in cells] + [None, None]
    return Affinity(said[0], said[1], next((cell for cell in said[2:] if cell), None))


def _error(found: str) -> GpuError:
    return GpuError(
        wanted="the matrix of links between the GPUs",
        found=found,
        where=" ".join(MATRIX),
        next_step="run it by hand on the node and see what nvidia-smi says",
    )
