# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read and write what ``p2pBandwidthLatencyTest`` prints.

Rows are split on white space; where numbers run together they are told apart by their two decimals. A cell that is cut
off, ``nan`` or ``inf`` is None, and ``complete`` is false: a damaged output never looks like a measurement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Tuple

#: Square; row = the GPU that starts the copy, column = its peer. Typed for 3.9, where ``|`` is no expression.
Matrix = Tuple[Tuple[Optional[float], ...], ...]

CONNECTIVITY = "connectivity"
UNIDIRECTIONAL_OFF = "unidirectional_p2p_disabled_gb_per_s"
UNIDIRECTIONAL_ON = "unidirectional_p2p_enabled_gb_per_s"
UNIDIRECTIONAL_READ = "unidirectional_p2p_enabled_read_gb_per_s"
BIDIRECTIONAL_OFF = "bidirectional_p2p_disabled_gb_per_s"
BIDIRECTIONAL_ON = "bidirectional_p2p_enabled_gb_per_s"
GPU_LATENCY_OFF = "gpu_latency_p2p_disabled_us"
CPU_LATENCY_OFF = "cpu_latency_p2p_disabled_us"
GPU_LATENCY_ON = "gpu_latency_p2p_enabled_us"
CPU_LATENCY_ON = "cpu_latency_p2p_enabled_us"
GPU_LATENCY_READ = "gpu_latency_p2p_enabled_read_us"
CPU_LATENCY_READ = "cpu_latency_p2p_enabled_read_us"

#: Heading → the names of the matrices below it (by the word above their columns), in the order of the output.
BLOCKS: tuple[tuple[str, dict[str, str]], ...] = (
    ("P2P Connectivity Matrix", {"D\\D": CONNECTIVITY}),
    ("Unidirectional P2P=Disabled Bandwidth Matrix (GB/s)", {"D\\D": UNIDIRECTIONAL_OFF}),
    ("Unidirectional P2P=Enabled Bandwidth (P2P Writes) Matrix (GB/s)", {"D\\D": UNIDIRECTIONAL_ON}),
    ("Unidirectional P2P=Enabled Bandwidth (P2P Reads) Matrix (GB/s)", {"D\\D": UNIDIRECTIONAL_READ}),
    ("Bidirectional P2P=Disabled Bandwidth Matrix (GB/s)", {"D\\D": BIDIRECTIONAL_OFF}),
    ("Bidirectional P2P=Enabled Bandwidth Matrix (GB/s)", {"D\\D": BIDIRECTIONAL_ON}),
    ("P2P=Disabled Latency Matrix (us)", {"GPU": GPU_LATENCY_OFF, "CPU": CPU_LATENCY_OFF}),
    ("P2P=Enabled Latency (P2P Writes) Matrix (us)", {"GPU": GPU_LATENCY_ON, "CPU": CPU_LATENCY_ON}),
    ("P2P=Enabled Latency (P2P Reads) Matrix (us)", {"GPU": GPU_LATENCY_READ, "CPU": CPU_LATENCY_READ}),
)
NAMES = tuple(name for _heading, names in BLOCKS for name in names.values())
#: Printed only when the test is asked for reads too.
OPTIONAL = (UNIDIRECTIONAL_READ, GPU_LATENCY_READ, CPU_LATENCY_READ)

_HEADINGS = dict(BLOCKS)
#: Before the test could read as well as write.
_OLD_HEADINGS = {
    "Unidirectional P2P=Enabled Bandwidth Matrix (GB/s)": _HEADINGS[BLOCKS[2][0]],
    "P2P=Enabled Latency Matrix (us)": _HEADINGS[BLOCKS[7][0]],
}
_DEVICE = re.compile(
    r"^Device: (\d+), (.*), pciBusID: ([0-9a-f]+), pciDeviceID: ([0-9a-f]+), pciDomainID: ?([0-9a-f]+)$"
)
_ACCESS = re.compile(r"^Device=(\d+) (CAN|CANNOT) Access Peer Device=(\d+)$")
_COLUMNS = re.compile(r"^\s+(D\\D|GPU|CPU)((?:\s+\d+)*)\s*$")
_ERROR = re.compile(r"cuda (?:failure|error)|loading shared libraries|no cuda-capable device", re.IGNORECASE)
_CELL = r"-?(?:\d+\.\d\d|nan|inf)"


@dataclass(frozen=True)
class Device:
    index: int
    name: str
    pci_address: str


@dataclass(frozen=True)
class Report:
    """``errors``: what CUDA complained about. ``missing``: matrices that are absent or have holes."""

    devices: tuple[Device, ...] = ()
    matrices: Mapping[str, Matrix] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        return bool(self.devices) and not self.missing and not self.errors

    def to_dict(self) -> dict[str, Any]:
        return {
            "devices": [vars(device) for device in self.devices],
            "matrices": {name: [list(row) for row in matrix] for name, matrix in self.matrices.items()},
            "errors": list(self.errors),
            "missing": list(self.missing),
            "complete": self.complete,
        }


def parse(output: str) -> Report:
    """Read the test's output, however much of it there is. Never raises."""
    lines = output.splitlines()
    devices = tuple(_devices(lines))
    raw = dict(_blocks(lines))
    count = max([len(devices), *(len(row) for matrix in raw.values() for row in matrix)], default=0)
    matrices = {name: _square(raw[name], count) for name in NAMES if name in raw}
    if CONNECTIVITY not in matrices:
        matrices.update(_access(lines, count))
    missing = (name for name in NAMES if _is_missing(matrices, name))
    errors = tuple(dict.fromkeys(line.strip() for line in lines if _ERROR.search(line)))
    return Report(devices, matrices, errors, tuple(missing))


def _is_missing(matrices: Mapping[str, Matrix], name: str) -> bool:
    if name not in matrices:
        return name not in OPTIONAL
    return any(value is None for row in matrices[name] for value in row)


def _devices(lines: list[str]) -> Iterator[Device]:
    for line in lines:
        found = _DEVICE.match(line.strip())
        if found:
            index, name, bus, device, domain = found.groups()
            yield Device(int(index), name, f"{int(domain, 16):04x}:{int(bus, 16):02x}:{int(device, 16):02x}.0")


def _access(lines: list[str], count: int) -> dict[str, Matrix]:
    """Read the connectivity from the CAN and CANNOT lines, for an output that ends before the matrix."""
    pairs = {}
    for found in filter(None, (_ACCESS.match(line.strip()) for line in lines)):
        pairs[int(found[1]), int(found[3])] = float(found[2] == "CAN")
    if not pairs:
        return {}
    return {
        CONNECTIVITY: tuple(tuple(1.0 if i == j else pairs.get((i, j)) for j in range(count)) for i in range(count))
    }


def _blocks(lines: list[str]) -> Iterator[tuple[str, list[list[float | None]]]]:
    """Yield each matrix with the rows that are there."""
    names: Mapping[str, str] = {}
    rows: list[list[float | None]] = []
    name, columns = "", 0
    for line in lines:
        heading = _HEADINGS.get(line.strip()) or _OLD_HEADINGS.get(line.strip())
        header = _COLUMNS.match(line)
        if heading or header:
            names = heading or names
            if name:
                yield name, rows
            name, rows = (names.get(header[1], "") if header else ""), []
            columns = len(header[2].split()) if header else 0
        elif name and len(rows) < columns:
            row = _row(line, len(rows), columns, integers=name == CONNECTIVITY)
            if row is not None:
                rows.append(row)
    if name:
        yield name, rows


def _row(line: str, index: int, columns: int, integers: bool) -> list[float | None] | None:
    """Return the cells of row ``index``; None if this line is no such row."""
    words = line.split()
    if integers and words[:1] == [str(index)]:
        return [float(word) if word in ("0", "1") else None for word in words[1:]]
    if words[:1] == [str(index)] and len(words) == columns + 1:
        return [_number(word) for word in words[1:]]
    rest = line.strip()
    if not rest.startswith(str(index)) or not re.fullmatch(r"[-\d.\sainf]*", rest):
        return None
    return [_number(cell) for cell in re.findall(_CELL, rest[len(str(index)) :])][:columns]


def _number(word: str) -> float | None:
    whole = re.fullmatch(r"\d+\.\d\d", word)
    return float(word) if whole else None


def _square(rows: list[list[float | None]], count: int) -> Matrix:
    def cell(i: int, j: int) -> float | None:
        return rows[i][j] if i < len(rows) and j < len(rows[i]) else None

    return tuple(tuple(cell(i, j) for j in range(count)) for i in range(count))


def render(report: Report, gap: str = " ") -> str:
    """Write the report in the test's own form. ``gap=""`` gives what large machines do: columns that run together."""
    lines = ["[P2P (Peer-to-Peer) GPU Bandwidth Latency Test]"]
    for device in report.devices:
        domain, bus, rest = device.pci_address.split(":")
        lines.append(
            f"Device: {device.index}, {device.name}, pciBusID: {int(bus, 16):x}, "
            f"pciDeviceID: {int(rest[:2], 16):x}, pciDomainID:{int(domain, 16):x}"
        )
    lines.append("")
    for heading, names in BLOCKS:
        if any(name in report.matrices for name in names.values()):
            lines.append(heading)
        for corner, name in names.items():
            if name in report.matrices:
                lines += _render_matrix(corner, name, report.matrices[name], gap)
    return "\n".join([*lines, *report.errors, ""])


def _render_matrix(corner: str, name: str, matrix: Matrix, gap: str) -> list[str]:
    integers = name == CONNECTIVITY
    header = ("     " if integers else "   ") + corner + "".join(f"{j:6d} " for j in range(len(matrix)))
    rows = []
    for i, row in enumerate(matrix):
        if integers:
            cells = "\t" + "".join(f"{'?' if cell is None else int(cell):>6}" for cell in row)
        else:
            cells = gap + gap.join(f"{float('nan') if cell is None else cell:6.02f}" for cell in row) + gap
        rows.append(f"{i:6d}{cells}")
    return ["", header, *rows] if corner == "CPU" else [header, *rows]
