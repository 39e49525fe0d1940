"""Responsible for all gRPC connections of a process: octets and time in, calls out, and back.

Pure: sockets and clocks belong to the driver. The order of one turn is
`receive` (any number of times) → `take_events` → the application's answers → `take_output`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from zetcd.errors import Code
from zetcd.gateway.grpc.codes import OK, ErrorCode, Status
from zetcd.gateway.grpc.connection import STREAM_ID_BITS, Connection, Shared
from zetcd.gateway.grpc.events import Call, Ending, Event, Opened
from zetcd.gateway.grpc.frames import LOW_31_BITS, PREFACE
from zetcd.gateway.grpc.head import Method
from zetcd.gateway.grpc.liveness import (
    acks_due,
    check,
    close_if_done,
    release_due_acks,
    set_timer,
    start_farewell,
)
from zetcd.gateway.grpc.options import TransportOptions
from zetcd.gateway.grpc.preface import Protocol, protocol_of
from zetcd.gateway.grpc.receiving import open_window, receive, start_http2
from zetcd.gateway.grpc.sending import (
    Sent,
    answer,
    begin_message,
    close_connection,
    end_connection,
    finish,
    has_more,
    pump,
    refuse_call,
    release_acks,
    send,
    send_headers,
    send_part,
)
from zetcd.gateway.grpc.stream import Stream

_DEADLINE_EXCEEDED = Status(Code.DEADLINE_EXCEEDED, "context deadline exceeded")


class Output(NamedTuple):
    """What one connection writes in a turn."""

    number: int
    octets: bytes
    #: Close the socket after that; the connection is already forgotten here.
    is_last: bool


class Transport:
    """The connections of a process and their calls; see the package for the protocol of use.

    Invariants:
        - A number of a connection, and so a token, is never used twice.
        - After `lost` or an `Output` that is the last one, a number is unknown here.
    """

    def __init__(self, methods: Iterable[Method], options: TransportOptions | None = None) -> None:
        """Serve ``methods``; everything else is answered UNIMPLEMENTED."""
        self.options = options or TransportOptions()
        self.methods = tuple(methods)
        paths = {method.path.encode(): method for method in self.methods}
        assert len(paths) == len(self.methods), "two methods of one path"
        self._shared = Shared(self.options, paths)
        self._connections: dict[int, Connection] = {}
        self._last_number = 0
        #: Octets of all connections, for ``etcd_network_client_grpc_*_bytes_total``.
        self.received_bytes = 0
        self.sent_bytes = 0

    # --- connections ----------------------------------------------------------------------------

    @property
    def handshake_timeout(self) -> float:
        """Seconds from a connection to its first SETTINGS; TLS before it has as many."""
        return self.options.handshake_timeout

    def connect(self, now: float) -> int | None:
        """Take a new connection; returns its number, or None when there are too many."""
        if len(self._connections) >= self.options.connections_max:
            return None
        self._last_number += 1
        connection = Connection(self._last_number, self._shared, now)
        self._connections[connection.number] = connection
        set_timer(connection, now + self.options.handshake_timeout, now)
        return connection.number

    def receive(self, number: int, octets: bytes, now: float) -> bytes | None:
        """Take in octets of a connection, cut anywhere.

        Returns:
            None, or, when the connection does not speak HTTP/2, all its octets so far: it is
            forgotten here and somebody else's.
        """
        connection = self._connections.get(number)
        if connection is None or connection.is_closed:
            return None
        self.received_bytes += len(octets)
        if not connection.is_http2:
            connection.greeting += octets
            protocol = protocol_of(connection.greeting)
            if protocol is Protocol.OTHER:
                self.lost(number)
                return connection.greeting
            if protocol is Protocol.UNDECIDED:
                return None
            octets = connection.greeting[len(PREFACE) :]
            connection.greeting = b""
            start_http2(connection)
        receive(connection, octets, now)
        self._touch(connection)
        if connection.is_paused:
            self._check_control_backlog(connection)
        return None

    def lost(self, number: int) -> None:
        """Forget a connection whose socket is gone; its calls end."""
        connection = self._connections.pop(number, None)
        if connection is not None:
            end_connection(connection, "connection lost")
            self._shared.dirty.pop(number, None)

    def pause(self, number: int, now: float) -> None:
        """Note that the socket takes no more: DATA waits on its streams."""
        connection = self._connections.get(number)
        if connection is not None and not connection.is_paused:
            connection.is_paused = True
            connection.paused_at = now
            set_timer(connection, now + self.options.write_stall_timeout, now)

    def resume(self, number: int) -> None:
        """Note that the socket has room again."""
        connection = self._connections.get(number)
        if connection is not None:
            connection.is_paused = False
            self._touch(connection)

    def drain(self, now: float, grace_seconds: float) -> None:
        """Say farewell to every client; what is still open after the grace is cut."""
        for connection in list(self._connections.values()):
            start_farewell(connection, now, now + grace_seconds)
            self._touch(connection)

    def disconnect(self, number: int, reason: str) -> None:
        """Close one connection with a GOAWAY that says why."""
        connection = self._connections.get(number)
        if connection is not None:
            close_connection(connection, ErrorCode.NO_ERROR, reason)

    # --- to the application -----------------------------------------------------------------------

    def take_events(self) -> list[Event]:
        """Return what happened since the last time, in order for each call."""
        shared = self._shared
        events, shared.events = shared.events, []
        if shared.cancelled:
            # Calls that came and went within the turn leave no trace.
            cancelled, shared.cancelled = shared.cancelled, {}
            unseen = {
                event.token
                for event in events
                if event.token in cancelled and isinstance(event, (Call, Opened))
            }
            if unseen:
                events = [event for event in events if event.token not in unseen]
        return events

    @property
    def has_events(self) -> bool:
        """Whether `take_events` would return something."""
        return bool(self._shared.events)

    # --- from the application ---------------------------------------------------------------------

    def answer(self, token: int, message: bytes) -> None:
        """Answer a call with one message and OK; dropped if the call is over."""
        connection = self._connections.get(token >> STREAM_ID_BITS)
        if connection is None:
            return
        stream = connection.streams.get(token & LOW_31_BITS)
        if stream is None or stream.has_trailers:
            return
        answer(connection, stream, message)
        self._shared.dirty[connection.number] = connection

    def answer_all(self, answers: Iterable[tuple[int, bytes]]) -> None:
        """Answer a batch of calls, each with one message and OK."""
        for token, message in answers:
            self.answer(token, message)

    def finish(self, token: int, status: Status = OK) -> None:
        """End a call, after what was sent; dropped if the call is over."""
        found = self._find(token)
        if found is not None:
            finish(*found, status)
            self._touch(found[0])

    def send(self, token: int, message: bytes) -> Sent:
        """Send one of several messages."""
        found = self._find(token)
        return Sent.GONE if found is None else self._after(found[0], send(*found, message))

    def begin_message(self, token: int, length: int) -> Sent:
        """Begin a message of ``length`` octets that come by `send_part`, so that it may be huge."""
        found = self._find(token)
        if found is None:
            return Sent.GONE
        return self._after(found[0], begin_message(*found, length))

    def send_part(self, token: int, part: bytes) -> Sent:
        """Send the next octets of the message begun."""
        found = self._find(token)
        return Sent.GONE if found is None else self._after(found[0], send_part(*found, part))

    def send_headers(self, token: int) -> None:
        """Let the client know that its call is served, before there is a message."""
        found = self._find(token)
        if found is not None:
            send_headers(*found)
            self._touch(found[0])

    def hold(self, token: int) -> None:
        """Take no more of a client's stream than its window; messages on their way still come."""
        found = self._find(token)
        if found is not None:
            found[1].is_held = True

    def release(self, token: int) -> None:
        """Undo `hold`."""
        found = self._find(token)
        if found is not None:
            found[1].is_held = False
            if not found[1].is_remote_closed:
                open_window(*found)
                self._touch(found[0])

    def queued_bytes(self, token: int) -> int:
        """Return the octets that wait on a call for the client; 0 if it is over."""
        found = self._find(token)
        return 0 if found is None else found[1].queued_bytes

    # --- to the sockets ---------------------------------------------------------------------------

    @property
    def has_output(self) -> bool:
        """Whether `take_output` may return something."""
        return bool(self._shared.dirty)

    def take_output(self) -> list[Output]:
        """Return what must be written, one piece for each connection; long queues in turns."""
        shared = self._shared
        self._shed()
        dirty, shared.dirty = shared.dirty, {}
        outputs: list[Output] = []
        for number, connection in dirty.items():
            if connection.is_paused and not connection.is_closed:
                continue
            if connection.ready and not connection.is_closed:
                pump(connection)
            if connection.is_draining:
                close_if_done(connection)
            if connection.acks and (connection.output or not connection.streams):
                release_acks(connection)
            if connection.output or connection.is_closed:
                octets = b"".join(connection.output)
                connection.output.clear()
                connection.output_bytes = 0
                self.sent_bytes += len(octets)
                outputs.append(Output(number, octets, connection.is_closed))
            if connection.is_closed:
                self._connections.pop(number, None)
                shared.dirty.pop(number, None)
            elif connection.ready and has_more(connection):
                shared.dirty[number] = connection
        return outputs

    # --- time -------------------------------------------------------------------------------------

    def next_timer(self) -> float | None:
        """Return when `handle_timer` should next be called; None: when something has happened."""
        shared = self._shared
        times = (
            shared.deadlines.next_due(),
            shared.connection_timers.next_due(),
            acks_due(shared),
        )
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due: deadlines, pings, time-outs."""
        for token in self._shared.deadlines.take_due(now):
            connection = self._connections.get(token >> STREAM_ID_BITS)
            stream = connection and connection.streams.get(token & LOW_31_BITS)
            if connection and stream:
                refuse_call(connection, stream, _DEADLINE_EXCEEDED, Ending.DEADLINE)
                self._touch(connection)
        for number in self._shared.connection_timers.take_due(now):
            connection = self._connections.get(number)
            if connection is not None:
                check(connection, now)
                self._touch(connection)
        release_due_acks(self._shared, now)

    # --- figures ----------------------------------------------------------------------------------

    @property
    def connection_count(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    @property
    def stream_count(self) -> int:
        """Calls that are open."""
        return self._shared.stream_count

    @property
    def queued_bytes_total(self) -> int:
        """Octets that wait for clients, of all calls."""
        return self._shared.queued_bytes

    @property
    def assembling_bytes_total(self) -> int:
        """Octets of unfinished messages, of all calls."""
        return self._shared.assembling_bytes

    # --- inside -----------------------------------------------------------------------------------

    def _find(self, token: int) -> tuple[Connection, Stream] | None:
        """Return the call of a token, if the application may still send to it."""
        connection = self._connections.get(token >> STREAM_ID_BITS)
        stream = connection and connection.streams.get(token & LOW_31_BITS)
        if not connection or not stream or stream.has_trailers:
            return None
        return connection, stream

    def _touch(self, connection: Connection) -> None:
        self._shared.dirty[connection.number] = connection

    def _after(self, connection: Connection, sent: Sent) -> Sent:
        self._touch(connection)
        return sent

    def _check_control_backlog(self, connection: Connection) -> None:
        """Give up a peer that asks and asks and reads nothing."""
        if connection.output_bytes > self.options.control_bytes_max and not connection.is_closed:
            end_connection(connection, "the peer does not read")

    def _shed(self) -> None:
        """Close whoever lets the most wait, while all together wait too much."""
        limit = self.options.process_queue_bytes_max * 5 // 4
        while self._shared.queued_bytes > limit:
            largest = max(self._connections.values(), key=lambda each: each.queued_bytes)
            close_connection(largest, ErrorCode.ENHANCE_YOUR_CALM, "too much waits to be read")
