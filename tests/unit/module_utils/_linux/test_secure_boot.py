"""Whether the kernel will take what dkms signs: on variables as efivarfs shows them, four bytes of attributes in front."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._linux import secure_boot

EFI = "sys/firmware/efi/efivars"
SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"
ON, OFF = b"\x06\0\0\0\x01", b"\x06\0\0\0\0"
SECURE_BOOT = f"{EFI}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
MOK, INSECURE = f"{EFI}/MokListRT-{SHIM}", f"{EFI}/MokSBStateRT-{SHIM}"
DB = f"{EFI}/db-d719b2cb-3d3a-4596-a3bc-dad00e67656f"
TABLE = "sys/firmware/efi/mok-variables/MokListRT"
DKMS, UBUNTU = "var/lib/dkms/mok.pub", "var/lib/shim-signed/mok/MOK.der"
CONFIGURED = b'# mok_certificate=/no\nmok_certificate="/etc/keys/own.der"\n'
X509, SHA256 = "a159c0a5e494a74a87b5ab155c2bf072", "2616c4c14c509240aca941f936934328"
OURS, OTHERS = b"ours" * 50, b"others" * 50
ATTRIBUTES = b"\x06\0\0\0"


def signatures(*rows: bytes, kind: str = X509, header: bytes = b"") -> bytes:
    """An EFI_SIGNATURE_LIST: all rows of one length, each behind its owner."""
    each = 16 + len(rows[0])
    head = bytes.fromhex(kind) + struct.pack("<III", 28 + len(header) + each * len(rows), len(header), each)
    return head + header + b"".join(b"o" * 16 + row for row in rows)


@pytest.mark.parametrize(
    ("files", "on"),
    [
        ({}, None),
        ({SECURE_BOOT: b""}, None),
        ({SECURE_BOOT: b"\x06\0\0\0"}, None),
        ({SECURE_BOOT: OFF}, False),
        ({SECURE_BOOT: ON}, True),
        ({SECURE_BOOT: ON, INSECURE: OFF}, True),
        ({SECURE_BOOT: ON, INSECURE: ON}, False),  # mokutil --disable-validation
    ],
)
def test_whether_it_is_on(tmp_path: Path, files: dict[str, bytes], on: bool | None) -> None:
    assert _read(tmp_path, files).on is on


@pytest.mark.parametrize(
    ("os_id", "files", "certificate", "key"),
    [
        ("debian", {}, DKMS, "missing"),
        ("debian", {UBUNTU: OURS, MOK: ATTRIBUTES + signatures(OURS)}, DKMS, "missing"),  # dkms does not look there
        ("debian", {DKMS: OURS}, DKMS, "not enrolled"),
        ("debian", {DKMS: OURS, MOK: ATTRIBUTES + signatures(OTHERS)}, DKMS, "not enrolled"),
        ("debian", {DKMS: OURS, MOK: ATTRIBUTES + signatures(OURS)}, DKMS, "enrolled"),
        ("debian", {DKMS: OURS, f"{EFI}/MokListRT1-{SHIM}": ATTRIBUTES + signatures(OURS)}, DKMS, "enrolled"),
        ("debian", {DKMS: OURS, DB: ATTRIBUTES + signatures(OURS)}, DKMS, "enrolled"),
        ("debian", {DKMS: OURS, TABLE: signatures(OURS)}, DKMS, "enrolled"),
        ("debian", {DKMS: OURS, TABLE: signatures(OTHERS) + signatures(OURS, header=b"head")}, DKMS, "enrolled"),
        ("debian", {DKMS: OURS, TABLE: signatures(OURS[::-1], OURS)}, DKMS, "enrolled"),
        ("debian", {DKMS: OURS[:32], TABLE: signatures(OURS[:32], kind=SHA256)}, DKMS, "not enrolled"),
        ("debian", {DKMS: OURS, TABLE: signatures(OURS)[:-1]}, DKMS, "not enrolled"),  # cut off
        ("debian", {DKMS: OURS, TABLE: b"\0" * 64}, DKMS, "not enrolled"),
        ("ubuntu", {DKMS: OURS, MOK: ATTRIBUTES + signatures(OURS)}, UBUNTU, "missing"),
        ("ubuntu", {UBUNTU: OURS, MOK: ATTRIBUTES + signatures(OURS)}, UBUNTU, "enrolled"),
        ("debian", {"etc/dkms/framework.conf": CONFIGURED}, "etc/keys/own.der", "missing"),
        ("ubuntu", {"etc/dkms/framework.conf.d/own.conf": CONFIGURED, "etc/keys/own.der": OURS}, "etc/keys/own.der", "not enrolled"),
    ],
)  # fmt: skip
def test_whether_the_kernel_takes_what_dkms_signs(
    tmp_path: Path, os_id: str, files: dict[str, bytes], certificate: str, key: str
) -> None:
    found = _read(tmp_path, files, os_id)
    assert (found.certificate, found.key) == (f"/{certificate}", key)


def _read(root: Path, files: dict[str, bytes], os_id: str = "debian") -> secure_boot.SecureBoot:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return secure_boot.read(os_id, str(root))
