"""Bodies put together from shared pieces equal the encoded struct."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.watch.stage import MemoryStore, decode_response
from zetcd.messages.codec import encode
from zetcd.messages.kv import Event, EventType, KeyValue, ResponseHeader
from zetcd.messages.watch import WatchResponse
from zetcd.watch.response import Composer, PreparedEvent, array_header
from zetcd.watch.stream import Gateway, Session, Stream
from zetcd.watch.watcher import Variant

PLAIN = Variant(True, True, False, False)
PREV = PLAIN._replace(prev_kv=True)


def event(revision: int, value: bytes = b"v") -> PreparedEvent:
    kv = KeyValue(b"k%d" % revision, 2, revision, revision, value)
    return PreparedEvent(Event(EventType.PUT, kv), revision)


def composer(complete: int, chunk: int = 1 << 20, fragment: int = 1 << 20) -> Composer:
    return Composer(
        MemoryStore(),
        raft_term=3,
        complete_revision=complete,
        chunk_bytes_max=chunk,
        fragment_bytes=fragment,
    )


def bodies(events: list[PreparedEvent], made_by: Composer, variant: Variant = PLAIN) -> list[bytes]:
    """What a stream sends of the chunks, for watch id 7."""
    gateway = Gateway(0)
    gateway.room_bytes = 1 << 40
    session = Session(gateway, 1)
    stream = Stream(session, 1, (1 << 30, 1 << 40))
    for chunk in made_by.chunks(events, variant):
        stream.send(7, chunk, 1 << 30)
    return [body for delivery in session.take() for _, body in delivery.bodies]


@pytest.mark.parametrize("length", [0, 1, 15, 16, 65535, 65536])
def test_array_header(length: int) -> None:
    assert msgspec.msgpack.decode(array_header(length) + b"\xc0" * length) == [None] * length


@given(
    counts=st.lists(st.integers(1, 20), min_size=1, max_size=20),
    term=st.sampled_from([3]),
    value=st.binary(max_size=300),
)
def test_a_body_equals_the_encoded_struct(counts: list[int], term: int, value: bytes) -> None:
    events = [event(at + 2, value) for at, count in enumerate(counts) for _ in range(count)]
    (body,) = bodies(events, composer(complete=1 << 33))
    response = WatchResponse(
        ResponseHeader(1 << 33, term), 1, 7, events=tuple(each.event for each in events)
    )
    assert body == encode(response)
    assert decode_response(body) == response


def test_chunks_are_cut_between_revisions_only() -> None:
    events = [event(2, b"x" * 50), event(2, b"y" * 50), event(3), event(4)]
    responses = [decode_response(body) for body in bodies(events, composer(9, chunk=60))]
    assert [(r.header.revision, len(r.events)) for r in responses] == [(2, 2), (9, 2)]
    assert [r.sequence for r in responses] == [1, 2]


def test_fragments_are_below_the_limit_and_marked() -> None:
    events = [event(2, b"x" * 100) for _ in range(10)]
    fragmented = PLAIN._replace(is_fragmented=True)
    parts = bodies(events, composer(2, fragment=400), fragmented)
    responses = [decode_response(part) for part in parts]
    assert all(len(part) <= 400 for part in parts)
    assert [r.fragment for r in responses] == [True] * (len(parts) - 1) + [False]
    assert [e for r in responses for e in r.events] == [each.event for each in events]
    assert len(bodies(events, composer(2, fragment=400), PLAIN)) == 1


def test_a_single_event_beyond_the_limit_goes_alone() -> None:
    events = [event(2, b"x" * 1000), event(2), event(2)]
    fragmented = PLAIN._replace(is_fragmented=True)
    responses = [decode_response(b) for b in bodies(events, composer(2, fragment=400), fragmented)]
    assert [len(r.events) for r in responses] == [1, 2]


def test_prev_kv_is_read_once_and_not_for_creations() -> None:
    store = MemoryStore()
    store.commit((b"a", b"1"))
    item = store.commit((b"a", b"2"))
    assert item is not None
    prepared = PreparedEvent(item.events[0], item.revision)
    encoded = prepared.encoded(PREV, store)
    assert encoded is prepared.encoded(PREV, store)
    decoded = msgspec.msgpack.decode(encoded, type=Event)
    assert decoded.prev_kv is not None
    assert decoded.prev_kv.value == b"1"
    assert msgspec.msgpack.decode(prepared.encoded(PLAIN, store), type=Event).prev_kv is None


def test_prev_kv_that_apply_sent_along_is_for_those_who_asked() -> None:
    was = KeyValue(b"a", 2, 2, 1, b"1")
    given_event = Event(EventType.DELETE, KeyValue(b"a", 0, 3), was)
    prepared = PreparedEvent(given_event, 3)
    store = MemoryStore()
    assert msgspec.msgpack.decode(prepared.encoded(PREV, store), type=Event) == given_event
    assert msgspec.msgpack.decode(prepared.encoded(PLAIN, store), type=Event).prev_kv is None
