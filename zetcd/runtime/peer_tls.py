"""Responsible for TLS between members: carries ZeroMQ's octets, and decides who may send any.

    raft, wal ──┐ SOCKS5                                                        ┌──► raft
                ├──────────► relay ════ TLS, one per connection ════► relay ────┤
    snapshot ───┘            checks the server            checks the client     └──► snapshot

A connection is for one channel, which is its ALPN protocol; so a heartbeat never waits for a snapshot on the
same connection, and members need one port. Certificates follow etcd's rules (`runtime.tls`), and are
read again when they change: the next connection uses them.

Invariants
    - No octet is passed on before both sides have been checked.
    - Nothing here waits for ever: handshakes, look-ups and farewells have their time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, cast

import structlog

from zetcd.config import Config
from zetcd.config.tree import PeerTunnel
from zetcd.config.urls import is_secure
from zetcd.runtime.certificate_renewal import renewals
from zetcd.runtime.client_listeners import bind_listeners
from zetcd.runtime.peer_names import address_refusal
from zetcd.runtime.peer_pace import PeerPace
from zetcd.runtime.peer_routes import (
    SECURE_CHANNELS,
    Channel,
    Destination,
    destination_of,
    inbound_path,
)
from zetcd.runtime.piped_connection import PipedEnd
from zetcd.runtime.socks import NOT_ALLOWED, SUCCEEDED, SocksRequest, reply
from zetcd.runtime.tls import (
    Admission,
    PeerCertificate,
    ServerSide,
    WatchedFiles,
    admission_of,
    client_side,
    files_of,
    server_side,
)

#: Time for a TLS handshake with whoever connects.
HANDSHAKE_SECONDS: Final = 5.0
#: Time to connect to another member, with TLS; ZeroMQ tries again.
_CONNECT_SECONDS: Final = 4.0
#: Time that an actor of this node has to say where it wants to go; it does so at once.
_REQUEST_SECONDS: Final = 30.0
#: Connections of a listener that are not joined yet: strangers must not use up the process.
_PENDING_MAX: Final = 256
#: Connections from other members, twenty for each of fifty.
_INBOUND_MAX: Final = 1024
#: The same trouble is told at most this often: whoever tries goes on trying.
_COMPLAINT_INTERVAL_SECONDS: Final = 5.0
#: Troubles remembered.
_COMPLAINTS_MAX: Final = 64
#: Pause after an accept that failed, for want of descriptors as a rule.
_ACCEPT_PAUSE_SECONDS: Final = 0.1
#: A link that says nothing is asked for so long after, and given up after so long.
_KEEPALIVE_SECONDS: Final = 5
_UNACKNOWLEDGED_MS: Final = 15_000
_BACKLOG: Final = 128
#: What is open when this ends has so long to say what was written.
_FAREWELL_SECONDS: Final = 0.2
_UNWELCOME: Final = "it ended the connection at once: it may not accept this member's certificate"
_STRANGER: Final = "it speaks no protocol of zetcd's members: is it a member of etcd, or a client?"


class _Refused(Exception):
    """A connection that must not be; the text says why."""


@dataclass(frozen=True, slots=True)
class _Credentials:
    """What the files of certificates say."""

    server: ServerSide | None
    clients: dict[Channel, ssl.SSLContext]
    admission: Admission


def _read_credentials(config: Config) -> _Credentials:
    """Read the files; raises as `server_side`."""
    security = config.peer_transport_security
    server = None
    if any(map(is_secure, config.listen_peer_urls)):
        protocols = [channel.protocol for channel in SECURE_CHANNELS]
        server = server_side(config, security, protocols)
    clients = {
        channel: client_side(config, security, (channel.protocol,)) for channel in SECURE_CHANNELS
    }
    return _Credentials(server, clients, admission_of(security))


class PeerRelay:
    """All connections with TLS between this member and others."""

    def __init__(self, config: Config) -> None:
        """Read the certificates and bind the peer port.

        Raises:
            OSError: a certificate cannot be used.
            PortInUse: another process listens there.
        """
        assert config.peer_tunnel is not None
        self._config = config
        self._security = config.peer_transport_security
        self._tunnel: PeerTunnel = config.peer_tunnel
        self._files = WatchedFiles(files_of(self._security))
        self._credentials = _read_credentials(config)
        urls = tuple(filter(is_secure, config.listen_peer_urls))
        self._listeners = bind_listeners(urls, is_shared=False, key="listen-peer-urls")
        self._entrance = socket.socket(fileno=socket.dup(self._tunnel.descriptor))
        self._entrance.setblocking(False)
        self._pace = PeerPace()
        self._log = structlog.get_logger()
        #: When each may be said again.
        self._next_complaint: dict[tuple[str, str, str], float] = {}
        #: Every end that is open.
        self._ends: set[PipedEnd] = set()
        self._drained: asyncio.Future[None] | None = None
        #: Of them, the joined ones towards other members.
        self._inbound: set[PipedEnd] = set()
        self._outbound: dict[PipedEnd, Destination] = {}
        self._refused_count = 0
        self._failed_count = 0

    def facts(self) -> dict[str, str]:
        """Return what `zetcd status` shows."""
        return {
            "connections_in": str(len(self._inbound)),
            "connections_out": str(len(self._outbound)),
            "connections_refused": str(self._refused_count),
            "connects_failed": str(self._failed_count),
        }

    async def serve(self) -> None:
        """Carry until cancelled; a defect anywhere here is raised."""
        for listener in self._listeners:
            listener.socket.listen(_BACKLOG)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._renew_forever())
            group.create_task(self._accept(group, self._entrance, is_inbound=False))
            for listener in self._listeners:
                group.create_task(self._accept(group, listener.socket, is_inbound=True))

    async def close(self) -> None:
        """Close the bound sockets, and what is open after what was written there."""
        for listener in self._listeners:
            listener.socket.close()
        self._entrance.close()
        self._drained = asyncio.get_running_loop().create_future()
        for end in tuple(self._ends):
            end.finish()
        if self._ends:
            await asyncio.wait((self._drained,), timeout=_FAREWELL_SECONDS)
        for end in tuple(self._ends):
            end.transport.abort()

    # --- both directions --------------------------------------------------------------------------

    async def _accept(
        self, group: asyncio.TaskGroup, listener: socket.socket, *, is_inbound: bool
    ) -> None:
        loop, pending = asyncio.get_running_loop(), asyncio.Semaphore(_PENDING_MAX)
        while True:
            await pending.acquire()
            try:
                accepted, _ = await loop.sock_accept(listener)
            except OSError as error:
                pending.release()
                self._complain("cannot accept connections of peers", error)
                await asyncio.sleep(_ACCEPT_PAUSE_SECONDS)
                continue
            carry = self._carry_in(accepted) if is_inbound else self._carry_out(accepted)
            group.create_task(carry).add_done_callback(lambda _: pending.release())

    def _complain(self, event: str, error: BaseException | str, **figures: str) -> None:
        """Log a trouble, unless the same has been said just now."""
        text = str(error) or type(error).__name__
        key, now = (event, text, figures.get("peer", "")), asyncio.get_running_loop().time()
        if now < self._next_complaint.get(key, 0.0):
            return
        self._next_complaint.pop(key, None)
        if len(self._next_complaint) >= _COMPLAINTS_MAX:
            del self._next_complaint[next(iter(self._next_complaint))]
        self._next_complaint[key] = now + _COMPLAINT_INTERVAL_SECONDS
        self._log.warning(event, error=text, **figures)

    async def _renew_forever(self) -> None:
        async for credentials in renewals(self._files, lambda: _read_credentials(self._config)):
            self._credentials = credentials

    # --- from other members -----------------------------------------------------------------------

    async def _carry_in(self, accepted: socket.socket) -> None:
        try:
            address, port = accepted.getpeername()[:2]
            remote = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            _keep_alive(accepted)
        except OSError:
            # It is gone already.
            accepted.close()
            return
        end = PipedEnd()
        try:
            channel = await self._welcome(accepted, end, _plain(address))
        except (_Refused, OSError, ValueError) as error:
            accepted.close()
            self._refused_count += 1
            self._complain("rejected connection on peer endpoint", error, remote_addr=remote)
            return
        await self._hand_in(end, channel)

    async def _welcome(self, accepted: socket.socket, end: PipedEnd, address: str) -> Channel:
        """Return what a member wants; raises if it may not have it."""
        server = self._credentials.server
        assert server is not None, "there is a listener"
        transport, _ = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: end,
            accepted,
            ssl=server.context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )
        self._opened(end)
        channel = _channel(transport)
        reason = await self._refusal(server.admission, _certificate(transport), address)
        if reason or channel is None:
            transport.abort()
            raise _Refused(reason or _STRANGER)
        return channel

    async def _refusal(
        self, admission: Admission, certificate: PeerCertificate | None, address: str
    ) -> str:
        """Return why whoever connects is refused; empty = it is welcome."""
        reason = admission.refusal(certificate)
        if not reason and certificate and not self._security.skip_client_san_verification:
            reason = await address_refusal(certificate, address)
        if not reason and len(self._inbound) >= _INBOUND_MAX:
            reason = f"there are {_INBOUND_MAX} connections of members already"
        return reason

    async def _hand_in(self, end: PipedEnd, channel: Channel) -> None:
        """Join a member's connection with the actor that it is for."""
        near = PipedEnd()
        path = inbound_path(self._config.runtime_dir, channel)
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: near, path)
        except OSError:
            # The actor is about to start again; whoever connects does so again, too.
            end.transport.abort()
            return
        self._opened(near)
        self._inbound.add(end)
        end.join(near)

    # --- to other members -------------------------------------------------------------------------

    async def _carry_out(self, accepted: socket.socket) -> None:
        near = PipedEnd()
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: near, accepted)
        except OSError:
            accepted.close()
            return
        self._opened(near)
        try:
            async with asyncio.timeout(_REQUEST_SECONDS):
                destination = await self._destination(near)
        except (ConnectionError, TimeoutError, ValueError) as error:
            near.transport.abort()
            self._complain("rejected connection on peer tunnel", error)
            return
        if destination is None:
            near.write(reply(NOT_ALLOWED))
            near.finish()
            self._complain("rejected connection on peer tunnel", "it does not know the key")
            return
        # At once, before it is true: libzmq 4.3.5 may abort a process whose request was refused. What fails
        # afterwards is the end of a connection, which it takes well.
        near.write(reply(SUCCEEDED))
        await self._pace.wait(destination)
        await self._reach(near, destination)

    async def _destination(self, near: PipedEnd) -> Destination | None:
        request = SocksRequest()
        while request.target is None:
            answer = request.feed(await near.read())
            if answer:
                near.write(answer)
        return destination_of(request.target.host, request.target.port, self._tunnel.key)

    async def _reach(self, near: PipedEnd, destination: Destination) -> None:
        """Connect an actor of this node with a member."""
        far = PipedEnd()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await self._connect(far, destination)
        except (_Refused, OSError, ValueError) as error:
            self._failed_count += 1
            near.finish()
            self._pace.lost(destination, is_refusal=True)
            self._complain_of(destination, error)
            return
        self._opened(far)
        self._outbound[far] = destination
        near.join(far)

    async def _connect(self, far: PipedEnd, destination: Destination) -> None:
        loop, host, port = asyncio.get_running_loop(), destination.host, destination.port
        if destination.channel is Channel.CLEAR:
            await loop.create_connection(lambda: far, host, port)
            return
        transport, _ = await loop.create_connection(
            lambda: far,
            host,
            port,
            ssl=self._credentials.clients[destination.channel],
            server_hostname=host,
            ssl_handshake_timeout=_CONNECT_SECONDS,
        )
        _keep_alive(transport.get_extra_info("socket"))
        certificate = _certificate(transport)
        reason = self._credentials.admission.refusal(certificate) if certificate else ""
        if reason or _channel(transport) is not destination.channel:
            transport.abort()
            raise _Refused(reason or _STRANGER)

    def _opened(self, end: PipedEnd) -> None:
        self._ends.add(end)
        end.on_lost = self._lost

    def _lost(self, end: PipedEnd, error: Exception | None) -> None:
        self._ends.discard(end)
        self._inbound.discard(end)
        destination = self._outbound.pop(end, None)
        if destination is not None:
            # Whoever has said nothing at all, not even ZeroMQ's greeting, refused this member.
            is_refusal = not end.bytes_in and not end.is_finishing
            self._pace.lost(destination, is_refusal=is_refusal)
            if is_refusal:
                self._complain_of(destination, f"{_UNWELCOME} ({error or 'without a word'})")
        if self._drained is not None and not self._ends and not self._drained.done():
            self._drained.set_result(None)

    def _complain_of(self, destination: Destination, error: BaseException | str) -> None:
        where = f"{destination.host}:{destination.port}"
        self._complain("cannot connect to a peer", error, peer=where)


def _plain(address: str) -> str:
    """Return an IPv4 address as such, also where both kinds are listened on."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def _certificate(transport: asyncio.BaseTransport) -> PeerCertificate | None:
    tls = transport.get_extra_info("ssl_object")
    return cast(PeerCertificate | None, tls.getpeercert())


def _channel(transport: asyncio.BaseTransport) -> Channel | None:
    chosen = transport.get_extra_info("ssl_object").selected_alpn_protocol()
    return next((each for each in SECURE_CHANNELS if each.protocol == chosen), None)


def _keep_alive(connection: socket.socket) -> None:
    """Notice a link that went dead without a word."""
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
