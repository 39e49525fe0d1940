"""Responsible for one watch stream: its order, its credit, its watchers; and for what leaves.

Must never decide which events a watcher gets. Everything a client sees of a stream passes
`Stream.send` or `Stream.answer`, which number it; nothing is ever taken back.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import msgspec

from zetcd.messages.codec import encode
from zetcd.messages.watch import WatchResponse
from zetcd.scalars import Revision, WatchID
from zetcd.watch.response import Chunk
from zetcd.watch.watcher import Watcher


class Delivery(NamedTuple):
    """Bodies for one session of one gateway, in order."""

    gateway: int
    session_id: int
    bodies: tuple[tuple[int, bytes], ...]


class Gateway:
    """What the hub knows of one gateway."""

    __slots__ = ("dirty", "number", "room_bytes", "sessions", "waiting")

    def __init__(self, number: int) -> None:
        """Start without sessions and with unknown room: the actor sets it every turn."""
        self.number = number
        #: Bytes that may still be made for it in this turn; not positive = nothing more now.
        self.room_bytes = 1
        self.sessions: dict[int, Session] = {}
        #: Streams that have something to send and found no room.
        self.waiting: dict[Stream, None] = {}
        #: Sessions with something that leaves at the end of this turn.
        self.dirty: list[Session] = []


class Session:
    """One client and what leaves for it in this turn."""

    __slots__ = ("_open_bytes", "_outbox", "gateway", "session_id", "streams")

    def __init__(self, gateway: Gateway, session_id: int) -> None:
        """Start without streams."""
        self.gateway = gateway
        self.session_id = session_id
        self.streams: dict[int, Stream] = {}
        #: Deliveries being filled; the last is open.
        self._outbox: list[list[tuple[int, bytes]]] = []
        self._open_bytes = 0

    def put(self, stream_id: int, bodies: list[bytes], delivery_bytes_max: int) -> int:
        """Queue bodies that must leave in the same delivery; return their bytes."""
        if not self._outbox:
            self.gateway.dirty.append(self)
        if not self._outbox or self._open_bytes >= delivery_bytes_max:
            self._outbox.append([])
            self._open_bytes = 0
        size = 0
        for body in bodies:
            self._outbox[-1].append((stream_id, body))
            size += len(body)
        self._open_bytes += size
        return size

    def take(self) -> list[Delivery]:
        """Return the deliveries of this turn and start anew."""
        number, session_id = self.gateway.number, self.session_id
        outbox, self._outbox, self._open_bytes = self._outbox, [], 0
        return [Delivery(number, session_id, tuple(bodies)) for bodies in outbox]


class Stream:
    """One watch stream.

    Invariants
        - Responses are numbered from 1 without a gap, in the order in which they leave.
        - Answers leave before events: no event of a watcher passes its ``created``.
        - Events are sent only while both credits and the gateway's room are positive. One response
          (with its fragments) may take them below zero, so that one larger than any credit passes.
        - A watcher is in ``unsynced`` or ``victims`` exactly if its state says so.
    """

    __slots__ = (
        "answers",
        "credit_bytes",
        "credit_messages",
        "is_closed",
        "next_sequence",
        "next_watch_id",
        "session",
        "stream_id",
        "unsynced",
        "victims",
        "watchers",
    )

    def __init__(self, session: Session, stream_id: int, credit: tuple[int, int]) -> None:
        """Open a stream with an initial credit of messages and bytes."""
        self.session = session
        self.stream_id = stream_id
        self.next_sequence = 1
        self.credit_messages, self.credit_bytes = credit
        #: The client asked on without reading; it is told so, and nothing it says counts any more.
        self.is_closed = False
        #: Next id tried for a watcher that may have any.
        self.next_watch_id: WatchID = 0
        self.watchers: dict[WatchID, Watcher] = {}
        self.unsynced: dict[Watcher, None] = {}
        self.victims: dict[Watcher, None] = {}
        #: Responses to requests, still without their sequence, that wait for credit.
        self.answers: deque[WatchResponse] = deque()

    def has_credit(self) -> bool:
        """Say whether anything may be sent; if only the gateway's room is missing, wait for it."""
        if self.credit_messages <= 0 or self.credit_bytes <= 0:
            return False
        if self.session.gateway.room_bytes > 0:
            return True
        self.session.gateway.waiting[self] = None
        return False

    def can_send_events(self) -> bool:
        """Say whether a response with events may leave now."""
        return not self.answers and self.has_credit()

    def grant(self, messages: int, size: int, messages_max: int, bytes_max: int) -> None:
        """Add credit, up to what may be open; a negative grant counts as none."""
        self.credit_messages = min(self.credit_messages + max(0, messages), messages_max)
        self.credit_bytes = min(self.credit_bytes + max(0, size), bytes_max)

    def answer(self, response: WatchResponse, delivery_bytes_max: int) -> None:
        """Send the answer to a request, after those already waiting."""
        self.answers.append(response)
        self.flush_answers(delivery_bytes_max)

    def flush_answers(self, delivery_bytes_max: int) -> None:
        """Send waiting answers as far as credit and room go."""
        while self.answers and self.has_credit():
            response = msgspec.structs.replace(self.answers.popleft(), sequence=self.next_sequence)
            self._put([encode(response)], delivery_bytes_max)

    def send(self, watch_id: WatchID, chunk: Chunk, delivery_bytes_max: int) -> None:
        """Send one response with events; the caller has asked `can_send_events`."""
        encoded_id = encode(watch_id)
        sequence, head = self.next_sequence, chunk.head
        bodies = [
            b"".join((head, encode(sequence + at), encoded_id, tail))
            for at, tail in enumerate(chunk.tails)
        ]
        self._put(bodies, delivery_bytes_max)

    def free_watch_id(self) -> WatchID:
        """Return an id for a watcher that may have any: from 0 on, past those in use (etcd)."""
        while self.next_watch_id in self.watchers:
            self.next_watch_id += 1
        self.next_watch_id += 1
        return self.next_watch_id - 1

    def is_complete_at(self, revision: Revision) -> bool:
        """Say whether a progress notification of ``revision`` is true for every watcher."""
        if not self.watchers or self.unsynced or self.victims:
            return False
        return all(is_complete_at(watcher, revision) for watcher in self.watchers.values())

    def _put(self, bodies: list[bytes], delivery_bytes_max: int) -> None:
        size = self.session.put(self.stream_id, bodies, delivery_bytes_max)
        self.next_sequence += len(bodies)
        self.credit_messages -= len(bodies)
        self.credit_bytes -= size
        self.session.gateway.room_bytes -= size


def is_complete_at(watcher: Watcher, revision: Revision) -> bool:
    """Say whether a synced watcher's progress is ``revision``.

    Not if it starts in the future: a client that resumed from the progress would get events it
    never asked for (etcd issue 20221). Nor if the store is ahead of the batches and it has read
    there.
    """
    return watcher.start_revision <= revision and watcher.next_revision <= revision + 1
