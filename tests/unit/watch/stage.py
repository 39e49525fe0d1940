"""A hub with a store in memory and clients that note what they are sent; shared by the watch tests."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from zetcd.messages.client import WATCH_CREDIT_INITIAL, WatchRequest
from zetcd.messages.codec import decoder_of
from zetcd.messages.kv import Event, EventType, KeyValue
from zetcd.messages.node import (
    EventBatch,
    RevisionEvents,
    WatchForward,
    WatchRegister,
    WatchResume,
)
from zetcd.messages.watch import WatchCreateRequest, WatchCredit, WatchResponse
from zetcd.scalars import Revision
from zetcd.watch import Hub, WatchOptions

ROOM_BYTES = 1 << 40
decode_response = decoder_of(WatchResponse).decode


class MemoryStore:
    """All versions of all keys as a list; refuses to show what is compacted."""

    def __init__(self) -> None:
        self.current_revision: Revision = 1
        self.compact_revision: Revision = 0
        self.history: list[RevisionEvents] = []
        self.live: dict[bytes, KeyValue] = {}
        self.reads_count = 0

    def events(self, from_revision: Revision, to_revision: Revision) -> Iterator[RevisionEvents]:
        assert from_revision >= self.compact_revision, "read of a compacted revision"
        self.reads_count += 1
        for item in self.history:
            if from_revision <= item.revision <= to_revision:
                yield item

    def get_at(self, key: bytes, revision: Revision) -> KeyValue | None:
        assert revision >= self.compact_revision, "read of a compacted revision"
        found: KeyValue | None = None
        for item in self.history:
            for event in item.events:
                if item.revision <= revision and event.kv.key == key:
                    found = event.kv if event.type is EventType.PUT else None
        return found

    def commit(self, *changes: tuple[bytes, bytes | None]) -> RevisionEvents | None:
        """Put (key, value) or delete (key, None) in one revision; None if nothing changed."""
        revision = self.current_revision + 1
        events: list[Event] = []
        for key, value in changes:
            before = self.live.get(key)
            if value is not None:
                created = before.create_revision if before else revision
                version = before.version + 1 if before else 1
                kv = KeyValue(key, created, revision, version, value)
                self.live[key] = kv
                events.append(Event(EventType.PUT, kv))
            elif before:
                del self.live[key]
                events.append(Event(EventType.DELETE, KeyValue(key, 0, revision)))
        if not events:
            return None
        self.current_revision = revision
        item = RevisionEvents(revision, tuple(events))
        self.history.append(item)
        return item

    def batch(self, *revisions: RevisionEvents) -> EventBatch:
        current = revisions[-1].revision if revisions else self.current_revision
        return EventBatch(revisions, current, self.compact_revision, raft_term=3)


class Stage:
    """Drives one hub; every response is decoded, and its sequence checked, as a client would."""

    def __init__(self, **options: float) -> None:
        self.store = MemoryStore()
        self.options = WatchOptions(**options)  # type: ignore[arg-type]
        self.hub = Hub(self.store, Random(1), self.options)
        self.hub.resynchronise()
        self.now = 0.0
        self.stuck_gateways: set[int] = set()
        #: (gateway, session, stream) → everything received.
        self.received: dict[tuple[int, int, int], list[WatchResponse]] = {}
        #: What of it was not looked at yet.
        self.fresh: list[tuple[tuple[int, int, int], WatchResponse]] = []
        #: Fragments and answers may overshoot, but events never start without credit.
        self.credit: dict[tuple[int, int, int], list[int]] = {}

    def say(
        self, request: WatchRequest | WatchCredit, *, session_id: int = 1, gateway: int = 0
    ) -> None:
        key = (gateway, session_id, request.stream_id)
        if isinstance(request, WatchCredit) and key in self.credit:
            self.credit[key][0] += request.messages
            self.credit[key][1] += request.bytes
        elif isinstance(request, WatchCreateRequest):
            self.credit.setdefault(key, list(WATCH_CREDIT_INITIAL))
        self.hub.step(WatchForward(session_id, request), gateway=gateway, now=self.now)

    def register(
        self, session_id: int, stream_id: int, watchers: list[WatchResume], *, gateway: int = 0
    ) -> None:
        key = (gateway, session_id, stream_id)
        messages, size = self.credit[key]
        sequence = len(self.received.get(key, [])) + 1
        self.hub.step(
            WatchRegister(session_id, stream_id, sequence, messages, size, tuple(watchers)),
            gateway=gateway,
            now=self.now,
        )

    def commit(self, *changes: tuple[bytes, bytes | None]) -> None:
        """Change the store and tell the hub."""
        item = self.store.commit(*changes)
        if item is not None:
            self.hub.step(self.store.batch(item))

    def put(self, key: bytes, value: bytes = b"v") -> None:
        self.commit((key, value))

    def delete(self, key: bytes) -> None:
        self.commit((key, None))

    def turn(self) -> list[WatchResponse]:
        """Do one turn; return what came of it, in the order of leaving."""
        for number in [0, *self.hub.gateways]:
            room = 0 if number in self.stuck_gateways else ROOM_BYTES
            self.hub.set_room(number, room)
        self.hub.check()
        responses: list[WatchResponse] = []
        for gateway, session_id, bodies in self.hub.ready(self.now):
            for stream_id, body in bodies:
                response = self._receive((gateway, session_id, stream_id), body)
                # Answers may use the room of the turn before.
                assert not (response.events and gateway in self.stuck_gateways)
                responses.append(response)
        self.hub.check()
        return responses

    def settle(self) -> list[WatchResponse]:
        """Do turns until nothing more comes of them."""
        responses = self.turn()
        for _ in range(1000):
            timer = self.hub.next_timer(self.now)
            more = self.turn()
            responses += more
            if not more and (timer is None or timer > self.now):
                return responses
        raise AssertionError("the hub finds no end")

    def advance(self, seconds: float) -> list[WatchResponse]:
        self.now += seconds
        return self.settle()

    def _receive(self, key: tuple[int, int, int], body: bytes) -> WatchResponse:
        response = decode_response(body)
        received = self.received.setdefault(key, [])
        assert response.sequence == len(received) + 1, "a gap or a repeat in the sequence"
        follows_fragment = bool(received) and received[-1].fragment
        credit = self.credit[key]
        assert follows_fragment or min(credit) > 0, "sent without credit"
        credit[0] -= 1
        credit[1] -= len(body)
        received.append(response)
        self.fresh.append((key, response))
        return response

    def new_hub(self) -> None:
        """Restart the watch actor: everything the hub knew is gone."""
        self.hub = Hub(self.store, Random(1), self.options)
        self.hub.resynchronise()


def events_of(responses: list[WatchResponse], watch_id: int) -> list[tuple[Revision, bytes]]:
    """Return (revision, key) of the events of one watcher, in order."""
    return [
        (event.kv.mod_revision, event.kv.key)
        for response in responses
        if response.watch_id == watch_id
        for event in response.events
    ]
