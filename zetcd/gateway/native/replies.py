"""Responsible for turning answers into frames of the native protocol."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

import msgspec

from zetcd.errors import ZetcdError
from zetcd.gateway.native.session import Session
from zetcd.gateway.pending import Pending
from zetcd.messages.base import Message
from zetcd.messages.client import ErrorBody, FrameType, GoAway, pack_frame
from zetcd.messages.codec import encode
from zetcd.messages.kv import RangeResponse

#: Bytes of answers that a client may have unread before it is read for no more; confirmed by its PONG.
STREAM_WINDOW_BYTES: Final = 4 * 1024 * 1024
#: Smaller answers are not counted: it is their number that is bounded.
_COUNTED_BYTES_MIN: Final = 4 * 1024
#: Details are for people; what a client sent must not come back to it at full length.
_DETAIL_CHARACTERS_MAX: Final = 300

# Plain integers: packing an IntEnum costs three times as much.
_RES: Final = int(FrameType.RES)
_PARTIAL: Final = int(FrameType.PARTIAL)
_ERR: Final = int(FrameType.ERR)
_PING: Final = int(FrameType.PING)
_GOAWAY: Final = int(FrameType.GOAWAY)


def error_frame(request_id: int, error: ZetcdError) -> bytes:
    """Return the ERR frame for ``error``; request id 0 = it concerns the session."""
    body = ErrorBody(
        error.number, error.code, error.text, error.retry, error.detail[:_DETAIL_CHARACTERS_MAX]
    )
    return pack_frame(_ERR, request_id, encode(body))


def goaway_frame(reason: str, reconnect_after_ms: int = 0) -> bytes:
    """Return the frame that ends a session."""
    return pack_frame(_GOAWAY, 0, encode(GoAway(reason, reconnect_after_ms)))


class NativeReplies:
    """`Replies` of the native protocol; the owner of a `Pending` is its `Session`."""

    def __init__(self, sessions: dict[bytes, Session]) -> None:
        """Start without frames; ``sessions`` is the gateway's table, by routing id."""
        self._sessions = sessions
        #: (routing id, frame), in the order in which they must leave.
        self.frames: list[tuple[bytes, bytes]] = []
        #: Requests without an answer, over all sessions.
        self.pending_count = 0
        #: Figures for status.
        self.errors_count = 0

    def open(self, pending: Pending) -> None:
        """Begin to wait for the answer to ``pending``."""
        cast(Session, pending.owner).pending[pending.request_id] = pending
        self.pending_count += 1

    def close(self, pending: Pending) -> None:
        """Stop waiting; whatever is answered later is ignored."""
        if pending.is_open:
            self._close(pending)

    def _close(self, pending: Pending) -> bytes:
        pending.is_open = False
        session = cast(Session, pending.owner)
        del session.pending[pending.request_id]
        self.pending_count -= 1
        return session.routing_id

    def answer(self, pending: Pending, response: Message) -> None:
        """End the request with a response."""
        self.answer_encoded(pending, encode(response))

    def answer_encoded(self, pending: Pending, body: bytes | msgspec.Raw) -> None:
        """End the request with an encoded response."""
        if pending.is_open:
            routing_id = self._close(pending)
            # bytes + Raw copies the body once, straight behind the header.
            frame = pack_frame(_RES, pending.request_id, body)
            self.frames.append((routing_id, frame))
            if len(frame) >= _COUNTED_BYTES_MIN:
                self._count(cast(Session, pending.owner), len(frame))

    def can_take(self, pending: Pending) -> bool:
        """Whether the client reads its answers, so that one that may be big can be made for it."""
        session = cast(Session, pending.owner)
        unread = session.stream_bytes_sent - session.stream_bytes_confirmed
        return unread < STREAM_WINDOW_BYTES and not session.outbox

    def answer_part(self, pending: Pending, part: RangeResponse) -> bool:
        """Send a part of a response; False: the client must read first, come back later."""
        if not pending.is_open:
            return True
        if not self.can_take(pending):
            return False
        session = cast(Session, pending.owner)
        frame = pack_frame(_PARTIAL, pending.request_id, encode(part))
        self.frames.append((session.routing_id, frame))
        self._count(session, len(frame))
        return True

    def _count(self, session: Session, size: int) -> None:
        """Note that a frame of ``size`` bytes is the last one in ``frames``."""
        before = session.stream_bytes_sent
        session.stream_bytes_sent += size
        quarter = STREAM_WINDOW_BYTES // 4
        if before // quarter != session.stream_bytes_sent // quarter:
            # The answer to this PING tells that everything before it was read.
            ping_id = session.stream_bytes_sent
            session.stream_pings[ping_id] = session.stream_bytes_sent
            self.frames.append((session.routing_id, pack_frame(_PING, ping_id)))

    def fail(self, pending: Pending, error: ZetcdError) -> None:
        """End the request with an error."""
        if pending.is_open:
            routing_id = self._close(pending)
            self.errors_count += 1
            self.frames.append((routing_id, error_frame(pending.request_id, error)))

    def fail_encoded(self, pending: Pending, body: bytes | msgspec.Raw) -> None:
        """End the request with an encoded `ErrorBody`."""
        if pending.is_open:
            routing_id = self._close(pending)
            self.errors_count += 1
            self.frames.append((routing_id, pack_frame(_ERR, pending.request_id, body)))

    def waiting(self) -> Iterator[Pending]:
        """Yield every open entry."""
        for session in self._sessions.values():
            yield from session.pending.values()

    def send(self, session: Session, frame: bytes) -> None:
        """Send a frame that answers no request."""
        self.frames.append((session.routing_id, frame))

    def take(self) -> list[tuple[bytes, bytes]]:
        """Return the frames since the last call."""
        frames = self.frames
        self.frames = []
        return frames
