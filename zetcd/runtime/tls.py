"""Responsible for TLS: contexts from files of certificates, who may connect, and noticing new files.

The rules are etcd's: a file of authorities, or the demand for certificates, makes every connection show
one; beside its chain it may have to carry a certain name, and must not be revoked.

Invariants
    - A context is complete or there is none: files that do not fit together leave the old one in place.
    - Every connection makes a whole handshake (no tickets), so what is revoked cannot resume.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from cryptography import x509

from zetcd.config import Config, TransportSecurity
from zetcd.config.cipher_suites import openssl_ciphers
from zetcd.errors import ConfigError, Problem

_VERSIONS: Final = {"TLS1.2": ssl.TLSVersion.TLSv1_2, "TLS1.3": ssl.TLSVersion.TLSv1_3}
#: gRPC speaks HTTP/2, everything else on the port HTTP/1.1. The first that the client knows too is taken:
#: clients of gRPC offer HTTP/2 alone, while curl, Prometheus and browsers offer both and would ask /health in HTTP/2.
CLIENT_PROTOCOLS: Final = ("http/1.1", "h2")

#: A certificate as `ssl` shows it.
PeerCertificate = dict[str, object]
#: What a file was when it was read: when and how it was last written.
_Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may connect, beyond what the chain of a certificate says."""

    is_certificate_needed: bool
    allowed_cn: tuple[str, ...]
    allowed_hostname: tuple[str, ...]
    #: Serial numbers of revoked certificates.
    revoked: frozenset[int]

    def refusal(self, certificate: PeerCertificate | None) -> str:
        """Return why a connection with this certificate is refused; empty = it is welcome."""
        if not certificate:
            return "no certificate" if self.is_certificate_needed else ""
        if int(str(certificate.get("serialNumber", "0")), 16) in self.revoked:
            return "the certificate is revoked"
        names = _common_names(certificate)
        if self.allowed_cn and not set(names) & set(self.allowed_cn):
            return f"client certificate authentication failed: common name {names} is not allowed"
        if self.allowed_hostname and not any(
            is_for_host(certificate, host) for host in self.allowed_hostname
        ):
            return "client certificate authentication failed: it is for no allowed host name"
        return ""


@dataclass(frozen=True, slots=True)
class ServerSide:
    """What a listener needs for TLS."""

    context: ssl.SSLContext
    admission: Admission


def server_side(
    config: Config, security: TransportSecurity, protocols: Iterable[str] = CLIENT_PROTOCOLS
) -> ServerSide:
    """Return context and admission of a listener.

    Raises:
        OSError: a file cannot be read, or is not what it should be (`ssl.SSLError` is one).
        ValueError: the list of revoked certificates cannot be understood.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_up(context, config)
    context.load_cert_chain(security.cert_file, security.key_file, password=_no_password)
    context.set_alpn_protocols(list(protocols))
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    admission = admission_of(security)
    if admission.is_certificate_needed:
        context.verify_mode = ssl.CERT_REQUIRED
        if security.trusted_ca_file:
            context.load_verify_locations(security.trusted_ca_file)
        else:
            context.load_default_certs(ssl.Purpose.CLIENT_AUTH)
    return ServerSide(context, admission)


def admission_of(security: TransportSecurity) -> Admission:
    """Return who may connect; raises as `server_side`."""
    return Admission(
        security.client_cert_auth or bool(security.trusted_ca_file),
        security.allowed_cn,
        security.allowed_hostname,
        revoked_serials(security.client_crl_file),
    )


def client_side(
    config: Config, security: TransportSecurity, protocols: Iterable[str] = ()
) -> ssl.SSLContext:
    """Return the context for connections to other members; raises as `server_side`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _set_up(context, config)
    # As in etcd: a certificate without alternative names is for no host.
    context.hostname_checks_common_name = False
    certificate = security.client_cert_file or security.cert_file
    key = security.client_key_file or security.key_file
    if certificate:
        context.load_cert_chain(certificate, key, password=_no_password)
    context.set_alpn_protocols(list(protocols))
    if security.trusted_ca_file:
        context.load_verify_locations(security.trusted_ca_file)
    elif security.auto_tls:
        # Nobody vouches for certificates that members make themselves, as in etcd.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    return context


def _set_up(context: ssl.SSLContext, config: Config) -> None:
    context.minimum_version = _VERSIONS[config.tls_min_version]
    if config.tls_max_version:
        context.maximum_version = _VERSIONS[config.tls_max_version]
    ciphers = openssl_ciphers(config.cipher_suites)
    if ciphers:
        context.set_ciphers(ciphers)


def _no_password() -> NoReturn:
    """Refuse a key with a password, for which OpenSSL would ask a terminal."""
    raise OSError("the private key has a password")


def revoked_serials(path: str) -> frozenset[int]:
    """Return the serial numbers in a list of revoked certificates, PEM or DER; no path = none."""
    if not path:
        return frozenset()
    content = Path(path).read_bytes()
    is_pem = content.lstrip().startswith(b"-----")
    read = x509.load_pem_x509_crl if is_pem else x509.load_der_x509_crl
    return frozenset(each.serial_number for each in read(content))


# --- names in certificates ----------------------------------------------------------------------


def _common_names(certificate: PeerCertificate) -> tuple[str, ...]:
    subject = certificate.get("subject", ())
    assert isinstance(subject, tuple)
    return tuple(value for part in subject for key, value in part if key == "commonName")


def common_name(certificate: PeerCertificate) -> str:
    """Return the common name of a certificate; empty if it has none."""
    return next(iter(_common_names(certificate)), "")


def alternative_names(certificate: PeerCertificate, kind: str) -> tuple[str, ...]:
    """Return the alternative names of a kind (``DNS``, ``IP Address``) of a certificate."""
    names = certificate.get("subjectAltName", ())
    assert isinstance(names, tuple)
    return tuple(name.strip() for each, name in names if each == kind)


def is_for_host(certificate: PeerCertificate, host: str) -> bool:
    """Say whether a certificate is for a host, by its alternative names."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return any(_matches(name, host) for name in alternative_names(certificate, "DNS"))
    return any(
        ipaddress.ip_address(name) == address
        for name in alternative_names(certificate, "IP Address")
    )


def _matches(pattern: str, host: str) -> bool:
    """Compare host names; a star stands for the whole first label."""
    pattern, host = pattern.lower().rstrip("."), host.lower().rstrip(".")
    if not pattern.startswith("*."):
        return pattern == host
    first, dot, rest = host.partition(".")
    return bool(first and dot) and rest == pattern[2:]


# --- files that change --------------------------------------------------------------------------


@dataclass(slots=True)
class WatchedFiles:
    """Notices that files were written again, or replaced, which is how certificates are renewed."""

    paths: tuple[str, ...]
    _stamps: tuple[_Stamp | None, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Note what they are now."""
        self._stamps = self._look()

    def have_changed(self) -> bool:
        """Say whether any has changed since the last call."""
        stamps = self._look()
        if stamps == self._stamps:
            return False
        self._stamps = stamps
        return True

    def _look(self) -> tuple[_Stamp | None, ...]:
        return tuple(map(_stamp, self.paths))


def _stamp(path: str) -> _Stamp | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def files_of(security: TransportSecurity) -> tuple[str, ...]:
    """Return the files that a section names."""
    return tuple(
        filter(
            None,
            (
                security.cert_file,
                security.key_file,
                security.client_cert_file,
                security.client_key_file,
                security.trusted_ca_file,
                security.client_crl_file,
            ),
        )
    )


def check_files(
    config: Config, security: TransportSecurity, section: str, *, connects: bool = False
) -> None:
    """Refuse files that cannot be used, before anything is started.

    Args:
        config: of the node.
        security: the section.
        section: its name.
        connects: this node makes connections with them, too.

    Raises:
        ConfigError: naming the section and what is wrong.
    """
    try:
        if security.cert_file:
            server_side(config, security)
        if connects:
            client_side(config, security)
            admission_of(security)
    except (OSError, ValueError) as error:
        names = ", ".join(files_of(security))
        problem = Problem(section, names, f"cannot be used: {error}", "mend or replace the files")
        raise ConfigError(problems=[problem]) from error
