"""The lab's certificates, as the strictest client takes them: Python 3.13 checks by RFC 5280 to the letter."""

from __future__ import annotations

import contextlib
import ssl
from pathlib import Path

import pytest

from tests.lab.cluster import pki


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    pki.make(directory)
    return directory


def side(keys: Path, name: str, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server: bool) -> ssl.SSLObject:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(keys / "ca.crt")
    context.load_cert_chain(keys / f"{name}.crt", keys / f"{name}.key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # what Python 3.13 made the default
    return context.wrap_bio(incoming, outgoing, server, None if server else "127.0.0.1")


@pytest.mark.parametrize("server", ["apiserver", "kubelet"])
@pytest.mark.parametrize("user", pki.USERS)
def test_both_sides_of_a_strict_handshake_are_content(keys: Path, server: str, user: str) -> None:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving, calling = side(keys, server, there, back, True), side(keys, user, back, there, False)
    for _turn in range(3):
        for each in (calling, serving):
            with contextlib.suppress(ssl.SSLWantReadError):
                each.do_handshake()
    names = [dict(part[0] for part in each.getpeercert()["subject"]) for each in (calling, serving)]
    assert names == [{"commonName": server}, {"organizationName": "system:masters", "commonName": user}]


def test_what_is_there_stays(keys: Path) -> None:
    before = (keys / "ca.crt").read_bytes()
    pki.make(keys)
    assert (keys / "ca.crt").read_bytes() == before
