# Copyright (c) t9k.gpu maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tell whether Secure Boot is on, and whether the kernel would take a module's signature.

A module must be signed with a key that the firmware or shim hands to the kernel, or with one that is built into it. The first are read
where shim and the firmware publish them: the variables ``db`` and ``MokListRT``, and the copy of the latter that the kernel keeps for
lists which a variable cannot hold (``/sys/firmware/efi/mok-variables``; linux, drivers/firmware/efi/mokvar-table.c). They are compared
byte by byte, or by the serial number, which is what modinfo shows as ``sig_key`` (kmod, libkmod/libkmod-signature.c). The second are
read by name from ``/proc/keys``: of the running kernel, but a distribution signs all its kernels' modules with one key.
That a key lies in a folder says nothing: it counts once somebody confirmed it at the console, which is when shim publishes it.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ansible_collections.t9k.gpu.plugins.module_utils._files import read_text, under

EFI = "/sys/firmware/efi"
_GLOBAL, _DB, _SHIM = (
    "8be4df61-93ca-11d2-aa0d-00e098032b8c",
    "d719b2cb-3d3a-4596-a3bc-dad00e67656f",
    "605dab50-e046-4300-abb6-3dd810dd8b23",
)
#: EFI_CERT_X509_GUID as it lies in memory (UEFI specification, "Signature Database").
_X509 = bytes.fromhex("a159c0a5e494a74a87b5ab155c2bf072")
#: Where shim's and dkms's tools leave the public half of the key that they sign with.
OWNER_KEYS = ("/var/lib/shim-signed/mok/MOK.der", "/var/lib/dkms/mok.pub")
_FRAMEWORK = "/etc/dkms/framework.conf"
_DKMS_KEY = re.compile(r"^\s*mok_certificate=[\"']?([^\"'\s$]+)", re.MULTILINE)
_ASYMMETRIC = re.compile(r" asymmetri\s+(?P<name>.+?): [0-9a-f]{8,}: ")


@dataclass(frozen=True)
class Trust:
    """Whose signatures count. ``certificates``: None where they cannot be read; ``names``: of keys that the running kernel has."""

    certificates: tuple[bytes, ...] | None = None
    names: frozenset[str] = frozenset()

    def takes(self, signer: str | None, key: str | None) -> bool | None:
        """Tell whether a signature counts; None where that cannot be told."""
        if self.certificates is None or not key:
            return True if signer in self.names else None
        if key.replace(":", "").lower().lstrip("0") in {serial(each) for each in self.certificates}:
            return True
        # A name counts of keys that are built in alone: dkms calls every key that it makes the same.
        return signer in self.names and not any((signer or "").encode() in each for each in self.certificates)


def enabled(root: str = "/") -> bool | None:
    """Tell whether it is on; None where the firmware has no such variable. Whoever switched validation off in shim has none either."""
    on, off = _variable("SecureBoot", _GLOBAL, root), _variable("MokSBStateRT", _SHIM, root)
    return None if not on else on[0] == 1 and not (off and off[0] == 1)


def trust(root: str = "/") -> Trust:
    """Return whose signatures the kernel takes."""
    names = frozenset(match["name"] for match in _ASYMMETRIC.finditer(read_text(under(root, "/proc/keys")) or ""))
    return Trust(enrolled(root), names)


def enrolled(root: str = "/") -> tuple[bytes, ...] | None:
    """Return the certificates that firmware and shim vouch for; None where there are no such lists."""
    owner = _bytes(under(root, f"{EFI}/mok-variables/MokListRT")) or _variable("MokListRT", _SHIM, root)
    lists = [found for found in (owner, _variable("db", _DB, root)) if found]
    return tuple(certificate for each in lists for certificate in _certificates(each)) if lists else None


def owner_key(root: str = "/") -> tuple[str, bytes] | None:
    """Return the public key that dkms signs with, and where it is; None if there is none yet."""
    files = [under(root, _FRAMEWORK), *sorted(under(root, f"{_FRAMEWORK}.d").glob("*.conf"))]
    named = [path for file in reversed(files) for path in _DKMS_KEY.findall(read_text(file) or "")]
    for path in (*named, *OWNER_KEYS):
        content = _bytes(under(root, path))
        if content:
            return path, _der(content)
    return None


def serial(certificate: bytes) -> str:
    """Return a certificate's serial number in hexadecimal digits (X.509: the first number in it, behind an optional version).

    Nothing where it is no certificate: firmware has been seen with all sorts of entries.
    """
    try:
        _tag, body, _rest = _element(certificate)
        _tag, fields, _rest = _element(body)
        tag, value, rest = _element(fields)
        return (_element(rest)[1] if tag == 0xA0 else value).hex().lstrip("0")
    except IndexError:
        return ""


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Return tag, content and what follows of one element of DER."""
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    return data[0], data[start : start + length], data[start + length :]


def _certificates(lists: bytes) -> Iterator[bytes]:
    """Yield the certificates of a sequence of EFI_SIGNATURE_LIST; hashes are passed over."""
    while len(lists) >= 28:
        size, header, each = struct.unpack_from("<III", lists, 16)
        if not 28 <= size <= len(lists) or each <= 16:
            return
        if lists[:16] == _X509:
            for start in range(28 + header, size - each + 1, each):
                yield lists[start + 16 : start + each]
        lists = lists[size:]


def _variable(name: str, vendor: str, root: str) -> bytes | None:
    """Return a variable's value, which comes behind four bytes of attributes."""
    content = _bytes(under(root, f"{EFI}/efivars/{name}-{vendor}"))
    return content[4:] if content else None


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _der(content: bytes) -> bytes:
    armoured = re.search(rb"-----BEGIN CERTIFICATE-----(.+?)-----END", content, re.DOTALL)
    return base64.b64decode(armoured[1]) if armoured else content
