"""Responsible for certificates that a member makes for itself (``auto-tls``): they encrypt and prove nothing."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_YEAR: Final = dt.timedelta(days=365)
#: Clocks of clients may be behind ours.
_CLOCK_DIFFERENCE: Final = dt.timedelta(hours=1)


def self_signed(directory: Path, hosts: Iterable[str], years: int) -> tuple[Path, Path]:
    """Return certificate and key in ``directory``, made anew if there are none that are valid.

    Args:
        directory: as in etcd, ``<data-dir>/fixtures/client`` or ``…/peer``.
        hosts: names and addresses that the certificate is for.
        years: how long a new one is valid.

    Raises:
        OSError: they cannot be written.
    """
    certificate, key = directory / "cert.pem", directory / "key.pem"
    if not _is_valid(certificate) or not key.is_file():
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make(certificate, key, sorted(set(hosts)), years)
    return certificate, key


def _is_valid(certificate: Path) -> bool:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
    except (OSError, ValueError):
        return False
    now = dt.datetime.now(dt.UTC)
    return found.not_valid_before_utc <= now < found.not_valid_after_utc


def _make(certificate: Path, key: Path, hosts: list[str], years: int) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "etcd")])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_DIFFERENCE)
        .not_valid_after(now + years * _YEAR)
        .add_extension(x509.SubjectAlternativeName(list(map(_general_name, hosts))), critical=False)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    _write(
        key,
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    _write(certificate, signed.public_bytes(serialization.Encoding.PEM))


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
