"""Responsible for the sockets of the gRPC transport: asyncio's callbacks to octets and time, and back.

All that is decided is decided in `zetcd.gateway.grpc`. A turn of the event loop collects what came on
every socket, hands it to the application as one batch, and writes once to each connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from zetcd.gateway.grpc import Event, Output, Transport, connection_of

#: Octets in a socket's buffer beyond which no more DATA is made, and below which it goes on.
WRITE_BUFFER_BYTES_HIGH: Final = 256 * 1024
WRITE_BUFFER_BYTES_LOW: Final = 64 * 1024
#: How long the last octets of a connection may take to leave.
CLOSE_SECONDS_MAX: Final = 5.0
#: Connections that wait to be accepted.
BACKLOG: Final = 4096

#: Takes over a connection that does not speak HTTP/2, with the octets seen so far.
TakeOver = Callable[[asyncio.Transport, bytes], None]


#: What a transport tells the application of.
E = TypeVar("E")
#: For an interface that only takes it.
E_contra = TypeVar("E_contra", contravariant=True)


class Application(Protocol[E_contra]):
    """What serves the calls."""

    def handle(self, events: Sequence[E_contra], now: float) -> None:
        """Handle what happened in a turn; answers go to the transport, now or later."""


class SocketTransport(Protocol[E]):
    """The calculation between sockets and application; see `zetcd.gateway.grpc.Transport`."""

    #: Octets of all connections.
    received_bytes: int
    sent_bytes: int

    @property
    def handshake_timeout(self) -> float:
        """How long TLS may take to begin."""
        ...

    @property
    def has_events(self) -> bool:
        """Whether `take_events` would return something."""
        ...

    @property
    def has_output(self) -> bool:
        """Whether `take_output` may return something."""
        ...

    def receive(self, number: int, octets: bytes, now: float) -> bytes | None:
        """Take in octets; returns all of a connection that is somebody else's."""
        ...

    def lost(self, number: int) -> None:
        """Forget a connection whose socket is gone."""
        ...

    def pause(self, number: int, now: float) -> None:
        """Note that the socket takes no more."""
        ...

    def resume(self, number: int) -> None:
        """Note that the socket has room again."""
        ...

    def drain(self, now: float, grace_seconds: float) -> None:
        """Say farewell to every client."""
        ...

    def take_events(self) -> list[E]:
        """Return what happened since the last time."""
        ...

    def take_output(self) -> list[Output]:
        """Return what must be written."""
        ...

    def next_timer(self) -> float | None:
        """Return when `handle_timer` should next be called."""
        ...

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        ...


class SocketServer(Generic[E]):
    """Listeners and connections of one transport on one event loop.

    An exception out of the application or the transport is a defect: the loop hands it to its
    exception handler, which whoever runs the loop must have end the process.

    Invariants:
        - `_connections` has an entry for every number that `transport` knows.
        - A turn is scheduled whenever `transport` has events or output.
    """

    def __init__(
        self,
        transport: SocketTransport[E],
        application: Application[E],
        *,
        loop: asyncio.AbstractEventLoop,
        take_over: TakeOver | None = None,
    ) -> None:
        """Serve nothing yet; ``take_over``, if any, gets what the transport does not speak."""
        self.transport = transport
        self._application = application
        self._loop = loop
        self._take_over = take_over
        self._connections: dict[int, SocketConnection[E]] = {}
        self._listeners: list[asyncio.AbstractServer] = []
        #: Says of each new connection whether it is welcome; None = all are.
        self.admits: Callable[[asyncio.Transport], bool] | None = None
        self._is_turn_due = False
        self._timer: asyncio.Handle | None = None
        #: When the timer is due; uvloop's handles of timers that are due at once do not say.
        self._timer_at = float("inf")
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    # --- listening ------------------------------------------------------------------------------

    async def listen(
        self,
        listener: socket.socket,
        context: ssl.SSLContext | None = None,
        *,
        protocol: Callable[[], asyncio.Protocol] | None = None,
    ) -> None:
        """Serve a bound socket, of TCP or of the file system; with TLS if there is a context."""
        timeout = self.transport.handshake_timeout if context else None
        create = (
            self._loop.create_unix_server
            if listener.family == socket.AF_UNIX
            else self._loop.create_server
        )
        server = await create(
            protocol or self.new_protocol,
            sock=listener,
            ssl=context,
            backlog=BACKLOG,
            ssl_handshake_timeout=timeout,
        )
        self._listeners.append(server)

    def release_listeners(self) -> list[asyncio.AbstractServer]:
        """Return the listeners there were, which the caller closes once others have taken their place."""
        released, self._listeners = self._listeners, []
        return released

    def new_protocol(self) -> asyncio.Protocol:
        """Return the protocol of a new connection; for listeners that are made elsewhere."""
        return SocketConnection(self)

    def connect(self, connection: SocketConnection[E], now: float) -> int | None:
        """Tell the transport of a connection; returns its number, or None if it is not taken."""
        raise NotImplementedError

    def socket_of(self, token: int) -> asyncio.Transport | None:
        """Return the socket of a call, which knows its peer's address and certificate."""
        connection = self._connections.get(connection_of(token))
        return None if connection is None else connection.socket

    async def stop(self, grace_seconds: float) -> None:
        """Accept no more connections, say farewell to those there are, and cut what remains."""
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        self.transport.drain(self._loop.time(), grace_seconds)
        self.wake()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_idle.wait(), grace_seconds + 0.1)
        for connection in list(self._connections.values()):
            connection.socket.abort()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- turns ----------------------------------------------------------------------------------

    def wake(self) -> None:
        """Have a turn soon: call it after answering outside of `Application.handle`."""
        if not self._is_turn_due:
            self._is_turn_due = True
            self._loop.call_soon(self._turn)

    def flush(self) -> None:
        """Write what was answered outside of `Application.handle` at once; what follows takes turns."""
        self._write()
        if self.transport.has_events or self.transport.has_output:
            self.wake()
        self._set_timer()

    def _turn(self) -> None:
        transport = self.transport
        events = transport.take_events()
        try:
            if events:
                # Still due, so that nobody asks for another turn: this one writes all answers.
                self._application.handle(events, self._loop.time())
        finally:
            self._is_turn_due = False
        self.flush()

    def _write(self) -> None:
        for number, octets, is_last in self.transport.take_output():
            connection = self._connections.get(number)
            if connection is not None:
                if octets:
                    connection.socket.write(octets)
                if is_last:
                    connection.close()

    def _set_timer(self) -> None:
        due = self.transport.next_timer()
        timer = self._timer
        if due is None or (timer is not None and self._timer_at <= due):
            return
        if timer is not None:
            timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_at(due, self._timer_due)

    def _timer_due(self) -> None:
        self._timer = None
        self.transport.handle_timer(self._loop.time())
        self.wake()

    # --- callbacks of the connections -----------------------------------------------------------

    def connected(self, connection: SocketConnection[E]) -> None:
        """Take in a new connection, if it is welcome and there are not too many."""
        is_welcome = self.admits is None or self.admits(connection.socket)
        number = self.connect(connection, self._loop.time()) if is_welcome else None
        if number is None:
            connection.socket.abort()
            return
        connection.number = number
        self._connections[number] = connection
        self._is_idle.clear()
        connection.socket.set_write_buffer_limits(WRITE_BUFFER_BYTES_HIGH, WRITE_BUFFER_BYTES_LOW)
        self._set_timer()

    def received(self, connection: SocketConnection[E], octets: bytes) -> None:
        """Take in octets."""
        foreign = self.transport.receive(connection.number, octets, self._loop.time())
        if foreign is None:
            self.wake()
            return
        self._forget(connection)
        if self._take_over is None:
            connection.socket.close()
        else:
            self._take_over(connection.socket, foreign)

    def paused(self, connection: SocketConnection[E]) -> None:
        """Note that a socket is full."""
        self.transport.pause(connection.number, self._loop.time())
        self._set_timer()

    def resumed(self, connection: SocketConnection[E]) -> None:
        """Note that a socket has room again."""
        self.transport.resume(connection.number)
        self.wake()

    def disconnected(self, connection: SocketConnection[E]) -> None:
        """Note that a socket is gone."""
        self.transport.lost(connection.number)
        self._forget(connection)
        self.wake()

    def abort_later(self, connection: SocketConnection[E]) -> None:
        """Cut a connection that cannot get rid of its last octets."""
        self._loop.call_later(CLOSE_SECONDS_MAX, connection.socket.abort)

    def _forget(self, connection: SocketConnection[E]) -> None:
        self._connections.pop(connection.number, None)
        if not self._connections:
            self._is_idle.set()


class SocketConnection(asyncio.Protocol, Generic[E]):
    """Callbacks of one socket."""

    __slots__ = ("_server", "number", "socket")

    def __init__(self, server: SocketServer[E]) -> None:
        """Belong to ``server``."""
        self._server = server
        #: As `Transport` knows it; 0: not taken in.
        self.number = 0
        self.socket: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a socket."""
        # Both transports of the two loops are full ones; uvloop's class does not say so.
        self.socket = transport  # type: ignore[assignment]
        self._server.connected(self)

    def data_received(self, data: bytes) -> None:
        """Take in octets."""
        self._server.received(self, data)

    def pause_writing(self) -> None:
        """Write no more for now."""
        self._server.paused(self)

    def resume_writing(self) -> None:
        """Write again."""
        self._server.resumed(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the socket."""
        self._server.disconnected(self)

    def close(self) -> None:
        """Close after what was written; the core has forgotten the connection."""
        if self.socket.get_write_buffer_size():
            self._server.abort_later(self)
        self.socket.close()


class GrpcServer(SocketServer[Event]):
    """Serves gRPC."""

    def connect(self, connection: SocketConnection[Event], now: float) -> int | None:
        """Tell the transport of a connection."""
        transport = self.transport
        assert isinstance(transport, Transport)
        return transport.connect(now)
