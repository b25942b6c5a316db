# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Name what a verdict on peer-to-peer measurements is made from, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Tuple

from ansible_collections.t9k.gpu.plugins.module_utils._p2p import samples as p2p

Pair = Tuple[int, int]


@dataclass(frozen=True)
class Threshold:
    """Limits for the GPUs whose name contains ``product_name``, on paths of one kind (None: on every path)."""

    product_name: str
    path: str | None = None
    unidirectional_gb_per_s: float | None = None
    bidirectional_gb_per_s: float | None = None
    gpu_latency_us: float | None = None


@dataclass(frozen=True)
class Reason:
    """Why a verdict is not ``ok``. ``pair``: source and target GPU; None when it is about the whole run."""

    rule: str
    severity: str
    message: str
    pair: Pair | None = None
    matrix: str | None = None
    measured: float | None = None
    expected: float | None = None


@dataclass(frozen=True)
class Verdict:
    verdict: str
    note: str
    reasons: tuple[Reason, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "note": self.note,
            "reasons": [
                {**asdict(reason), "pair": None if reason.pair is None else list(reason.pair)}
                for reason in self.reasons
            ],
        }


@dataclass(frozen=True)
class Evidence:
    """``links``: the matrix of ``nvidia-smi topo -m``, empty if not known. ``gpu_count``: what nvidia-smi lists."""

    report: p2p.Report
    links: Sequence[Sequence[str]] = ()
    thresholds: Sequence[Threshold] = ()
    require_peer_access: bool = False
    gpu_count: int | None = None
    groups: Mapping[str, tuple[Pair, ...]] = field(init=False)
    count: int = field(init=False)

    def __post_init__(self) -> None:
        sizes = [len(matrix) for matrix in self.report.matrices.values()]
        object.__setattr__(self, "count", max([len(self.report.devices), *sizes]))
        groups: dict[str, list[Pair]] = {}
        for i in range(self.count):
            for j in range(self.count):
                if i != j and self.access(i, j):
                    groups.setdefault(self.link(i, j), []).append((i, j))
        object.__setattr__(self, "groups", {link: tuple(pairs) for link, pairs in groups.items()})

    def link(self, i: int, j: int) -> str:
        """Return the link's word (``NV12``, ``PIX``, …); empty if the topology is not known."""
        return self.links[i][j] if i < len(self.links) and j < len(self.links[i]) else ""

    def access(self, i: int, j: int) -> bool:
        """Tell whether a pair has peer access. Nothing said counts as access: what matters is measured anyway."""
        return self.value(p2p.CONNECTIVITY, i, j) != 0.0

    def value(self, matrix: str, i: int, j: int) -> float | None:
        rows = self.report.matrices.get(matrix, ())
        return rows[i][j] if i < len(rows) else None

    def measured(self, matrix: str, pairs: Sequence[Pair]) -> dict[Pair, float]:
        found = {(i, j): self.value(matrix, i, j) for i, j in pairs}
        return {pair: value for pair, value in found.items() if value is not None}

    def named(self, pair: Pair) -> str:
        link = self.link(*pair)
        return f"GPU {pair[0]} to GPU {pair[1]}" + (f" ({link})" if link else "")
