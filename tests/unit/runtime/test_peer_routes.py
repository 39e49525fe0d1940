"""Where sockets of members connect, and that TLS is never left out."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from zetcd.config.tree import PeerTunnel
from zetcd.runtime.peer_routes import Channel, Destination, PeerRoutes, destination_of
from zetcd.runtime.socks import SUCCEEDED, reply

KEY = "0123456789abcdef"


@pytest.fixture(name="push")
def make_push() -> Iterator[zmq.Socket[bytes]]:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    push = context.socket(zmq.PUSH)
    push.setsockopt(zmq.LINGER, 0)
    yield push
    push.close(0)
    context.term()


@pytest.fixture(name="listener")
def make_listener() -> Iterator[socket.socket]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.settimeout(20)
        yield listener


def port_of(listener: socket.socket) -> int:
    return int(listener.getsockname()[1])


def tunnel_to(listener: socket.socket, key: str = KEY) -> PeerTunnel:
    return PeerTunnel(port_of(listener), key, -1)


def asked_for(listener: socket.socket) -> tuple[str, int]:
    """Return the name and port that a socket asks for at the tunnel."""
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(20)
        assert connection.recv(3) == bytes((5, 1, 0))
        connection.sendall(bytes((5, 0)))
        head = connection.recv(5, socket.MSG_WAITALL)
        name = connection.recv(head[4], socket.MSG_WAITALL).decode()
        port = int.from_bytes(connection.recv(2, socket.MSG_WAITALL), "big")
        # libzmq takes the end of a connection well, a refusal not.
        connection.sendall(reply(SUCCEEDED))
        return name, port


@pytest.mark.parametrize("host", ["10.0.0.1", "db-1.example", "etcd_1", "[::1]", "[2001:db8::7]"])
def test_what_is_asked_for_at_the_tunnel_is_understood_there(
    host: str, push: zmq.Socket[bytes], listener: socket.socket
) -> None:
    PeerRoutes(tunnel_to(listener)).connect(push, (f"https://{host}:2380",))
    name, port = asked_for(listener)
    assert destination_of(name, port, KEY) == Destination(Channel.RAFT, host.strip("[]"), 2380)
    assert destination_of(name, port, "another key") is None


def test_a_url_with_tls_is_preferred_if_there_is_a_tunnel(
    push: zmq.Socket[bytes], listener: socket.socket
) -> None:
    urls = ("http://127.0.0.1:1", "https://127.0.0.1:2")
    PeerRoutes(tunnel_to(listener)).connect(push, urls)
    assert asked_for(listener)[1] == 2


def test_without_a_tunnel_the_other_one_is_taken(
    push: zmq.Socket[bytes], listener: socket.socket
) -> None:
    urls = ("https://127.0.0.1:1", f"http://127.0.0.1:{port_of(listener)}")
    PeerRoutes().connect(push, urls)
    listener.accept()[0].close()


def test_a_member_with_tls_is_never_spoken_to_in_clear(
    push: zmq.Socket[bytes], listener: socket.socket
) -> None:
    url = f"https://127.0.0.1:{port_of(listener)}"
    PeerRoutes().connect(push, (url,))
    with pytest.raises(ValueError, match="no peer-transport-security"):
        PeerRoutes().connect_anywhere(push, url, Channel.SNAPSHOT)
    # Whoever is connected to later shows that nobody was before.
    PeerRoutes().connect(push, (f"tcp://127.0.0.1:{port_of(listener)}",))
    listener.accept()[0].close()
    listener.setblocking(False)
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_a_socket_for_anybody_goes_through_the_tunnel_for_all(
    push: zmq.Socket[bytes], listener: socket.socket
) -> None:
    routes = PeerRoutes(tunnel_to(listener))
    for url, channel in (
        ("https://127.0.0.1:5", Channel.SNAPSHOT),
        ("tcp://127.0.0.1:6", Channel.CLEAR),
    ):
        endpoint = routes.connect_anywhere(push, url, Channel.SNAPSHOT)
        found = destination_of(*asked_for(listener), KEY)
        push.disconnect(endpoint)
        assert found == Destination(channel, "127.0.0.1", int(url[-1]))


def test_a_host_that_is_too_long_is_not_connected_to(
    push: zmq.Socket[bytes], listener: socket.socket
) -> None:
    routes = PeerRoutes(tunnel_to(listener))
    routes.connect(push, (f"https://{'a' * 250}:2380",))
    with pytest.raises(ValueError, match="too long"):
        routes.connect_anywhere(push, f"https://{'a' * 250}:2380", Channel.SNAPSHOT)


def test_an_unknown_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="telnet"):
        destination_of(f"{KEY}.telnet.host", 1, KEY)


def test_urls_with_tls_are_one_socket_of_the_runtime_directory(
    tmp_path: Path, push: zmq.Socket[bytes]
) -> None:
    routes = PeerRoutes(runtime_dir=str(tmp_path))
    routes.bind(push, ("https://127.0.0.1:1", "https://127.0.0.1:2"), Channel.RAFT)
    assert [each.name for each in tmp_path.iterdir()] == ["peers-raft"]
