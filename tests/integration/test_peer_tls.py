"""Members that talk TLS: real processes, real certificates, and whoever must not get in."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.integration.cluster import (
    PATIENCE_SECONDS,
    Cluster,
    Node,
    assert_same_history,
    free_ports,
    wait_until,
)
from tests.integration.load import Writer
from tests.integration.test_restart_paths import events, frequent, grow_until_released
from tests.peer_security import member_certificate, peer_security, replace_certificate
from zetcd.client import Client
from zetcd.runtime.peer_routes import Channel

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

RELAY = "peer-tls-0"
REJECTED = "rejected connection on peer endpoint"


@pytest.fixture(name="authority")
def make_authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture(name="cluster")
def make_cluster(tmp_path: Path, authority: Authority) -> Iterator[Cluster]:
    """Three members that demand each other's certificates."""
    extra = peer_security(authority, member_certificate(authority))
    with Cluster(tmp_path, extra=extra, peer_scheme="https") as cluster:
        yield cluster


def errors(node: Node, event: str) -> list[str]:
    return [str(each.get("error")) for each in events(node, event)]


def wait_error(node: Node, event: str, text: str) -> None:
    wait_until(
        lambda: any(text in error for error in errors(node, event)),
        f"{node.name} says {event!r} because of {text!r}",
    )


# --- what must go on ------------------------------------------------------------------------------


def test_a_leader_that_is_killed_is_replaced_and_comes_back(cluster: Cluster) -> None:
    leader, term = cluster.leader_and_term()
    with Writer([node.endpoint for node in cluster.followers()]) as writer:
        writer.wait_progress()
        leader.kill()
        assert cluster.leader_and_term()[1] > term
        writer.wait_progress()
        leader.start_serving()
        writer.wait_progress()
    assert_same_history(cluster)
    with Client(leader.endpoint) as client:
        writer.assert_kept(client)


def test_a_member_stops_in_order(cluster: Cluster) -> None:
    leader, term = cluster.leader_and_term()
    assert leader.stop() == 0
    # Leadership was handed over, through TLS to the last moment.
    assert cluster.leader_and_term()[1] == term + 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_the_actor_is_replaced_alone_and_nothing_is_lost(
    cluster: Cluster, number: signal.Signals
) -> None:
    leader = cluster.leader()
    others = {name: pid for name, pid in leader.actors().items() if name != RELAY}
    with Writer(cluster.endpoints) as writer:
        writer.wait_progress()
        # A stopped process is noticed by its silence only, which takes its time.
        for node in cluster.nodes if number is signal.SIGKILL else [leader]:
            pid = node.actor(RELAY).pid
            os.kill(pid, number)
            node.wait_actor_back(RELAY, pid)
            writer.wait_progress()
    assert {name: pid for name, pid in leader.actors().items() if name != RELAY} == others
    cluster.wait_serving()
    assert_same_history(cluster)
    with Client(leader.endpoint) as client:
        writer.assert_kept(client)


def test_a_follower_gets_a_snapshot_through_tls(tmp_path: Path, authority: Authority) -> None:
    extra = frequent() + peer_security(authority, member_certificate(authority))
    with Cluster(tmp_path, extra=extra, peer_scheme="https") as cluster:
        leader = cluster.leader()
        follower = cluster.followers()[0]
        follower.kill()
        for node in cluster.running:
            grow_until_released(node, leader.endpoint)
        follower.start_serving()
        (fetching,) = events(follower, "fetching a snapshot")
        assert fetching["source"] in {node.peer_url for node in cluster.nodes}
        assert events(follower, "snapshot fetched")
        assert_same_history(cluster)


def test_a_member_is_added_while_they_run(
    tmp_path: Path, cluster: Cluster, authority: Authority
) -> None:
    joiner = Node("node3", tmp_path / "node3", free_ports(3))
    joiner.peer_scheme = "https"
    with Client(cluster.leader().endpoint) as client:
        client.put(b"a", b"1")
        client.member_add([joiner.peer_url])
    members = [*cluster.nodes, joiner]
    joiner.write_config(
        ",".join(f"{node.name}={node.peer_url}" for node in members),
        'initial-cluster-state = "existing"\n'
        + peer_security(authority, member_certificate(authority, "joiner")),
    )
    cluster.nodes.append(joiner)
    joiner.start_serving()
    with Client(joiner.endpoint) as client:
        assert client.get(b"a", serializable=True).kvs[0].value == b"1"
    assert_same_history(cluster)


def test_certificates_that_members_make_themselves(tmp_path: Path) -> None:
    extra = "[peer-transport-security]\nauto-tls = true\n"
    with Cluster(tmp_path, extra=extra, peer_scheme="https") as cluster:
        with Client(cluster.leader().endpoint) as client:
            client.put(b"a", b"1")
        for node in cluster.nodes:
            assert (node.data_dir / "fixtures" / "peer" / "cert.pem").is_file()
        assert_same_history(cluster)


def test_a_cluster_moves_from_http_to_https_while_it_runs(
    tmp_path: Path, authority: Authority
) -> None:
    security = peer_security(authority, member_certificate(authority))
    with Cluster(tmp_path, extra=security, peer_scheme="http") as cluster:
        ids = {node.name: node.config.member_id() for node in cluster.nodes}
        with Writer(cluster.endpoints) as writer:
            for node in cluster.nodes:
                writer.wait_progress()
                move_to_https(cluster, node, ids[node.name], security)
                writer.wait_progress()
        assert all(node.peer_url.startswith("https://") for node in cluster.nodes)
        # Two lanes of raft and one of wal, to and from each of the others.
        wait_until(
            lambda: inbound_connections(cluster) == ["6", "6", "6"], "each talks TLS to the others"
        )
        assert_same_history(cluster)
        with Client(cluster.endpoints) as client:
            writer.assert_kept(client)


def inbound_connections(cluster: Cluster) -> list[str]:
    """Return how many connections each member has from the others; told where it fails."""
    counts = [str(node.actor(RELAY).facts["connections_in"]) for node in cluster.nodes]
    print("connections:", counts)
    return counts


def move_to_https(cluster: Cluster, node: Node, member_id: int, security: str) -> None:
    """Give a member another URL, as docs/operations.md says."""
    old = node.peer_url
    (node.peer_port,) = free_ports(1)
    node.peer_scheme = "https"
    founders = ",".join(f"{each.name}={each.peer_url}" for each in cluster.nodes)
    node.write_config(
        founders,
        f'initial-advertise-peer-urls = "{node.peer_url}"\n'
        f'initial-cluster-state = "existing"\n{security}',
    )
    text = node.config_path.read_text()
    line = f'listen-peer-urls = ["{node.peer_url}"]'
    node.config_path.write_text(
        text.replace(line, f'listen-peer-urls = ["{old}", "{node.peer_url}"]')
    )
    # The new address is known to the others before it is there; meanwhile they reach nobody.
    other = next(each for each in cluster.nodes if each is not node)
    with Client(cluster.endpoints_from(other)) as client:
        client.member_update(member_id, [node.peer_url])
    assert node.stop() == 0
    node.start_serving()


# --- what must not get in -------------------------------------------------------------------------


def test_strangers_are_refused_and_the_members_go_on(
    tmp_path: Path, cluster: Cluster, authority: Authority
) -> None:
    node = cluster.followers()[0]
    stranger = Authority(tmp_path / "strangers", "stranger")
    with Writer(cluster.endpoints) as writer:
        assert ended_by(node, b"in clear, and no greeting of TLS at all")
        wait_error(node, REJECTED, "SSL")
        assert refused(node, authority)
        wait_error(node, REJECTED, "certificate")
        assert refused(node, authority, stranger)
        wait_error(node, REJECTED, "CERTIFICATE_VERIFY_FAILED")
        # Of the right authority, but neither raft nor a snapshot is asked for.
        assert refused(node, authority, authority, protocol="h2")
        wait_error(node, REJECTED, "no protocol of zetcd's members")
        writer.wait_progress()
    # Nothing of this has ended a process.
    assert node.actor(RELAY).restarts == 0


def ended_by(node: Node, words: bytes) -> bool:
    """Say whether a member ends a connection that is not TLS."""
    with socket.create_connection(("127.0.0.1", node.peer_port), PATIENCE_SECONDS) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(words)
            while connection.recv(4096):
                # The alert of TLS.
                pass
        return True


def refused(
    node: Node,
    authority: Authority,
    issuer: Authority | None = None,
    protocol: str = Channel.RAFT.protocol,
) -> bool:
    """Say whether a member ends a connection with TLS before a word of ZeroMQ."""
    context = ssl.create_default_context(cafile=str(authority.file))
    context.set_alpn_protocols([protocol])
    if issuer is not None:
        mine = member_certificate(issuer, "mine")
        context.load_cert_chain(mine.certificate, mine.key)
    address = ("127.0.0.1", node.peer_port)
    try:
        with (
            socket.create_connection(address, PATIENCE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            return not connection.recv(1)
    except OSError:
        return True


def test_a_member_of_another_authority_stays_out_until_it_has_the_right_certificate(
    tmp_path: Path, authority: Authority
) -> None:
    wrong = member_certificate(Authority(tmp_path / "other", "other"))
    extra = [peer_security(authority, member_certificate(authority))] * 2
    extra.append(peer_security(authority, wrong))
    cluster = Cluster(tmp_path, extra_of=dict(enumerate(extra)), peer_scheme="https")
    try:
        for node in cluster.nodes[:2]:
            node.start()
        cluster.wait_serving()
        outsider = cluster.nodes[2]
        outsider.start()
        # Both the ones who are asked and the one who asks say why.
        wait_error(cluster.nodes[0], REJECTED, "CERTIFICATE_VERIFY_FAILED")
        wait_error(outsider, "cannot connect to a peer", "may not accept this member's certificate")
        wait_error(cluster.nodes[0], "cannot connect to a peer", "CERTIFICATE_VERIFY_FAILED")
        with Client(cluster.nodes[0].endpoint) as client:
            client.put(b"a", b"1")
        # Certificates are read again while it runs.
        replace_certificate(wrong, member_certificate(authority, "right"))
        cluster.wait_serving()
        assert_same_history(cluster)
    finally:
        cluster.kill_all()


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ('allowed-cn = ["member"]', "common name ('guest',) is not allowed"),
        ('allowed-hostname = ["localhost"]', "for no allowed host name"),
        ("", "certificate is valid for 127.0.0.9, not 127.0.0.1"),
    ],
)
def test_a_member_of_another_name_stays_out(
    tmp_path: Path, authority: Authority, setting: str, text: str
) -> None:
    guest = authority.issue("guest", addresses=("127.0.0.1" if setting else "127.0.0.9",))
    extra = [peer_security(authority, member_certificate(authority), setting)] * 2
    extra.append(peer_security(authority, guest))
    cluster = Cluster(tmp_path, extra_of=dict(enumerate(extra)), peer_scheme="https")
    try:
        for node in cluster.nodes:
            node.start()
        for node in cluster.nodes[:2]:
            wait_until(node.is_serving, f"{node.name} serves")
            wait_error(node, REJECTED, text)
        assert not events(cluster.nodes[2], "ready")
    finally:
        cluster.kill_all()
