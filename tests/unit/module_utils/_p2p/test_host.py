"""IOMMU and ACS from a made-up sysfs: one root port with ACS above a switch above two GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._p2p.host import cautions

GPUS = ["0000:02:00.0", "0000:03:00.0"]


def config(acs_control: int | None) -> bytes:
    """A configuration space whose second extended capability is ACS."""
    space = bytearray(4096)
    space[0x100:0x104] = (0x0001 | 1 << 16 | 0x148 << 20).to_bytes(4, "little")
    if acs_control is not None:
        space[0x148:0x14C] = (0x000D | 1 << 16).to_bytes(4, "little")
        space[0x14E:0x150] = acs_control.to_bytes(2, "little")
    return bytes(space)


def host(root: Path, port: bytes, group: str = "identity", cmdline: str = "quiet") -> Path:
    above = root / "sys/devices/pci0000:00/0000:00:01.0"
    devices = root / "sys/bus/pci/devices"
    devices.mkdir(parents=True)
    for gpu in GPUS:
        folder = above / gpu
        folder.mkdir(parents=True)
        (folder / "config").write_bytes(config(None))
        (folder / "iommu_group").mkdir()
        (folder / "iommu_group/type").write_text(f"{group}\n")
        (devices / gpu).symlink_to(folder)
    (above / "config").write_bytes(port)
    (root / "proc").mkdir()
    (root / "proc/cmdline").write_text(f"{cmdline}\n")
    return root


@pytest.mark.parametrize(
    ("acs_control", "group", "cmdline", "words"),
    [
        (None, "identity", "quiet", []),
        (0b00001, "identity", "quiet", []),
        (0b00100, "identity", "quiet", ["ACS sends"]),
        (0b11101, "identity", "quiet", ["ACS sends"]),
        (None, "DMA", "quiet", ["The IOMMU translates for 0000:02:00.0, 0000:03:00.0."]),
        (None, "DMA-FQ", "ro intel_iommu=on", ["(kernel command line: intel_iommu=on)"]),
        (0b01000, "DMA", "quiet", ["The IOMMU", "ACS sends"]),
    ],
)
def test_cautions(tmp_path: Path, acs_control: int | None, group: str, cmdline: str, words: list[str]) -> None:
    found = cautions(GPUS, str(host(tmp_path, config(acs_control), group, cmdline)))
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found))


def test_names_the_port_once(tmp_path: Path) -> None:
    (sentence,) = cautions(GPUS, str(host(tmp_path, config(0b1100))))
    assert sentence.count("0000:00:01.0") == 1


@pytest.mark.parametrize("port", [b"", b"\x00" * 64, b"\xff" * 4096])
def test_unreadable_configuration_is_no_finding_nor_a_hang(tmp_path: Path, port: bytes) -> None:
    assert cautions(GPUS, str(host(tmp_path, port))) == []


def test_no_sysfs(tmp_path: Path) -> None:
    assert cautions(["0000:02:00.0", ""], str(tmp_path)) == []
