"""Responsible for what URLs and certificates must have in common, in etcd's words; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from zetcd.config.rules import shown
from zetcd.config.sections import TransportSecurity
from zetcd.config.urls import is_secure
from zetcd.errors import Problem

_SECTION: Final = "peer-transport-security"


def check_peer_security(
    security: TransportSecurity, *, listening: Sequence[str], advertised: Sequence[str]
) -> Iterator[Problem]:
    """Yield what is wrong with the section, and with URLs that it does not fit."""
    yield from check_key_pair(_SECTION, security)
    yield from _check_clients(security)
    secure = list(filter(is_secure, listening))
    if secure and not security.cert_file and not security.auto_tls:
        address = secure[0].partition("://")[2].rstrip("/")
        yield Problem(
            "listen-peer-urls",
            shown(secure[0]),
            f"cannot listen on TLS for {address}: KeyFile and CertFile are not presented",
            f"set cert-file and key-file in [{_SECTION}]",
        )
    if not secure:
        for url in filter(is_secure, advertised):
            yield Problem(
                "initial-advertise-peer-urls",
                shown(url),
                "has TLS, and this member listens for others without",
                "make one of listen-peer-urls https",
            )


def check_key_pair(section: str, security: TransportSecurity) -> Iterator[Problem]:
    """Yield that a section has a certificate and no key, or the other way round."""
    certificate, key = security.cert_file, security.key_file
    if bool(certificate) != bool(key):
        yield Problem(
            section,
            shown(certificate or key),
            f"KeyFile and CertFile must both be present[key: {key}, cert: {certificate}]",
            "set both",
        )


def _check_clients(security: TransportSecurity) -> Iterator[Problem]:
    certificate, key = security.client_cert_file, security.client_key_file
    if bool(certificate) != bool(key):
        yield Problem(
            _SECTION,
            shown(certificate or key),
            "ClientKeyFile and ClientCertFile must both be present or both absent: "
            f"key: {key}, cert: {certificate}]",
            "set both",
        )
    if security.allowed_cn and security.allowed_hostname:
        yield Problem(
            _SECTION,
            shown(security.allowed_cn[0]),
            "AllowedCNs and AllowedHostnames are mutually exclusive",
            "set only one of allowed-cn and allowed-hostname",
        )
