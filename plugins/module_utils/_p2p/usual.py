# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Know what pairs of a model usually reach, for a machine that is slow everywhere: there no pair is slower than its equals. Pure.

Rates of one direction. NVLink, a link: NVIDIA's own checks want 26.6 GB/s for H100 and 53.1 GB/s for GB200 and GB300 (docs.nvidia.com,
health-validation, nvlink_bandwidth_count_speed); A100 and V100 have 25 GB/s (data sheets: 600 and 300 GB/s in both directions over 12
and 6 links). Of that p2pBandwidthLatencyTest reaches 84 % on H100 (NVIDIA/nccl, issue 1264: 380 of 450 GB/s) and 91 % on A100 (fixture
a100-sxm4-x8). PCIe, 16 lanes: 31.5 GB/s for generation 4, 63.0 for 5 (PCI-SIG: 16 and 32 GT/s a lane, 128b/130b), which a pair below one
switch nearly reaches; through a host bridge it depends on the CPU, so only pairs below switches are compared.
"""

from __future__ import annotations

#: A model's words → GB/s of one NVLink; the first that fits counts.
PER_NVLINK = (
    ("GB200", 53.1), ("GB300", 53.1), ("B200", 53.1), ("B300", 53.1), ("H100", 26.6), ("H200", 26.6), ("H800", 26.6),
    ("A100", 25.0), ("A800", 25.0), ("V100", 25.0),
)  # fmt: skip
#: A model's words → GB/s of its PCIe.
PER_PCIE = (
    ("H100 PCIe", 63.0), ("H100 NVL", 63.0), ("H200 NVL", 63.0), ("RTX PRO 6000", 63.0), ("A100-PCIE", 31.5), ("A100 80GB PCIe", 31.5),
    ("A40", 31.5), ("A30", 31.5), ("A10", 31.5), ("L40", 31.5), ("L4", 31.5),
)  # fmt: skip
#: Paths that never leave PCIe switches (nvidia-smi topo -m, legend).
_SWITCHES = ("PIX", "PXB")
#: Below these parts of it a machine is slow: what is measured is 84 % and more over NVLink; PCIe switches are shared.
NVLINK_SHARE, PCIE_SHARE = 0.6, 0.4


def least(product_name: str, link: str) -> tuple[float, str] | None:
    """Return what a pair should reach at least, in GB/s, and why; None where nothing is known of this model and path."""
    if link.startswith("NV") and link[2:].isdigit():
        for words, rate in PER_NVLINK:
            if words in product_name:
                full = int(link[2:]) * rate
                return NVLINK_SHARE * full, f"{NVLINK_SHARE:.0%} of the {full:.0f} GB/s of {link[2:]} NVLinks"
    elif link in _SWITCHES:
        for words, rate in PER_PCIE:
            if words in product_name:
                return PCIE_SHARE * rate, f"{PCIE_SHARE:.0%} of the {rate:.1f} GB/s of its PCIe"
    return None
