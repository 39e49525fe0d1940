"""Responsible for what the gateway remembers of one connected client."""

from __future__ import annotations

from collections import deque
from typing import Final

from zetcd.gateway.native.watch_streams import WatchStream
from zetcd.gateway.pending import Pending

#: Frames kept for a client whose pipe is full; a burst of answers, not a client that stopped
#: reading.
OUTBOX_FRAMES_MAX: Final = 1_024
#: Bytes kept for such a client; a single larger answer is still kept.
OUTBOX_BYTES_MAX: Final = 4 * 1024 * 1024


class Session:
    """One client, from its HELLO until it leaves, falls silent or breaks the protocol.

    Invariants
        - ``pending`` holds exactly the open entries, by request id.
        - Frames leave in the order in which they were produced: while ``outbox`` is not empty, new
          ones join it.
    """

    __slots__ = (
        "client",
        "is_open",
        "last_seen",
        "outbox",
        "outbox_bytes",
        "pending",
        "pinged_at",
        "routing_id",
        "session_id",
        "stream_bytes_confirmed",
        "stream_bytes_sent",
        "stream_pings",
        "streams",
        "watchers_count",
    )

    def __init__(self, routing_id: bytes, session_id: int, client: str, now: float) -> None:
        """Open a session at ``now``."""
        self.routing_id = routing_id
        self.session_id = session_id
        #: What the client calls itself; for logs only.
        self.client = client
        self.is_open = True
        #: Monotonic seconds of the last frame received, and of the last PING without an answer.
        self.last_seen = now
        self.pinged_at = float("-inf")
        self.pending: dict[int, Pending] = {}
        self.streams: dict[int, WatchStream] = {}
        #: Watchers of all streams, those being created included.
        self.watchers_count = 0
        self.outbox: deque[bytes] = deque()
        self.outbox_bytes = 0
        #: Bytes of large answers sent, and how many of them the client has read for certain.
        self.stream_bytes_sent = 0
        self.stream_bytes_confirmed = 0
        #: PING id → `stream_bytes_sent` when it was sent.
        self.stream_pings: dict[int, int] = {}

    def keep(self, frame: bytes) -> bool:
        """Keep a frame until the client reads; False: too much is kept for it already."""
        if self.outbox and (
            len(self.outbox) >= OUTBOX_FRAMES_MAX or self.outbox_bytes >= OUTBOX_BYTES_MAX
        ):
            return False
        self.outbox.append(frame)
        self.outbox_bytes += len(frame)
        return True
