"""Responsible for the interface of HTTP/1.1: the same turns as `zetcd.gateway.grpc.Transport` has.

Calls of the JSON gateway are events as those of gRPC, and are answered with the same verbs: whoever
serves calls need not know how they came. Tokens here are above `HTTP_TOKENS`.
"""

from __future__ import annotations

from collections.abc import Mapping

from zetcd.gateway.grpc import OK, Output, Sent, Status, Writable
from zetcd.gateway.http.binding import Binding
from zetcd.gateway.http.connection import HttpConnection, HttpEvent, HttpShared
from zetcd.gateway.http.exchange import Answer, Exchange
from zetcd.gateway.http.options import HttpOptions, Surface
from zetcd.gateway.http.reading import expire, lose, read_on, receive, release
from zetcd.gateway.http.writing import (
    answer_call,
    begin_parts,
    finish_call,
    respond,
    send_line,
    send_part,
)


class HttpTransport:
    """The HTTP/1.1 connections of a process.

    Invariants:
        - A number of a connection, and a token, is never used twice.
        - After `lost` or an `Output` that is the last one, a number is unknown here.
    """

    def __init__(
        self,
        bindings: Mapping[str, Binding],
        endpoints: Mapping[Surface, frozenset[str]],
        options: HttpOptions | None = None,
    ) -> None:
        """Serve calls by path, and let the application serve the ``endpoints``."""
        self.options = options or HttpOptions()
        self._shared = HttpShared(self.options, bindings, endpoints)
        self._connections: dict[int, HttpConnection] = {}
        self._last_number = 0
        #: Figures for status and metrics.
        self.received_bytes = 0
        self.sent_bytes = 0

    # --- connections ------------------------------------------------------------------------------

    @property
    def handshake_timeout(self) -> float:
        """Seconds that TLS may take."""
        return self.options.handshake_timeout

    def connect(
        self, now: float, surface: Surface = Surface.CLIENT, *, is_secure: bool = False
    ) -> int | None:
        """Take a new connection; returns its number, or None when there are too many."""
        if len(self._connections) >= self.options.connections_max:
            return None
        self._shared.now = now
        self._last_number += 1
        connection = HttpConnection(self._last_number, self._shared, surface, is_secure=is_secure)
        self._connections[connection.number] = connection
        connection.set_timer()
        return connection.number

    def receive(self, number: int, octets: bytes, now: float) -> bytes | None:
        """Take in octets; there is nobody else to hand them to: the answer is None."""
        self._shared.now = now
        connection = self._connections.get(number)
        if connection is not None:
            self.received_bytes += len(octets)
            receive(connection, octets)
        return None

    def lost(self, number: int) -> None:
        """Forget a connection whose socket is gone; its call ends."""
        connection = self._connections.pop(number, None)
        if connection is not None:
            lose(connection)
            self._shared.dirty.pop(number, None)

    def pause(self, number: int, now: float) -> None:
        """Note that the socket takes no more."""
        connection = self._connections.get(number)
        if connection is not None and not connection.is_paused:
            self._shared.now = now
            connection.is_paused = True
            connection.paused_at = now
            connection.set_timer()

    def resume(self, number: int) -> None:
        """Note that the socket has room again."""
        connection = self._connections.get(number)
        if connection is not None:
            connection.is_paused = False
            self._shared.dirty[number] = connection

    def drain(self, now: float, grace_seconds: float) -> None:
        """Let every answer be the last one of its connection; close those that wait for nothing."""
        del grace_seconds
        self._shared.now = now
        self._shared.is_draining = True
        for connection in list(self._connections.values()):
            if connection.exchange is None:
                connection.close()

    # --- to the application -----------------------------------------------------------------------

    def take_events(self) -> list[HttpEvent]:
        """Return what happened since the last time, in order."""
        shared = self._shared
        events, shared.events = shared.events, []
        return events

    @property
    def has_events(self) -> bool:
        """Whether `take_events` would return something."""
        return bool(self._shared.events)

    # --- from the application ---------------------------------------------------------------------

    def respond(self, token: int, answer: Answer) -> None:
        """Answer a request for an endpoint; dropped if its client is gone."""
        found = self._find(token)
        if found is not None:
            respond(*found, answer)
            read_on(found[0])

    def answer(self, token: int, message: bytes) -> None:
        """Answer a call with one message and OK; dropped if the call is over."""
        found = self._find(token)
        if found is not None:
            answer_call(*found, message)
            read_on(found[0])

    def finish(self, token: int, status: Status = OK) -> None:
        """End a call, after what was sent; dropped if the call is over."""
        found = self._find(token)
        if found is not None:
            finish_call(*found, status)
            read_on(found[0])

    def send(self, token: int, message: bytes) -> Sent:
        """Send one of several messages."""
        found = self._find(token)
        if found is None:
            return Sent.GONE
        return Sent.FULL if self._is_full(*found) else send_line(*found, message)

    def begin_message(self, token: int, length: int) -> Sent:
        """Begin a message of ``length`` octets that come by `send_part`."""
        found = self._find(token)
        return Sent.GONE if found is None else begin_parts(*found, length)

    def send_part(self, token: int, part: bytes) -> Sent:
        """Send the next fields of the message begun."""
        found = self._find(token)
        if found is None:
            return Sent.GONE
        return Sent.FULL if self._is_full(*found) else send_part(*found, part)

    def send_headers(self, token: int) -> None:
        """Do nothing: an answer without a message has no status yet."""

    def hold(self, token: int) -> None:
        """Take no more of a client's stream; a little of it is kept."""
        found = self._find(token)
        if found is not None:
            found[1].is_held = True

    def release(self, token: int) -> None:
        """Undo `hold`."""
        found = self._find(token)
        if found is not None and found[1].is_held:
            release(*found)

    def queued_bytes(self, token: int) -> int:
        """Return the octets that wait for the client; 0 if the call is over."""
        found = self._find(token)
        return 0 if found is None else found[0].output_bytes

    # --- to the sockets ---------------------------------------------------------------------------

    @property
    def has_output(self) -> bool:
        """Whether `take_output` may return something."""
        return bool(self._shared.dirty)

    def take_output(self) -> list[Output]:
        """Return what must be written, one piece for each connection."""
        shared = self._shared
        self._shed()
        dirty, shared.dirty = shared.dirty, {}
        outputs: list[Output] = []
        for number, connection in dirty.items():
            if connection.is_paused and not connection.is_closed:
                continue
            if connection.output or connection.is_closed:
                octets = connection.take_output()
                self.sent_bytes += len(octets)
                outputs.append(Output(number, octets, connection.is_closed))
            if connection.is_closed:
                self._connections.pop(number, None)
            self._tell_room(connection)
        return outputs

    # --- time -------------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """Return when `handle_timer` should next be called; None: when something has happened."""
        times = (self._shared.deadlines.next_due(), self._shared.timers.next_due())
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due: deadlines and the ends of patience."""
        shared = self._shared
        shared.now = now
        for token in shared.deadlines.take_due(now):
            found = self._find(token)
            if found is not None:
                expire(*found)
        for number in shared.timers.take_due(now):
            connection = self._connections.get(number)
            if connection is None:
                continue
            connection.timer_at = float("inf")
            if now >= connection.due():
                lose(connection)
                connection.close()
            else:
                connection.set_timer()

    # --- figures ----------------------------------------------------------------------------------

    @property
    def connection_count(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    @property
    def stream_count(self) -> int:
        """Requests that are being served."""
        return len(self._shared.open)

    @property
    def queued_bytes_total(self) -> int:
        """Octets that wait for clients, of all connections."""
        return self._shared.queued_bytes

    # --- inside -----------------------------------------------------------------------------------

    def _find(self, token: int) -> tuple[HttpConnection, Exchange] | None:
        connection = self._shared.open.get(token)
        if connection is None or connection.exchange is None:
            return None
        return connection, connection.exchange

    def _is_full(self, connection: HttpConnection, exchange: Exchange) -> bool:
        if connection.output_bytes <= self.options.queue_bytes_max:
            return False
        exchange.wants_room = True
        return True

    def _tell_room(self, connection: HttpConnection) -> None:
        """Say that there is room again, to a call that was told FULL."""
        exchange = connection.exchange
        if exchange is not None and exchange.wants_room:
            exchange.wants_room = False
            self._shared.events.append(Writable(exchange.token))

    def _shed(self) -> None:
        """Close whoever lets the most wait, while all together wait too much."""
        while self._shared.queued_bytes > self.options.process_queue_bytes_max:
            largest = max(self._connections.values(), key=lambda each: each.output_bytes)
            lose(largest)
            largest.close()
