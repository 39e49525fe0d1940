"""Contexts from files, who is admitted, and files that change."""

from __future__ import annotations

import dataclasses
import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.certificates import Authority, Issued
from zetcd.config import Config, ConfigError, TransportSecurity
from zetcd.runtime.tls import (
    Admission,
    PeerCertificate,
    WatchedFiles,
    check_files,
    client_side,
    common_name,
    files_of,
    is_for_host,
    revoked_serials,
    server_side,
)


@pytest.fixture(name="authority", scope="module")
def make_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(name="server", scope="module")
def make_server(authority: Authority) -> Issued:
    return authority.issue("server", hosts=("localhost",), addresses=("127.0.0.1",))


def security_of(server: Issued, **more: object) -> TransportSecurity:
    plain = TransportSecurity(cert_file=str(server.certificate), key_file=str(server.key))
    return dataclasses.replace(plain, **more)  # type: ignore[arg-type]


def shake_hands(
    server: ssl.SSLContext, client: ssl.SSLContext
) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Return both sides after a handshake in memory; raises as either of them does."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (
        server.wrap_bio(to_server, to_client, server_side=True),
        client.wrap_bio(to_client, to_server, server_hostname="localhost"),
    )
    for _ in range(4):
        for side in (sides[1], sides[0]):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return sides


def client_context(authority: Authority, certificate: Issued | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    context.set_alpn_protocols(["h2"])
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    return context


def test_http2_is_agreed_upon(authority: Authority, server: Issued) -> None:
    side = server_side(Config(), security_of(server))
    ours, _ = shake_hands(side.context, client_context(authority))
    assert ours.selected_alpn_protocol() == "h2"
    assert not side.admission.is_certificate_needed


def test_who_can_speak_both_is_answered_in_http_1(authority: Authority, server: Issued) -> None:
    both = client_context(authority)
    both.set_alpn_protocols(["h2", "http/1.1"])
    ours, _ = shake_hands(server_side(Config(), security_of(server)).context, both)
    assert ours.selected_alpn_protocol() == "http/1.1"


def test_authorities_demand_certificates(
    authority: Authority, server: Issued, tmp_path: Path
) -> None:
    side = server_side(Config(), security_of(server, trusted_ca_file=str(authority.file)))
    with pytest.raises(ssl.SSLError):
        shake_hands(side.context, client_context(authority))
    stranger = Authority(tmp_path, "stranger").issue("client")
    with pytest.raises(ssl.SSLError):
        shake_hands(side.context, client_context(authority, stranger))
    ours, _ = shake_hands(side.context, client_context(authority, authority.issue("client")))
    certificate = ours.getpeercert()
    assert certificate is not None
    assert common_name(dict(certificate)) == "client"


@pytest.mark.parametrize(
    ("settings", "is_refused"),
    [
        ({"tls_min_version": "TLS1.3"}, True),
        ({"tls_max_version": "TLS1.2"}, False),
        ({"cipher_suites": ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",)}, False),
        ({"cipher_suites": ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",)}, True),
    ],
)
def test_versions_and_suites(
    authority: Authority, server: Issued, settings: dict[str, object], is_refused: bool
) -> None:
    config = dataclasses.replace(Config(), **settings)  # type: ignore[arg-type]
    context = client_context(authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    side = server_side(config, security_of(server))
    if is_refused:
        with pytest.raises(ssl.SSLError):
            shake_hands(side.context, context)
    else:
        ours, _ = shake_hands(side.context, context)
        assert ours.version() == "TLSv1.2"


def test_a_client_side_knows_the_server(authority: Authority, server: Issued) -> None:
    security = security_of(server, trusted_ca_file=str(authority.file))
    shake_hands(server_side(Config(), security).context, client_side(Config(), security))


def test_files_that_cannot_be_used_are_a_problem_of_the_configuration(
    server: Issued, authority: Authority
) -> None:
    other = authority.issue("other")
    mixed = security_of(server, key_file=str(other.key))
    with pytest.raises(ConfigError, match="cannot be used") as caught:
        check_files(Config(), mixed, "client-transport-security")
    assert caught.value.problems[0].key == "client-transport-security"
    with pytest.raises(ConfigError, match="No such file"):
        check_files(Config(), security_of(server, trusted_ca_file="/no/such"), "x")


@pytest.mark.parametrize("is_der", [True, False])
def test_revoked_certificates(authority: Authority, tmp_path: Path, is_der: bool) -> None:
    path = authority.revoke(tmp_path / "list", 17, 18, is_der=is_der)
    assert revoked_serials(str(path)) == {17, 18}
    assert revoked_serials("") == frozenset()
    path.write_bytes(b"-----BEGIN nothing")
    with pytest.raises(ValueError):
        revoked_serials(str(path))


CERTIFICATE: PeerCertificate = {
    "subject": ((("organizationName", "o"),), (("commonName", "alice"),)),
    "subjectAltName": (("DNS", "*.example.com"), ("DNS", "host"), ("IP Address", "10.0.0.1")),
    "serialNumber": "11",
}
EVERYBODY = Admission(True, (), (), frozenset())


@pytest.mark.parametrize(
    ("admission", "certificate", "part"),
    [
        (EVERYBODY, CERTIFICATE, ""),
        (EVERYBODY, None, "no certificate"),
        (dataclasses.replace(EVERYBODY, is_certificate_needed=False), None, ""),
        (dataclasses.replace(EVERYBODY, revoked=frozenset({0x11})), CERTIFICATE, "is revoked"),
        (dataclasses.replace(EVERYBODY, revoked=frozenset({11})), CERTIFICATE, ""),
        (dataclasses.replace(EVERYBODY, allowed_cn=("alice",)), CERTIFICATE, ""),
        (dataclasses.replace(EVERYBODY, allowed_cn=("bob",)), CERTIFICATE, "common name"),
        (dataclasses.replace(EVERYBODY, allowed_hostname=("x", "host")), CERTIFICATE, ""),
        (dataclasses.replace(EVERYBODY, allowed_hostname=("x",)), CERTIFICATE, "no allowed host"),
    ],
)
def test_admission(admission: Admission, certificate: PeerCertificate | None, part: str) -> None:
    refusal = admission.refusal(certificate)
    assert part in refusal
    assert bool(refusal) == bool(part)


@pytest.mark.parametrize(
    ("host", "is_for"),
    [
        ("host", True),
        ("HOST", True),
        ("a.example.com", True),
        ("a.b.example.com", False),
        (".example.com", False),
        ("example.com", False),
        ("10.0.0.1", True),
        ("10.0.0.2", False),
    ],
)
def test_hosts_of_a_certificate(host: str, is_for: bool) -> None:
    assert is_for_host(CERTIFICATE, host) is is_for


def replace_file(path: Path) -> None:
    new = path.with_suffix(".new")
    new.write_text("as long")
    new.rename(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("longer than before"),
        lambda path: os.utime(path, ns=(1, 1)),
        replace_file,
        lambda path: path.unlink(),
    ],
    ids=["written", "touched", "replaced", "removed"],
)
def test_a_change_is_noticed_once(tmp_path: Path, change: Callable[[Path], object]) -> None:
    path = tmp_path / "file"
    path.write_text("as long")
    files = WatchedFiles((str(path),))
    assert not files.have_changed()
    change(path)
    assert files.have_changed()
    assert not files.have_changed()


def test_the_files_of_a_section() -> None:
    security = TransportSecurity(cert_file="c", key_file="k", client_crl_file="r")
    assert files_of(security) == ("c", "k", "r")
