"""Responsible for the state of one HTTP/1.1 connection, and of what all connections share.

State only: `reading` and `writing` are the functions that change it.
"""

from __future__ import annotations

from collections.abc import Mapping

import h11

from zetcd.gateway.grpc import Event
from zetcd.gateway.grpc.timers import TimerWheel
from zetcd.gateway.http.binding import Binding
from zetcd.gateway.http.events import HttpRequest
from zetcd.gateway.http.exchange import HTTP_TOKENS, Exchange
from zetcd.gateway.http.frames import FrameReader
from zetcd.gateway.http.options import HttpOptions, Surface

HttpEvent = Event | HttpRequest


class HttpShared:
    """What the connections of a process have in common: limits, paths, events, deadlines."""

    def __init__(
        self,
        options: HttpOptions,
        bindings: Mapping[str, Binding],
        endpoints: Mapping[Surface, frozenset[str]],
    ) -> None:
        """Start without connections."""
        self.options = options
        self.bindings = bindings
        self.endpoints = endpoints
        self.events: list[HttpEvent] = []
        #: Connections that may have something to write.
        self.dirty: dict[int, HttpConnection] = {}
        #: Requests that the application was told of, and the connection of each.
        self.open: dict[int, HttpConnection] = {}
        self.last_token = HTTP_TOKENS
        #: Octets of bodies whose end is missing, and of answers that wait, of all connections.
        self.body_bytes = 0
        self.queued_bytes = 0
        #: Time of the call that is being served.
        self.now = 0.0
        self.is_draining = False
        #: Tokens by deadline, and numbers of connections by when they must be looked at.
        self.deadlines: TimerWheel[int] = TimerWheel()
        self.timers: TimerWheel[int] = TimerWheel()


class HttpConnection:
    """One connection; a request at a time.

    Invariants:
        - `exchange` is the request whose answer is not complete, if any.
        - After `is_closed` nothing but `output` is left to do; after `is_lingering` nothing that comes
          is looked at.
    """

    def __init__(
        self, number: int, shared: HttpShared, surface: Surface, *, is_secure: bool
    ) -> None:
        """Start before the first octet."""
        self.number = number
        self.shared = shared
        self.surface = surface
        #: The client came by TLS.
        self.is_secure = is_secure
        self.machine = h11.Connection(
            h11.SERVER, max_incomplete_event_size=shared.options.header_bytes_max
        )
        self.exchange: Exchange | None = None
        #: Reads what comes since the client has switched to WebSocket; h11 has no part in that.
        self.frames: FrameReader | None = None
        #: Octets have come of a request that has not begun.
        self.has_partial = True
        #: When the request's first octet came, or the last answer left.
        self.since = shared.now
        self.is_reading = False
        self.output: list[bytes] = []
        self.output_bytes = 0
        #: The socket takes nothing at the moment; since when.
        self.is_paused = False
        self.paused_at = 0.0
        self.is_lingering = False
        self.is_closed = False
        #: When the next look at this connection is due.
        self.timer_at = float("inf")

    def due(self) -> float:
        """Return when the patience with this peer ends."""
        options = self.shared.options
        if self.is_lingering:
            return self.since + options.linger_timeout
        if self.is_paused:
            return self.paused_at + options.write_stall_timeout
        exchange = self.exchange
        if exchange is None:
            timeout = options.handshake_timeout if self.has_partial else options.idle_timeout
            return self.since + timeout
        if exchange.has_ended or exchange.splitter is not None:
            return float("inf")
        return self.since + options.body_timeout

    def set_timer(self) -> None:
        """Have this connection looked at when its patience may end."""
        due = self.due()
        if due < self.timer_at:
            self.timer_at = due
            self.shared.timers.add(self.number, self.number, due, self.shared.now)

    def write(self, octets: bytes | None) -> None:
        """Queue octets for the socket."""
        if octets:
            self.output.append(octets)
            self.output_bytes += len(octets)
            self.shared.queued_bytes += len(octets)
        self.shared.dirty[self.number] = self

    def take_output(self) -> bytes:
        """Return what is queued."""
        octets = b"".join(self.output)
        self.output.clear()
        self.shared.queued_bytes -= self.output_bytes
        self.output_bytes = 0
        return octets

    def close(self) -> None:
        """Close the socket after what is queued."""
        self.is_closed = True
        self.shared.dirty[self.number] = self
