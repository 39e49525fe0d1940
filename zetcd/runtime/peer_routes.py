"""Responsible for where sockets of members bind and connect: directly, or by way of the peer-tls actor.

    http, tcp   the address of the URL itself, in clear
    https       out: SOCKS5 at the tunnel of the node (`PeerTunnel`), which opens TLS to the address
                in:  a socket in the runtime directory, to which the tunnel brings what came with TLS

ZeroMQ speaks SOCKS5 by itself, so every connection names its own destination, each has its own TLS, and
making it anew stays ZeroMQ's matter. The name that it asks for is ``<key>.<channel>.<host>``: the
key keeps other users of the machine from talking to members under this member's certificate.

Invariant: what an https URL leads to is never spoken to in clear.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

import structlog
import zmq

from zetcd.config import Config
from zetcd.config.tree import PeerTunnel
from zetcd.config.urls import PEER_SCHEMES, is_secure, parse_url, peer_endpoint
from zetcd.errors import PortInUse

#: Longest name that a SOCKS5 request holds.
_NAME_BYTES_MAX: Final = 255


class Channel(Enum):
    """What a connection between members is for; its ALPN protocol is made of it."""

    RAFT = "raft"
    SNAPSHOT = "snapshot"
    #: Not TLS at all: to a member without it, from a socket that also talks to others.
    CLEAR = "clear"

    @property
    def protocol(self) -> str:
        """Its name within TLS."""
        return f"zetcd-{self.value}"


#: The channels that TLS carries.
SECURE_CHANNELS: Final = (Channel.RAFT, Channel.SNAPSHOT)


class Destination(NamedTuple):
    """What a connection to the tunnel asks for."""

    channel: Channel
    host: str
    port: int


def inbound_path(runtime_dir: str, channel: Channel) -> str:
    """Return the socket to which the tunnel brings what comes on a channel."""
    return f"{runtime_dir}/peers-{channel.value}"


@dataclass(frozen=True, slots=True)
class PeerRoutes:
    """How this node's sockets reach other members, and are reached."""

    tunnel: PeerTunnel | None = None
    runtime_dir: str = ""

    @classmethod
    def of(cls, config: Config) -> PeerRoutes:
        """Return the routes of a node."""
        return cls(config.peer_tunnel, config.runtime_dir)

    def bind(self, socket: zmq.Socket[bytes], urls: Sequence[str], channel: Channel) -> None:
        """Bind ``listen-peer-urls``; all that have TLS are one socket of the runtime directory.

        Raises:
            PortInUse: another process listens there.
            zmq.ZMQError: this machine cannot listen there at all.
        """
        for url in urls:
            if not is_secure(url):
                bind_endpoint(socket, peer_endpoint(url), f"listen-peer-urls {url}")
        if any(map(is_secure, urls)):
            path = inbound_path(self.runtime_dir, channel)
            bind_endpoint(socket, f"ipc://{path}", path)

    def connect(self, socket: zmq.Socket[bytes], urls: Sequence[str]) -> None:
        """Connect a socket to a member, at the first of its URLs; with TLS if it has any.

        A member that only TLS leads to is not connected to if this node has no tunnel.
        """
        url = self._chosen(urls)
        if not is_secure(url):
            socket.connect(peer_endpoint(url))
            return
        try:
            self._enter(socket, url, Channel.RAFT)
        except ValueError as error:
            structlog.get_logger().warning(
                "cannot connect to a peer", peer_url=url, error=str(error)
            )

    def connect_anywhere(self, socket: zmq.Socket[bytes], url: str, channel: Channel) -> str:
        """Connect a socket that talks to one member after another; return the endpoint.

        Raises:
            ValueError: the URL has TLS, and this node no tunnel, or is none.
        """
        if self.tunnel is None and not is_secure(url):
            socket.connect(url)
            return url
        # A socket that has had a proxy keeps it.
        return self._enter(socket, url, channel if is_secure(url) else Channel.CLEAR)

    def _chosen(self, urls: Sequence[str]) -> str:
        usable = [url for url in urls if is_secure(url) == (self.tunnel is not None)]
        return (usable or urls)[0]

    def _enter(self, socket: zmq.Socket[bytes], url: str, channel: Channel) -> str:
        if self.tunnel is None:
            raise ValueError("it has TLS, and this member has no peer-transport-security")
        address = parse_url(url, PEER_SCHEMES)
        name = _name_of(self.tunnel.key, channel, address.host)
        socket.setsockopt_string(zmq.SOCKS_PROXY, f"127.0.0.1:{self.tunnel.port}")
        endpoint = f"tcp://{name}:{address.port}"
        socket.connect(endpoint)
        return endpoint


#: Without a tunnel: every member is where its URL says.
DIRECT: Final = PeerRoutes()


def bind_endpoint(socket: zmq.Socket[bytes], endpoint: str, shown: str) -> None:
    """Bind a socket, and close it if that fails; raises as `PeerRoutes.bind`."""
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        socket.close(0)
        if error.errno == zmq.EADDRINUSE:
            raise PortInUse(shown) from error
        raise


def _name_of(key: str, channel: Channel, host: str) -> str:
    """Return what is asked for at the tunnel.

    Raises:
        ValueError: the host is longer than any that there is.
    """
    # Colons end a host for ZeroMQ; no host has an underscore beside them.
    name = f"{key}.{channel.value}.{host.replace(':', '_')}"
    if len(name.encode()) > _NAME_BYTES_MAX:
        raise ValueError(f"the host {host} is too long")
    return name


def destination_of(name: str, port: int, key: str) -> Destination | None:
    """Return what a name asks for; None: whoever asks does not know the key.

    Raises:
        ValueError: there is no such channel.
    """
    given, _, rest = name.partition(".")
    if not hmac.compare_digest(given.encode(), key.encode()):
        return None
    channel, _, host = rest.partition(".")
    address = host.replace("_", ":")
    # Otherwise it is the name of a host.
    with contextlib.suppress(ValueError):
        host = str(ipaddress.ip_address(address))
    return Destination(Channel(channel), host, port)
