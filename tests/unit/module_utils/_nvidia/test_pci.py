"""NVIDIA's devices on the PCI bus."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import pci as nvidia_pci


def plug(root: Path, address: str, **files: str) -> None:
    """A device below a made-up sysfs; ``driver`` is a link, ``physfn`` a folder, as in the real one."""
    folder = root / "sys/bus/pci/devices" / address
    folder.mkdir(parents=True)
    driver = files.pop("driver", None)
    if driver:
        (folder / "driver").symlink_to(f"../../../../bus/pci/drivers/{driver}")
    if files.pop("physfn", None):
        (folder / "physfn").mkdir()
    for name, text in files.items():
        (folder / name).write_text(text + "\n")


@pytest.fixture
def bus(tmp_path: Path) -> Path:
    plug(
        tmp_path,
        "0000:b1:00.0",
        vendor="0x10de",
        device="0x2235",
        **{"class": "0x030200"},
        numa_node="1",
        driver="nvidia",
    )
    plug(tmp_path, "0000:3b:00.1", vendor="0x10de", device="0x10f0", **{"class": "0x040300"}, numa_node="0")
    plug(tmp_path, "0000:3b:00.0", vendor="0x10de", device="0x1b80", **{"class": "0x030000"}, numa_node="-1")
    plug(tmp_path, "0000:c1:00.0", vendor="0x10de", device="0x22a3", **{"class": "0x068000"}, numa_node="1")
    plug(tmp_path, "0000:b1:00.4", vendor="0x10de", device="0x2235", **{"class": "0x030200"}, physfn="yes")
    plug(tmp_path, "0000:03:00.0", vendor="0x1a03", device="0x2000", **{"class": "0x030000"}, driver="ast")
    plug(tmp_path, "0000:04:00.0")
    return tmp_path


def test_scan(bus: Path) -> None:
    found = nvidia_pci.scan(str(bus))
    assert [device.address for device in found] == [
        "0000:3b:00.0",
        "0000:3b:00.1",
        "0000:b1:00.0",
        "0000:b1:00.4",
        "0000:c1:00.0",
    ]
    assert found[2] == nvidia_pci.PciDevice("0000:b1:00.0", "10de", "2235", "030200", "nvidia", 1)
    assert found[0].numa_node is None
    assert found[0].driver is None
    assert [device.is_gpu for device in found] == [True, False, True, True, False]
    assert [device.is_nvswitch for device in found] == [False, False, False, False, True]
    assert [device.virtual_function for device in found] == [False, False, False, True, False]
    assert [device.to_dict()["architecture"] for device in found] == ["Pascal", None, "Ampere", "Ampere", None]


def test_scan_of_a_host_without_pci(tmp_path: Path) -> None:
    assert nvidia_pci.scan(str(tmp_path)) == ()


@pytest.mark.parametrize(
    ("device_id", "wanted"),
    [
        ("13f2", "Maxwell"),  # M60
        ("17fd", "Maxwell"),  # M40
        ("1617", "Maxwell"),  # GTX 980M
        ("15f8", "Pascal"),  # P100
        ("1b38", "Pascal"),  # P40
        ("1bb3", "Pascal"),  # P4
        ("1db6", "Volta"),  # V100 32 GB
        ("1eb8", "Turing"),  # T4
        ("1f82", "Turing"),  # GTX 1650
        ("2184", "Turing"),  # GTX 1660
        ("20b0", "Ampere"),  # A100 SXM4 40 GB
        ("20f1", "Ampere"),  # A100 PCIe 40 GB
        ("2235", "Ampere"),  # A40
        ("2204", "Ampere"),  # RTX 3090
        ("2414", "Ampere"),  # RTX 3060 Ti (GA103)
        ("25b6", "Ampere"),  # A16, A2
        ("2330", "Hopper"),  # H100 SXM5
        ("2335", "Hopper"),  # H200
        ("2342", "Hopper"),  # GH200
        ("26B9", "Ada"),  # L40S
        ("27b8", "Ada"),  # L4
        ("2684", "Ada"),  # RTX 4090
        ("2901", "Blackwell"),  # B200
        ("2941", "Blackwell"),  # GB200
        ("2b85", "Blackwell"),  # RTX 5090
        ("2e12", "Blackwell"),  # GB10
        ("3182", "Blackwell"),  # B300
        ("102d", None),  # K80: Kepler, older than the collection
        ("22a3", None),  # an NVSwitch
        ("", None),
        ("none", None),
    ],
)
def test_architecture(device_id: str, wanted: str | None) -> None:
    assert nvidia_pci.architecture(device_id) == wanted


def test_blocks_are_sorted_and_apart() -> None:
    blocks = nvidia_pci._ARCHITECTURES
    assert all(first <= last for first, last, _name in blocks)
    assert all(blocks[i][1] < blocks[i + 1][0] for i in range(len(blocks) - 1))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("00000000:3B:00.0", "0000:3b:00.0"),
        ("0000:3b:00.0", "0000:3b:00.0"),
        (" 00010000:01:1F.7 ", "10000:01:1f.7"),
        ("3b:00.0", None),
        ("N/A", None),
        ("", None),
    ],
)
def test_normal_address(text: str, wanted: str | None) -> None:
    assert nvidia_pci.normal_address(text) == wanted


@given(st.integers(0, 0xFFFFFFFF), st.integers(0, 255), st.integers(0, 31), st.integers(0, 7))
def test_both_spellings_are_one_address(domain: int, bus: int, device: int, function: int) -> None:
    sysfs = f"{domain:04x}:{bus:02x}:{device:02x}.{function}"
    assert nvidia_pci.normal_address(f"{domain:08X}:{bus:02X}:{device:02X}.{function}") == sysfs
    assert nvidia_pci.normal_address(sysfs) == sysfs
