# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell whether Secure Boot is on, which key dkms signs modules with, and whether the kernel will accept that key.

A key in a file is no use until it is enrolled: dkms makes itself one where there is none, signs with it, and the kernel refuses
the module all the same (``Key was rejected by service``). What is accepted stands in the firmware's list ``db`` and in shim's list
of machine owner keys, which shim copies to ``MokListRT`` at boot and the kernel shows below ``mok-variables`` too (shim,
MokVars.txt; Linux, security/integrity/platform_certs/load_uefi.c). The lists' form is the UEFI specification's
EFI_SIGNATURE_LIST. ``MokSBStateRT`` says that somebody told shim to check nothing, which the kernel respects
(drivers/firmware/efi/libstub/secureboot.c). Where dkms looks for its key is read from its own script, 3.0.10 (prepare_signing).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under

_VARIABLES = "/sys/firmware/efi/efivars"
_SECURE_BOOT = f"{_VARIABLES}/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_SHIM = "605dab50-e046-4300-abb6-3dd810dd8b23"
_INSECURE = f"{_VARIABLES}/MokSBStateRT-{_SHIM}"
#: Where the lists are, and how many bytes stand before them: the attributes, in efivarfs.
_LISTS = (
    (_VARIABLES, f"MokListRT*-{_SHIM}", 4),
    (_VARIABLES, "db-d719b2cb-3d3a-4596-a3bc-dad00e67656f", 4),
    ("/sys/firmware/efi/mok-variables", "MokListRT*", 0),
)
#: EFI_CERT_X509_GUID as it stands in memory.
_X509 = bytes.fromhex("a159c0a5e494a74a87b5ab155c2bf072")
_HEAD, _OWNER = struct.Struct("<16sIII"), 16
_CONFIGURED = re.compile(r"""^\s*mok_certificate=["']?([^"'\s#]+)""", re.MULTILINE)
_USUAL = {"ubuntu": "/var/lib/shim-signed/mok/MOK.der"}

MISSING, NOT_ENROLLED, ENROLLED = "missing", "not enrolled", "enrolled"


@dataclass(frozen=True)
class SecureBoot:
    """``on``: None where the firmware has no such thing (a BIOS machine, a container). ``key``: MISSING, NOT_ENROLLED or ENROLLED."""

    on: bool | None = None
    certificate: str = "/var/lib/dkms/mok.pub"
    key: str = MISSING


def read(os_id: str, root: str = "/") -> SecureBoot:
    """Return what a module that dkms builds will meet."""
    certificate = _certificate(os_id, root)
    return SecureBoot(_on(root), certificate, _key(under(root, certificate), root))


def _on(root: str) -> bool | None:
    value = _byte(under(root, _SECURE_BOOT))
    return value if not value else not _byte(under(root, _INSECURE))


def _byte(path: Path) -> bool | None:
    """Return a variable that is one byte, behind its attributes; None if there is none."""
    content = _bytes(path)
    return content[4] == 1 if len(content) > 4 else None


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _certificate(os_id: str, root: str) -> str:
    files = [under(root, "/etc/dkms/framework.conf"), *sorted(under(root, "/etc/dkms/framework.conf.d").glob("*.conf"))]
    configured = [found for path in files for found in _CONFIGURED.findall(read_text(path) or "")]
    return [_USUAL.get(os_id, "/var/lib/dkms/mok.pub"), *configured][-1]


def _key(certificate: Path, root: str) -> str:
    own = _bytes(certificate)
    if not own:
        return MISSING
    return ENROLLED if own in _accepted(root) else NOT_ENROLLED


def _accepted(root: str) -> set[bytes]:
    found = ((path, skip) for folder, name, skip in _LISTS for path in under(root, folder).glob(name))
    return {each for path, skip in found for each in certificates(_bytes(path)[skip:])}


def certificates(lists: bytes) -> Iterator[bytes]:
    """Yield the X.509 certificates of signature lists, which stand one behind the other."""
    while len(lists) >= _HEAD.size:
        kind, size, header, each = _HEAD.unpack_from(lists)
        if size < _HEAD.size:
            return
        rows = lists[_HEAD.size + header : size]
        if kind == _X509 and each > _OWNER:
            yield from (rows[at + _OWNER : at + each] for at in range(0, len(rows), each))
        lists = lists[size:]
