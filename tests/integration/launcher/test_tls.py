"""TLS on the client port of a real member: with and without certificates, revoked, renewed, self-made."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from tests.certificates import Authority, Issued
from tests.integration.cluster import free_ports, wait_until
from tests.integration.etcd_api.stubs import EtcdClient, refusal
from tests.integration.launcher.members import READY, Member, cluster_arguments
from zetcd.gateway.etcd.proto import rpc_pb2 as pb

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Secured:
    """A member whose clients must show a certificate."""

    member: Member
    authority: Authority
    target: str
    metrics_url: str
    certificate: Path
    key: Path
    revoked: Path


@pytest.fixture(name="secured", scope="module")
def make_secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority(directory / "authority")
    server = authority.issue("server", hosts=("localhost",), addresses=("127.0.0.1",))
    certificate, key = directory / "server.pem", directory / "server-key.pem"
    shutil.copy(server.certificate, certificate)
    shutil.copy(server.key, key)
    revoked = authority.revoke(directory / "revoked.pem", authority.issue("old").serial)
    (metrics_port,) = free_ports(1)
    metrics_url = f"http://127.0.0.1:{metrics_port}"
    arguments, (url,) = cluster_arguments("https", size=1)
    arguments[0] += [
        f"--cert-file={certificate}",
        f"--key-file={key}",
        "--client-cert-auth",
        f"--trusted-ca-file={authority.file}",
        f"--client-crl-file={revoked}",
        f"--listen-metrics-urls={metrics_url}",
    ]
    with Member(directory / "member", arguments[0]) as member:
        member.wait_for(READY)
        target = url.partition("://")[2]
        yield Secured(member, authority, target, metrics_url, certificate, key, revoked)


@contextlib.contextmanager
def client_of(
    target: str, authority: Path, certificate: Issued | None = None
) -> Iterator[EtcdClient]:
    credentials = grpc.ssl_channel_credentials(
        authority.read_bytes(),
        certificate.key.read_bytes() if certificate else None,
        certificate.certificate.read_bytes() if certificate else None,
    )
    client = EtcdClient(target, credentials)
    yield client
    client.close()


def put(client: EtcdClient) -> pb.PutResponse:
    return client.call("KV.Put", pb.PutRequest(key=b"a"), pb.PutResponse, timeout=10)


def test_a_client_with_a_certificate_is_served(secured: Secured) -> None:
    with client_of(secured.target, secured.authority.file, secured.authority.issue("a")) as client:
        assert put(client).header.revision > 1
    assert "serving client traffic securely" in secured.member.messages()


def test_a_client_without_one_or_with_that_of_a_stranger_is_not(
    secured: Secured, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger").issue("a")
    for certificate in (None, stranger):
        with client_of(secured.target, secured.authority.file, certificate) as client:
            code, _ = refusal(lambda client=client: put(client))  # type: ignore[misc]
        assert code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    plain = EtcdClient(secured.target)
    assert refusal(lambda: put(plain))[0] is grpc.StatusCode.UNAVAILABLE
    plain.close()


def test_http_is_served_with_tls_too_and_metrics_without(secured: Secured) -> None:
    issued = secured.authority.issue("web")
    context = ssl.create_default_context(cafile=str(secured.authority.file))
    context.load_cert_chain(issued.certificate, issued.key)
    with urllib.request.urlopen(f"https://{secured.target}/version", context=context) as answer:
        assert "etcdserver" in json.load(answer)
    # As curl, Prometheus and Go's clients of HTTP, which can speak HTTP/2 too.
    context.set_alpn_protocols(["h2", "http/1.1"])
    connection = http.client.HTTPSConnection(secured.target, context=context)
    connection.request("GET", "/health")
    assert isinstance(connection.sock, ssl.SSLSocket)
    assert connection.sock.selected_alpn_protocol() == "http/1.1"
    assert json.load(connection.getresponse())["health"] == "true"
    connection.close()
    with urllib.request.urlopen(f"{secured.metrics_url}/health") as answer:
        assert json.load(answer)["health"] == "true"
    anybody = ssl.create_default_context(cafile=str(secured.authority.file))
    with pytest.raises((urllib.error.URLError, OSError)):
        urllib.request.urlopen(f"https://{secured.target}/version", context=anybody)


def test_certificates_are_revoked_and_renewed_while_it_runs(
    secured: Secured, tmp_path: Path
) -> None:
    issued = secured.authority.issue("revoked")
    with client_of(secured.target, secured.authority.file, issued) as client:
        put(client)
    secured.authority.revoke(secured.revoked, issued.serial)

    def is_refused() -> bool:
        with client_of(secured.target, secured.authority.file, issued) as client:
            try:
                put(client)
            except grpc.RpcError:
                return True
        return False

    wait_until(is_refused, "a revoked certificate is refused")
    assert "rejected connection on client endpoint" in secured.member.messages()

    # A certificate of another authority: whoever trusts only that one is served once it is read.
    other = Authority(tmp_path, "next")
    server = other.issue("server", hosts=("localhost",), addresses=("127.0.0.1",))
    shutil.copy(server.key, secured.key)
    shutil.copy(server.certificate, secured.certificate)
    mine = secured.authority.issue("mine")

    def is_served() -> bool:
        with client_of(secured.target, other.file, mine) as client:
            try:
                put(client)
            except grpc.RpcError:
                return False
        return True

    wait_until(is_served, "the new certificate is used")


def test_a_certificate_of_its_own(tmp_path: Path) -> None:
    arguments, (url,) = cluster_arguments("https", size=1)
    with Member(tmp_path / "member", [*arguments[0], "--auto-tls"]) as member:
        member.wait_for(READY)
        own = tmp_path / "member" / "infra0.etcd" / "fixtures" / "client" / "cert.pem"
        with client_of(url.partition("://")[2], own) as client:
            assert put(client).header.revision == 2
