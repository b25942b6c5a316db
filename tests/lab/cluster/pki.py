"""Keys and certificates of one cluster: a CA, the API server's certificate and one client certificate a user.

They carry what RFC 5280 asks for (key identifiers, key usage), since clients from Python 3.13 on refuse others.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: Users with every right. Only ``lab-admin`` is handed out; the others are told apart in the audit log.
USERS = ("lab-admin", "lab-housekeeping", "lab-controllers", "lab-scheduler", "lab-kwok", "lab-operator")
_DAYS = datetime.timedelta(days=365)


def make(directory: Path) -> None:
    """Make whatever is missing; what is there stays, since running processes use it."""
    if (directory / "complete").exists():
        return
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("t9k.gpu lab", None, ca_key, None, ca_key)
    _write(directory, "ca", ca_key, ca)
    for server in ("apiserver", "kubelet"):
        _write(directory, server, *_signed(server, None, ca, ca_key))
    for user in USERS:
        _write(directory, user, *_signed(user, "system:masters", ca, ca_key))
    service_accounts = ec.generate_private_key(ec.SECP256R1())
    _write(directory, "service-accounts", service_accounts, None)
    (directory / "complete").touch()


def _signed(
    name: str, group: str | None, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    return key, _certificate(name, group, key, ca, ca_key)


def _certificate(
    name: str,
    group: str | None,
    key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate | None,
    ca_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    names = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
    if group:
        names.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    subject = x509.Name(names)
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.subject if ca else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + _DAYS)
        .add_extension(x509.BasicConstraints(ca=ca is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .add_extension(_usage(of_ca=ca is None), critical=True)
    )
    if ca:
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(
            x509.SubjectAlternativeName([loopback, x509.DNSName("localhost")]), critical=False
        )
    return builder.sign(ca_key, hashes.SHA256())


def _usage(of_ca: bool) -> x509.KeyUsage:
    """A CA signs certificates, everybody else signs handshakes: RFC 5280, 4.2.1.3, wants it said."""
    others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")
    never = dict.fromkeys((*others, "encipher_only", "decipher_only"), False)
    return x509.KeyUsage(digital_signature=not of_ca, key_cert_sign=of_ca, **never)


def _write(directory: Path, stem: str, key: ec.EllipticCurvePrivateKey, cert: x509.Certificate | None) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    with open(os.open(directory / f"{stem}.key", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    shown = cert.public_bytes(serialization.Encoding.PEM) if cert else public
    (directory / f"{stem}.{'crt' if cert else 'pub'}").write_bytes(shown)
