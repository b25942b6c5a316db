# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read what ``nvbandwidth -j`` prints.

Cells are strings or ``N/A``. A bidirectional test case stacks three matrices (each direction, then their total) as rows
of one; the total is the last and the one kept.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.t9k.gpu.plugins.module_utils._p2p.samples import (
    BIDIRECTIONAL_ON,
    CONNECTIVITY,
    UNIDIRECTIONAL_ON,
    UNIDIRECTIONAL_READ,
    Device,
    Matrix,
    Report,
)

PASSED, WAIVED, ERROR, NOT_FOUND = "Passed", "Waived", "Error", "Not Found"

#: The test cases that measure what the samples' test measures, under the same names.
PEER_TO_PEER = {
    "device_to_device_memcpy_write_ce": UNIDIRECTIONAL_ON,
    "device_to_device_memcpy_read_ce": UNIDIRECTIONAL_READ,
    "device_to_device_bidirectional_memcpy_write_ce": BIDIRECTIONAL_ON,
}
ARGUMENTS = ("-j", "-t", *PEER_TO_PEER)

_DEVICE = re.compile(r"^(\d+): (.*?)(?: \(([0-9a-f]+:[0-9a-f]+:[0-9a-f]+)(?::\S+)?\)(?::? ?\(.*\))?)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Testcase:
    """``matrix``: rows are what the description calls rows. ``unit``: as the description has it, ``GB/s`` or ``ns``."""

    __test__ = False  # no test of pytest's

    name: str
    status: str
    description: str | None = None
    unit: str | None = None
    matrix: Matrix = ()
    sum: float | None = None
    min: float | None = None
    max: float | None = None
    average: float | None = None
    error: str | None = None


@dataclass(frozen=True)
class Nvbandwidth:
    """``error``: why nothing, or not everything, was measured."""

    version: str | None = None
    driver_version: str | None = None
    cuda_runtime_version: str | None = None
    devices: tuple[Device, ...] = ()
    testcases: tuple[Testcase, ...] = ()
    error: str | None = None
    warning: str | None = None

    def to_report(self) -> Report:
        """Tell it as the samples' test would have. The diagonal is not measured and is no hole here."""
        found = {case.name: case for case in self.testcases}
        matrices: dict[str, Matrix] = {}
        missing = []
        for name, matrix_name in PEER_TO_PEER.items():
            case = found.get(name)
            if case is not None and case.status == PASSED and case.matrix:
                matrices[matrix_name] = case.matrix
            elif case is None or case.status != WAIVED:
                missing.append(matrix_name)
        if matrices:
            matrices[CONNECTIVITY] = _connectivity(next(iter(matrices.values())))
        elif not missing and len(self.devices) > 1:
            # Waived with several GPUs: no pair of them has peer access, and that is a finding, not a success.
            count = range(len(self.devices))
            matrices[CONNECTIVITY] = tuple(tuple(float(i == j) for j in count) for i in count)
        errors = [self.error] if self.error else []
        errors += [f"{case.name}: {case.error or case.status}" for case in self.testcases if case.status == ERROR]
        return Report(self.devices, matrices, tuple(errors), tuple(missing))


def parse(output: str) -> Nvbandwidth:
    """Read nvbandwidth's output. Never raises: what cannot be read becomes ``error``."""
    start, end = output.find("{"), output.rfind("}")
    try:
        document = json.loads(output[start : end + 1]) if start >= 0 else None
    except ValueError as fault:
        return Nvbandwidth(error=f"the JSON is damaged or cut off: {fault}")
    root = document.get("nvbandwidth") if isinstance(document, dict) else None
    if not isinstance(root, dict):
        said = " ".join(output.split())[:300]
        return Nvbandwidth(error=f"no nvbandwidth JSON in the output: {said or 'empty'}")
    cases = root.get("testcases")
    return Nvbandwidth(
        version=_text(root.get("version")),
        driver_version=_text(root.get("Driver Version")),
        cuda_runtime_version=_text(root.get("CUDA Runtime Version")),
        devices=tuple(_devices(root.get("GPU Device list"))),
        testcases=tuple(_testcase(case) for case in cases if isinstance(case, dict)) if isinstance(cases, list) else (),
        error=_text(root.get("error")),
        warning=_text(root.get("warning")),
    )


def _testcase(case: Mapping[str, Any]) -> Testcase:
    description = _text(case.get("bandwidth_description"))
    unit = re.search(r"\(([^()]*)\)\s*$", description or "")
    return Testcase(
        name=str(case.get("name", "")),
        status=str(case.get("status", ERROR)),
        description=description,
        unit=unit.group(1) if unit else None,
        matrix=_matrix(case.get("bandwidth_matrix")),
        sum=_number(case.get("sum")),
        min=_number(case.get("min")),
        max=_number(case.get("max")),
        average=_number(case.get("average")),
        error=_text(case.get("error")),
    )


def _matrix(rows: Any) -> Matrix:
    if not isinstance(rows, list):
        return ()
    read = tuple(tuple(_number(cell) for cell in row) for row in rows if isinstance(row, list))
    columns = len(read[0]) if read else 0
    stacked = columns > 0 and len(read) > columns and len(read) % columns == 0 and columns > 1
    return read[-columns:] if stacked else read


def _connectivity(matrix: Matrix) -> Matrix:
    """Make the connectivity matrix: nvbandwidth leaves out the pairs without peer access."""
    return tuple(
        tuple(float(i == j or value is not None) for j, value in enumerate(row)) for i, row in enumerate(matrix)
    )


def _number(value: Any) -> float | None:
    """Read strings (of the matrix) and numbers (of the sums); ``N/A``, nan and inf are None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _text(value: Any) -> str | None:
    return None if value is None or value == "" else str(value)


def _devices(lines: Any) -> list[Device]:
    devices = []
    for line in lines if isinstance(lines, list) else []:
        found = _DEVICE.match(str(line).strip())
        if found:
            parts = (found[3] or "").lower().split(":")
            address = f"{int(parts[0], 16):04x}:{parts[1]}:{parts[2]}.0" if len(parts) == 3 else ""
            devices.append(Device(int(found[1]), found[2], address))
    return devices
