"""What pairs of a model usually reach."""

from __future__ import annotations

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._p2p.usual import least


@pytest.mark.parametrize(
    ("name", "link", "figure"),
    [
        ("NVIDIA H100 80GB HBM3", "NV18", 287.28),
        ("NVIDIA A100-SXM4-80GB", "NV12", 180.0),
        ("Tesla V100-SXM2-32GB", "NV1", 15.0),
        ("NVIDIA B200", "NV18", 573.48),
        ("NVIDIA A40", "PIX", 12.6),
        ("NVIDIA H100 PCIe", "PXB", 25.2),
        ("NVIDIA A40", "SYS", None),
        ("NVIDIA A40", "NV4", None),
        ("NVIDIA GeForce RTX 4090", "PIX", None),
        ("NVIDIA H100 80GB HBM3", "", None),
    ],
)
def test_least(name: str, link: str, figure: float | None) -> None:
    found = least(name, link)
    assert (found and round(found[0], 2)) == figure
