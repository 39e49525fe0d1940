"""Responsible for a node's certificates before it starts: made if that is asked for, all of them checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import structlog

from zetcd.config import Config, TransportSecurity
from zetcd.config.urls import is_secure, names_file
from zetcd.runtime.self_signed import self_signed
from zetcd.runtime.tls import check_files, files_of

#: What is said, as far as etcd says it, when certificates are given and not to be made.
_IGNORED: Final = "ignoring {} auto TLS since certs given"


def with_certificates(config: Config) -> Config:
    """Return the configuration with certificates that were made if need be, all of them checked.

    Raises:
        ConfigError: a file cannot be used.
    """
    return _with_peer_certificates(_with_client_certificates(config))


def _with_client_certificates(config: Config) -> Config:
    security = config.client_transport_security
    urls = (
        *config.listen_client_urls,
        *config.listen_client_http_urls,
        *config.listen_metrics_urls,
    )
    secure = list(filter(is_secure, urls))
    log = structlog.get_logger()
    if security.cert_file and len(secure) < len(urls):
        log.warning("certificates are not used for client URLs without TLS", urls=urls)
    if not secure:
        return config
    if security.auto_tls and security.cert_file:
        log.warning(_IGNORED.format("client"))
    elif security.auto_tls:
        security = _self_signed(config, security, "client", secure)
        log.warning("clients cannot know this member by its self-signed certificate")
        config = replace(config, client_transport_security=security)
    check_files(config, security, "client-transport-security")
    return config


def _with_peer_certificates(config: Config) -> Config:
    if not config.has_peer_tls():
        return config
    security, log = config.peer_transport_security, structlog.get_logger()
    secure = list(filter(is_secure, config.listen_peer_urls))
    if security.auto_tls and security.cert_file:
        log.warning(_IGNORED.format("peer"))
        # What was given can be verified, so it is.
        security = replace(security, auto_tls=False)
    elif security.auto_tls and secure:
        security = _self_signed(config, security, "peer", secure)
        log.warning("members cannot know each other by self-signed certificates")
    for url in config.listen_peer_urls:
        if security.cert_file and not is_secure(url):
            log.warning(
                "scheme is HTTP while key and cert files are present; ignoring key and cert files",
                peer_url=url,
            )
    config = replace(config, peer_transport_security=security)
    check_files(config, security, "peer-transport-security", connects=True)
    log.info(
        "starting with peer TLS",
        files=files_of(security),
        client_cert_auth=security.client_cert_auth,
    )
    return config


def _self_signed(
    config: Config, security: TransportSecurity, whose: str, urls: Sequence[str]
) -> TransportSecurity:
    hosts = [urlsplit(url).hostname or "localhost" for url in urls if not names_file(url)]
    directory = Path(config.data_dir) / "fixtures" / whose
    certificate, key = self_signed(
        directory, hosts or ["localhost"], config.self_signed_cert_validity
    )
    return replace(security, cert_file=str(certificate), key_file=str(key))
