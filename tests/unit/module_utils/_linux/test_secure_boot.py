"""Whose signatures a kernel takes: the firmware's and shim's lists, the kernel's own keys.

``owner.der`` and ``other.der`` are certificates of openssl; ``modinfo.txt`` is what kmod 30 says of a module that the first one signed.
"""

from __future__ import annotations

import struct
import uuid
from pathlib import Path

import pytest

from ansible_collections.t9k.gpu.plugins.module_utils._linux import secure_boot
from ansible_collections.t9k.gpu.plugins.module_utils._linux.secure_boot import Trust

FIXTURES = Path(__file__).parents[2] / "fixtures/secure-boot"
OWNER, OTHER = (FIXTURES / "owner.der").read_bytes(), (FIXTURES / "other.der").read_bytes()
KEY = "78:96:65:57:39:39:3D:D2:92:DC:B1:EC:CC:D7:C7:49:5B:21:27:80"  # openssl x509 -serial, as modinfo writes it
SIGNER = "DKMS module signing key"
SHIM, DB = "605dab50-e046-4300-abb6-3dd810dd8b23", "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
GLOBAL = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
MOK_LIST, TABLE = f"sys/firmware/efi/efivars/MokListRT-{SHIM}", "sys/firmware/efi/mok-variables/MokListRT"
ATTRIBUTES = struct.pack("<I", 6)
#: A line of /proc/keys (Documentation/security/keys/core.rst), and what a key's description is made of (x509_public_key.c).
KEYS = (
    "0c9d7d2f I------     1 perm 1f030000     0     0 asymmetri Canonical Ltd. Kernel Module Signing: "
    "88f752e560a1e0737e31163a466ad7b70a850c19: X509.rsa 0a850c19 []\n"
    "1d9d7d2f I------     2 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: 4\n"
)


def signature_list(*certificates: bytes, kind: str = "a5c059a1-94e4-4aa7-87b5-ab155c2bf072") -> bytes:
    """EFI_SIGNATURE_LIST, one for each since sizes differ (UEFI specification, "Signature Database")."""
    return b"".join(
        uuid.UUID(kind).bytes_le + struct.pack("<III", 28 + 16 + len(each), 0, 16 + len(each)) + bytes(16) + each
        for each in certificates
    )


def host(root: Path, files: dict[str, bytes]) -> str:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return str(root)


HASHES = signature_list(b"\1" * 32, kind="c1c41626-504c-4092-aca9-41f936934328")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({MOK_LIST: ATTRIBUTES + signature_list(OWNER)}, (OWNER,)),
        ({MOK_LIST: ATTRIBUTES + HASHES + signature_list(OTHER, OWNER)}, (OTHER, OWNER)),
        ({TABLE: signature_list(OWNER), MOK_LIST: ATTRIBUTES + signature_list(OTHER)}, (OWNER,)),  # the kernel's copy is whole
        ({f"sys/firmware/efi/efivars/db-{DB}": ATTRIBUTES + signature_list(OTHER)}, (OTHER,)),
        ({MOK_LIST: ATTRIBUTES + signature_list(OWNER)[:-9]}, ()),  # cut short
        ({MOK_LIST: ATTRIBUTES}, None),
    ],
)  # fmt: skip
def test_enrolled(tmp_path: Path, files: dict[str, bytes], expected: tuple[bytes, ...] | None) -> None:
    assert secure_boot.enrolled(host(tmp_path, files)) == expected


@pytest.mark.parametrize(
    ("secure", "off", "expected"),
    [(b"\1", None, True), (b"\0", None, False), (b"", None, None), (None, None, None), (b"\1", b"\1", False), (b"\1", b"\0", True)],
)  # fmt: skip
def test_enabled(tmp_path: Path, secure: bytes | None, off: bytes | None, expected: bool | None) -> None:
    """``mokutil --disable-validation`` leaves the firmware's word as it is, and the kernel goes by shim's."""
    values = {f"SecureBoot-{GLOBAL}": secure, f"MokSBStateRT-{SHIM}": off}
    files = {
        f"sys/firmware/efi/efivars/{name}": ATTRIBUTES + value for name, value in values.items() if value is not None
    }
    assert secure_boot.enabled(host(tmp_path, files)) is expected


def test_serial_numbers() -> None:
    assert secure_boot.serial(OWNER) == KEY.replace(":", "").lower()
    assert secure_boot.serial(b"") == secure_boot.serial(b"\x30") == ""


@pytest.mark.parametrize(
    ("certificates", "signer", "key", "expected"),
    [
        ((OTHER, OWNER), SIGNER, KEY, True),
        ((OTHER,), SIGNER, KEY, False),
        ((), SIGNER, KEY, False),
        (None, SIGNER, KEY, None),
        ((OWNER,), None, None, None),  # a modinfo that cannot read the signature
        ((OTHER,), "Canonical Ltd. Kernel Module Signing", "11:22", True),
        ((OTHER,), "Canonical Ltd. Kernel Module", "11:22", False),
    ],
)
def test_takes(
    tmp_path: Path, certificates: tuple[bytes, ...] | None, signer: str | None, key: str | None, expected: bool | None
) -> None:
    found = secure_boot.trust(host(tmp_path, {"proc/keys": KEYS.encode()}))
    assert found == Trust(None, frozenset({"Canonical Ltd. Kernel Module Signing"}))
    assert Trust(certificates, found.names).takes(signer, key) is expected


#: As a kernel 6.1 showed it of a key that shim had handed over.
ENROLLED = KEYS + (
    f"296ebd90 I------     1 perm 1f010000     0     0 asymmetri {SIGNER}: "
    "ff0898e7b7d2980f7e58a48e954d01c7c57c0b5e: X509.rsa c57c0b5e []\n"
)


@pytest.mark.parametrize(("key", "expected"), [(KEY, True), ("11:22", False)])
def test_a_new_key_of_the_same_name_is_another_key(tmp_path: Path, key: str, expected: bool) -> None:
    """dkms calls every key that it makes the same, and the running kernel names those that are enrolled beside its own."""
    names = secure_boot.trust(host(tmp_path, {"proc/keys": ENROLLED.encode()})).names
    assert SIGNER in names
    assert Trust((OTHER, OWNER), names).takes(SIGNER, key) is expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"var/lib/shim-signed/mok/MOK.der": OWNER, "var/lib/dkms/mok.pub": OTHER}, ("/var/lib/shim-signed/mok/MOK.der", OWNER)),
        ({"var/lib/dkms/mok.pub": OTHER}, ("/var/lib/dkms/mok.pub", OTHER)),
        ({"etc/dkms/framework.conf": b'# mok_certificate=/no\nmok_certificate="/root/k.der"\n', "root/k.der": OTHER,
          "var/lib/shim-signed/mok/MOK.der": OWNER}, ("/root/k.der", OTHER)),
        ({"etc/dkms/framework.conf.d/own.conf": b"mok_certificate=/root/k.der\n", "root/k.der": OTHER,
          "var/lib/dkms/mok.pub": OWNER}, ("/root/k.der", OTHER)),
        ({"etc/dkms/framework.conf": b"mok_certificate=/gone.der\n", "var/lib/dkms/mok.pub": OTHER}, ("/var/lib/dkms/mok.pub", OTHER)),
    ],
)  # fmt: skip
def test_the_key_that_dkms_signs_with(
    tmp_path: Path, files: dict[str, bytes], expected: tuple[str, bytes] | None
) -> None:
    assert secure_boot.owner_key(host(tmp_path, files)) == expected


def test_a_key_may_be_armoured(tmp_path: Path) -> None:
    import ssl

    root = host(tmp_path, {"var/lib/dkms/mok.pub": ssl.DER_cert_to_PEM_cert(OWNER).encode()})
    assert secure_boot.owner_key(root) == ("/var/lib/dkms/mok.pub", OWNER)
