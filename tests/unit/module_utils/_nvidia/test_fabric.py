"""The fabric of made-up machines: what is read of it, and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._nvidia import fabric
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.fabric import NVLINK_5, NVSWITCH, Fabric
from ansible_collections.t9k.gpu.plugins.module_utils._nvidia.pci import PciDevice

H100 = PciDevice("0000:18:00.0", "10de", "2330", "030200")
B200 = PciDevice("0000:18:00.0", "10de", "2901", "030200")
FUTURE = PciDevice("0000:18:00.0", "10de", "f001", "030200")
SWITCH = PciDevice("0000:c0:00.0", "10de", "22a3", "068000")
#: The product name field of a device that manages switches, as NVIDIA's driver container looks for it.
VPD = b"\x82\x10\x00NVIDIA\x90\x20\x00PN\x06SW_MNGV0\x00"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    return tmp_path


def infiniband(root: Path, name: str, vpd: bytes | None) -> None:
    folder = root / "sys/class/infiniband" / name / "device"
    folder.mkdir(parents=True)
    if vpd is not None:
        (folder / "vpd").write_bytes(vpd)


def process(root: Path, pid: int, name: str) -> None:
    (root / f"proc/{pid}").mkdir()
    (root / f"proc/{pid}/comm").write_text(name + "\n")


KINDS = [
    # devices on the PCI bus, VPD of InfiniBand devices, kind
    ((H100,), [], None),
    ((H100, SWITCH), [], NVSWITCH),
    ((B200,), [b"ConnectX-7", VPD], NVLINK_5),
    ((B200,), [b"ConnectX-7", None], None),
    ((B200,), [], None),
    ((FUTURE,), [VPD], NVLINK_5),
    ((H100,), [VPD], None),  # not looked at
    ((SWITCH,), [], NVSWITCH),
]


@pytest.mark.parametrize(("devices", "vpds", "kind"), KINDS)
def test_kind(root: Path, devices: tuple[PciDevice, ...], vpds: list[bytes | None], kind: str | None) -> None:
    for number, vpd in enumerate(vpds):
        infiniband(root, f"mlx5_{number}", vpd)
    assert fabric.kind_of(devices, str(root)) == kind


def test_read(root: Path) -> None:
    infiniband(root, "mlx5_0", VPD)
    (root / "sys/module/ib_umad").mkdir(parents=True)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / "nvidia-fabricmanager.service").symlink_to("/lib/systemd/system/nvidia-fabricmanager.service")
    for pid, name in {7: "nv-fabricmanage", 8: "nvlsm", 9: "sshd"}.items():
        process(root, pid, name)
    versions = {"libnvsdm": "580.1.2", "nvidia-imex-580": None, "libnvidia-nscq-570": "570.3.4", "libc6": None}
    found = fabric.read((B200,), versions, str(root))
    companions = {"libnvsdm": "580.1.2", "nvidia-imex-580": None, "libnvidia-nscq-570": "570.3.4"}
    assert found == Fabric(NVLINK_5, True, frozenset({"nv-fabricmanage", "nvlsm"}), True, companions)


def test_nothing_is_read_of_a_machine_without_one(tmp_path: Path) -> None:
    """It has no /proc here, and is not missed."""
    assert fabric.read((H100,), {"libnvsdm": "1.2.3"}, str(tmp_path)) == Fabric()


BOTH = frozenset({"nv-fabricmanage", "nvlsm"})
ONE = frozenset({"nv-fabricmanage"})
SERVICES = [
    # the fabric, codes
    (Fabric(), []),
    (Fabric(NVSWITCH, True, ONE), []),
    (Fabric(NVSWITCH, False, ONE), ["fabric_manager_disabled"]),
    (Fabric(NVSWITCH, True), ["fabric_manager_not_running"]),
    (Fabric(NVSWITCH), ["fabric_manager_disabled", "fabric_manager_not_running"]),
    (Fabric(NVLINK_5, True, BOTH, True), []),
    (Fabric(NVLINK_5, True, ONE, True), ["nvlsm_not_running"]),
    (Fabric(NVLINK_5, True, BOTH, False), ["ib_umad_not_loaded"]),
    (Fabric(NVSWITCH, True, ONE, companions={"libnvsdm": "580.1.2"}), []),
    (Fabric(NVSWITCH, True, ONE, companions={"libnvsdm": "580.1.1"}), ["fabric_versions_differ"]),
    (Fabric(NVSWITCH, True, ONE, companions={"nvidia-imex": None}), ["fabric_versions_differ"]),
]


@pytest.mark.parametrize(("found", "codes"), SERVICES)
def test_services(found: Fabric, codes: list[str]) -> None:
    assert [fault.code for fault in fabric.judge(found, "580.1.2")] == codes
    theirs = [fault.code for fault in fabric.judge(found, "580.1.2", ours=False)]
    assert theirs == [code for code in codes if code == "fabric_versions_differ"]


def test_what_still_comes_up_may_pass() -> None:
    """Services that start, and a fabric in progress; a disabled service does not enable itself."""
    found = fabric.judge(Fabric(NVLINK_5), None)
    assert [fault.code for fault in found if fault.may_pass] == ["fabric_manager_not_running", "nvlsm_not_running"]
    assert [fault.code for fault in found if not fault.may_pass] == ["fabric_manager_disabled", "ib_umad_not_loaded"]


def test_versions_are_not_compared_with_nothing() -> None:
    assert fabric.judge(Fabric(NVSWITCH, True, ONE, companions={"libnvsdm": "1.2"}), None) == ()
