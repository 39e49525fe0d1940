"""Two relays between sockets of ZeroMQ, in this process."""

from __future__ import annotations

import asyncio
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import uvloop
import zmq

from tests.certificates import Authority
from tests.peer_security import member_certificate, peer_security
from zetcd.config import Config, parse_config
from zetcd.errors import PortInUse
from zetcd.runtime.peer_routes import Channel, PeerRoutes
from zetcd.runtime.peer_tls import PeerRelay
from zetcd.runtime.peer_tunnel import with_tunnel
from zetcd.runtime.snapshot_socket import ZmqSnapshotFetcher

_MS = 20_000


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Member:
    """One member: a relay in a thread, and the sockets that raft and snapshot would have."""

    def __init__(self, security: str, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        # The path of a Unix socket has 107 characters at most, and a temporary directory of tests may have them all.
        self._stack = ExitStack()
        directory = self._stack.enter_context(tempfile.TemporaryDirectory(dir="/tmp"))
        self.url = f"https://127.0.0.1:{free_port()}"
        config = parse_config(f'listen-peer-urls = "{self.url}"\n{security}')
        prepared = self._stack.enter_context(with_tunnel(config))
        self.config: Config = replace(prepared, runtime_dir=directory)
        self.routes = PeerRoutes.of(self.config)
        self.relay = PeerRelay(self.config)
        self._loop = uvloop.new_event_loop()
        self._serving: asyncio.Task[None]
        self.raft = self._socket(context, zmq.PULL, Channel.RAFT)
        self.snapshot = self._socket(context, zmq.ROUTER, Channel.SNAPSHOT)
        self._is_listening = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        assert self._is_listening.wait(_MS / 1000)

    def _socket(
        self, context: zmq.Context[zmq.Socket[bytes]], kind: int, channel: Channel
    ) -> zmq.Socket[bytes]:
        found = self._stack.enter_context(context.socket(kind))
        found.setsockopt(zmq.RCVTIMEO, _MS)
        found.setsockopt(zmq.LINGER, 0)
        self.routes.bind(found, self.config.listen_peer_urls, channel)
        return found

    def _serve(self) -> None:
        async def serve() -> None:
            self._serving = asyncio.ensure_future(self.relay.serve())
            self._loop.call_soon(self._is_listening.set)
            await asyncio.wait((self._serving,))
            await self.relay.close()

        self._loop.run_until_complete(serve())
        self._loop.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._serving.cancel)
        self._thread.join()
        self._stack.close()


@pytest.fixture(name="members")
def make_members(tmp_path: Path) -> Iterator[tuple[Member, Member]]:
    authority = Authority(tmp_path / "authority")
    security = peer_security(authority, member_certificate(authority))
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    members = [Member(security, context) for _ in range(2)]
    yield members[0], members[1]
    for member in members:
        member.close()
    context.term()


def pushing(
    member: Member, to: Member, context: zmq.Context[zmq.Socket[bytes]]
) -> zmq.Socket[bytes]:
    push = context.socket(zmq.PUSH)
    push.setsockopt(zmq.LINGER, 0)
    push.setsockopt(zmq.SNDTIMEO, _MS)
    member.routes.connect(push, (to.url,))
    return push


def test_frames_of_any_size_arrive_in_order(members: tuple[Member, Member]) -> None:
    here, there = members
    frames = [b"a", b"b" * 70_000, b"c" * 5_000_000, b"d"]
    with pushing(here, there, here.raft.context) as push:
        for frame in frames:
            push.send(frame)
        assert [there.raft.recv() for _ in frames] == frames


def test_a_snapshot_has_its_own_connection(members: tuple[Member, Member]) -> None:
    here, there = members
    fetcher = ZmqSnapshotFetcher(here.raft.context, 1 << 20, here.routes)
    try:
        fetcher.connect(there.url)
        fetcher.inbox.send(b"ask")
        receiver, asked = there.snapshot.recv_multipart()
        assert asked == b"ask"
        there.snapshot.send_multipart((receiver, b"x" * 1_000_000))
        assert fetcher.inbox.poll(_MS)
        assert len(fetcher.inbox.recv()) == 1_000_000
        facts = there.relay.facts()
        assert (facts["connections_in"], facts["connections_refused"]) == ("1", "0")
    finally:
        fetcher.destroy()


@pytest.mark.parametrize(
    ("lines", "is_welcome"),
    [
        ((), False),
        (("skip-client-san-verification = true",), True),
        (("skip-client-san-verification = true", "client-crl-file = '{crl}'"), False),
    ],
)
def test_a_certificate_for_clients_is_asked_where_it_comes_from_and_whether_it_is_revoked(
    tmp_path: Path, lines: tuple[str, ...], is_welcome: bool
) -> None:
    authority = Authority(tmp_path / "authority")
    server = member_certificate(authority)
    elsewhere = authority.issue("elsewhere", addresses=("127.0.0.9",))
    crl = authority.revoke(tmp_path / "revoked.pem", elsewhere.serial)
    asking = (
        f'client-cert-file = "{elsewhere.certificate}"',
        f'client-key-file = "{elsewhere.key}"',
    )
    asked = tuple(line.format(crl=crl) for line in lines)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    here = Member(peer_security(authority, server, *asking), context)
    there = Member(peer_security(authority, server, *asked), context)
    try:
        with pushing(here, there, context) as push:
            push.send(b"a")
            if is_welcome:
                assert there.raft.recv() == b"a"
            else:
                wait_for(there, "connections_refused")
                assert there.relay.facts()["connections_in"] == "0"
    finally:
        here.close()
        there.close()
        context.term()


def wait_for(member: Member, fact: str) -> None:
    """Return once something has been counted at a member."""
    deadline = time.monotonic() + _MS / 1000
    while member.relay.facts()[fact] == "0":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_whoever_does_not_know_the_key_gets_nothing_from_the_tunnel(
    members: tuple[Member, Member],
) -> None:
    here, there = members
    tunnel = here.config.peer_tunnel
    assert tunnel is not None
    port = int(there.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", tunnel.port), 20) as connection:
        connection.sendall(bytes((5, 1, 0)))
        assert connection.recv(2, socket.MSG_WAITALL) == bytes((5, 0))
        name = b"0" * len(tunnel.key) + b".raft.127.0.0.1"
        connection.sendall(bytes((5, 1, 0, 3, len(name))) + name + port.to_bytes(2, "big"))
        answer = connection.recv(100)
        assert answer[:2] == bytes((5, 2))
        assert connection.recv(1) == b""
    assert there.relay.facts()["connections_in"] == "0"


def test_what_is_no_socks_is_ended(members: tuple[Member, Member]) -> None:
    tunnel = members[0].config.peer_tunnel
    assert tunnel is not None
    with socket.create_connection(("127.0.0.1", tunnel.port), 20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert connection.recv(1) == b""


def test_a_handshake_that_never_ends_is_ended(members: tuple[Member, Member]) -> None:
    host, port = members[0].url.removeprefix("https://").split(":")
    with socket.create_connection((host, int(port)), 20) as connection:
        assert connection.recv(1) == b""


def test_the_port_may_be_somebody_elses(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        url = f"https://127.0.0.1:{other.getsockname()[1]}"
        security = peer_security(authority, member_certificate(authority))
        config = parse_config(f'listen-peer-urls = "{url}"\n{security}')
        with with_tunnel(config) as prepared, pytest.raises(PortInUse, match="listen-peer-urls"):
            PeerRelay(prepared)


def test_members_without_tls_have_no_tunnel() -> None:
    with with_tunnel(parse_config("")) as config:
        assert config.peer_tunnel is None


def test_a_member_without_tls_is_reached_in_clear(members: tuple[Member, Member]) -> None:
    here = members[0]
    fetcher = ZmqSnapshotFetcher(here.raft.context, 1 << 20, here.routes)
    with here.raft.context.socket(zmq.ROUTER) as router:
        router.setsockopt(zmq.RCVTIMEO, _MS)
        port = router.bind_to_random_port("tcp://127.0.0.1")
        try:
            fetcher.connect(f"tcp://127.0.0.1:{port}")
            fetcher.inbox.send(b"ask")
            assert router.recv_multipart()[1] == b"ask"
        finally:
            fetcher.destroy()


def test_a_member_that_comes_up_later_is_reached(
    members: tuple[Member, Member],
) -> None:
    here, there = members
    port = free_port()
    push = here.raft.context.socket(zmq.PUSH)
    with push, socket.socket() as listener:
        push.setsockopt(zmq.LINGER, 0)
        here.routes.connect(push, (f"https://127.0.0.1:{port}",))
        wait_for(here, "connects_failed")
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        listener.settimeout(_MS / 1000)
        listener.accept()[0].close()
        # The socket is closed while it waits to connect again, which ends nothing else.
    assert there.relay.facts()["connections_in"] == "0"
