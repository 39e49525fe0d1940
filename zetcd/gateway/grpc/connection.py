"""Responsible for the state of one connection, and of what all connections share.

State only: `receiving`, `sending` and `liveness` are the functions that change it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Final

from zetcd.gateway.grpc.allowance import Allowance
from zetcd.gateway.grpc.events import Event
from zetcd.gateway.grpc.frames import FRAME_PAYLOAD_BYTES_MAX, WINDOW_BYTES_DEFAULT
from zetcd.gateway.grpc.head import Method
from zetcd.gateway.grpc.options import TransportOptions
from zetcd.gateway.grpc.routes import HeadReader, RouteReader
from zetcd.gateway.grpc.stream import Stream
from zetcd.gateway.grpc.timers import TimerWheel

#: Bits of a token below the number of its connection.
STREAM_ID_BITS: Final = 31


def connection_of(token: int) -> int:
    """Return the number of the connection that a call belongs to."""
    return token >> STREAM_ID_BITS


class Shared:
    """What the connections of a process have in common: limits, totals, events, deadlines."""

    __slots__ = (
        "assembling_bytes",
        "cancelled",
        "connection_timers",
        "deadlines",
        "dirty",
        "events",
        "head_reader",
        "holding",
        "options",
        "queued_bytes",
        "stream_count",
    )

    def __init__(self, options: TransportOptions, methods: Mapping[bytes, Method]) -> None:
        """Start without connections."""
        self.options = options
        self.head_reader = HeadReader(methods, options.header_list_bytes_max)
        #: What the application has not yet been told.
        self.events: list[Event] = []
        #: Calls that ended in the turn they came in: the application need not hear of them.
        self.cancelled: dict[int, None] = {}
        #: Connections that may have something to write.
        self.dirty: dict[int, Connection] = {}
        #: Connections with answers to PINGs that wait, the longest wait first.
        self.holding: dict[int, Connection] = {}
        self.stream_count = 0
        self.queued_bytes = 0
        self.assembling_bytes = 0
        #: Tokens by deadline, and numbers of connections by when they must be looked at.
        self.deadlines: TimerWheel[int] = TimerWheel()
        self.connection_timers: TimerWheel[int] = TimerWheel()


class Connection:
    """One HTTP/2 connection.

    Invariants:
        - `queued_bytes` and `assembling_bytes` are sums over `streams`, and parts of `shared`'s.
        - `ready` holds exactly the streams with `is_scheduled`: something queued, window open.
        - After `is_closed`, `streams` is empty and nothing but `output` is left to do.
        - It is in `shared.holding` exactly while it has `acks`.
    """

    def __init__(self, number: int, shared: Shared, now: float) -> None:
        """Start before the first octet."""
        options = shared.options
        self.number = number
        self.shared = shared
        self.options = options
        #: Time of the call that is being served.
        self.now = now

        # What comes in; first octets before it is known what the client speaks.
        self.greeting = b""
        self.is_http2 = False
        self.has_settings = False
        #: Octets of a frame whose end is missing.
        self.partial = b""
        self.routes = RouteReader(shared.head_reader)
        #: Stream whose header block goes on in CONTINUATION; 0: none.
        self.continued_id = 0
        self.continued_flags = 0
        self.fragments: list[bytes] = []
        self.receive_window = options.connection_window_bytes

        # Streams.
        self.streams: dict[int, Stream] = {}
        self.last_stream_id = 0
        #: Ranges of ids below `last_stream_id` that were never opened; the last few.
        self.skipped: deque[tuple[int, int]] = deque(maxlen=32)
        #: Streams closed here while the client may still be sending; the last few.
        self.reset_ids: dict[int, None] = {}
        self.assembling_bytes = 0

        # What goes out.
        self.output: list[bytes] = []
        #: Answers to PINGs that wait for other output, and since when the first of them does.
        self.acks: list[bytes] = []
        self.acks_since = 0.0
        self.output_bytes = 0
        self.send_window = WINDOW_BYTES_DEFAULT
        self.stream_send_window = WINDOW_BYTES_DEFAULT
        #: Largest payload of our DATA: a quantum of fairness, and never above what the peer takes.
        self.payload_bytes_max = FRAME_PAYLOAD_BYTES_MAX
        self.ready: deque[Stream] = deque()
        self.queued_bytes = 0
        #: The socket takes nothing at the moment; since when.
        self.is_paused = False
        self.paused_at = 0.0
        #: What is in `output` is written, then the socket is closed; why.
        self.is_closed = False
        self.close_reason = ""

        # Liveness.
        self.connected_at = now
        self.received_at = now
        #: When our unanswered PING was sent; None: none is.
        self.pinged_at: float | None = None
        self.client_pinged_at = float("-inf")
        self.ping_strikes = 0
        #: An answer went out since the client's last PING, which forgives its strikes.
        self.has_answered = False
        #: Point in time at which `liveness.check` looks again, and its slot.
        self.timer_at = float("inf")
        self.timer_slot = 0
        self.is_draining = False
        self.drain_until = float("inf")
        #: New streams are ignored: the last GOAWAY is out.
        self.is_last_call_over = False
        #: Messages and full DATA frames since an idle frame came: they bring such frames with them.
        self.useful_count = 0
        self.resets = Allowance(options.resets_per_second, options.resets_burst)
        self.idle_frames = Allowance(options.idle_frames_per_second, options.idle_frames_burst)

    def token_of(self, stream_id: int) -> int:
        """Return the token of a stream."""
        return self.number << STREAM_ID_BITS | stream_id

    def put(self, frame: bytes) -> None:
        """Add octets that need no window."""
        self.output.append(frame)
        self.output_bytes += len(frame)
