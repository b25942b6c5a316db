"""What the plan is told of the kernels: which one boots next, which have no module of the driver."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._driver import next_boot
from ansible_collections.t9k.gpu.plugins.module_utils._linux.boot import NextKernel
from ansible_collections.t9k.gpu.plugins.module_utils._linux.secure_boot import SecureBoot

RUNNING, NEW = "6.1.0-30-amd64", "6.1.0-31-amd64"
MODULE = "updates/dkms/nvidia-current.ko"


@pytest.mark.parametrize(
    ("files", "headers", "without"),
    [
        ({RUNNING: MODULE, NEW: MODULE}, False, ()),
        ({RUNNING: MODULE, NEW: "modules.dep"}, False, (NEW,)),
        ({RUNNING: MODULE, NEW: "build/Makefile"}, True, (NEW,)),
        ({RUNNING: "updates/dkms/nvidia-current-uvm.ko", NEW: MODULE}, False, (RUNNING,)),
    ],
)
def test_kernels(tmp_path: Path, files: dict[str, str], headers: bool, without: tuple[str, ...]) -> None:
    for release, name in files.items():
        for path in (tmp_path / f"boot/vmlinuz-{release}", tmp_path / f"lib/modules/{release}" / name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
    found = next_boot.kernels(RUNNING, str(tmp_path))
    assert (found.next.release, found.headers, found.without) == (NEW, headers, without)


DKMS, PREBUILT = f"/lib/modules/{NEW}/updates/dkms/nvidia.ko", f"/lib/modules/{NEW}/kernel/nvidia-535srv/nvidia.ko"


@pytest.mark.parametrize(
    ("path", "signer", "on", "key", "says"),
    [
        (DKMS, "DKMS module signing key", True, "enrolled", None),
        (DKMS, "DKMS module signing key", True, "not enrolled", "signing key', with a key (/var/lib/dkms/mok.pub) that is not enrolled"),
        (DKMS, None, True, "enrolled", "its module is not signed"),
        (DKMS, None, False, "missing", None),
        (DKMS, None, None, "missing", None),
        (PREBUILT, "Canonical Ltd. Kernel Module Signing", True, "missing", None),
        (PREBUILT, None, True, "missing", "its module is not signed"),
    ],
)  # fmt: skip
def test_what_secure_boot_refuses(path: str, signer: str | None, on: bool | None, key: str, says: str | None) -> None:
    found = next_boot.Module(path, "535.261.03", NEW, signer)
    fault = next_boot.judge(NextKernel(NEW, "grub.cfg"), found, "535.261.03", SecureBoot(on=on, key=key))
    assert (fault is None) == (says is None)
    assert says is None or says in str(fault)


def test_what_modinfo_cannot_read_is_no_unsigned_module() -> None:
    assert next_boot.judge(NextKernel(NEW, ""), next_boot.Module(DKMS), "535.261.03", SecureBoot(on=True)) is None


def test_a_container_has_none_of_its_own(tmp_path: Path) -> None:
    """The module of the running kernel cannot be there: that is no finding."""
    assert next_boot.kernels(RUNNING, str(tmp_path)).without == ()
