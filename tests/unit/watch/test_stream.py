"""Order, credit and room of one stream."""

from __future__ import annotations

from tests.unit.watch.stage import decode_response
from zetcd.messages.kv import ResponseHeader
from zetcd.messages.watch import WatchCreateRequest, WatchResponse
from zetcd.watch.response import Chunk
from zetcd.watch.stream import Gateway, Session, Stream, is_complete_at
from zetcd.watch.watcher import Watcher

DELIVERY = 1 << 20


def stream_with(credit: tuple[int, int], room_bytes: int = 1 << 30) -> Stream:
    gateway = Gateway(0)
    gateway.room_bytes = room_bytes
    return Stream(Session(gateway, 1), 1, credit)


def answer(watch_id: int) -> WatchResponse:
    return WatchResponse(ResponseHeader(1, 1), 0, watch_id, created=True)


def test_answers_wait_for_credit_and_are_numbered_when_they_leave() -> None:
    stream = stream_with((1, 1000))
    for watch_id in range(3):
        stream.answer(answer(watch_id), DELIVERY)
    assert len(stream.answers) == 2
    assert not stream.can_send_events()
    stream.grant(5, 0, 10, 10_000)
    stream.flush_answers(DELIVERY)
    (delivery,) = stream.session.take()
    decoded = [decode_response(body) for _, body in delivery.bodies]
    assert [(r.sequence, r.watch_id) for r in decoded] == [(1, 0), (2, 1), (3, 2)]
    assert stream.session.take() == []


def test_one_response_may_overshoot_the_byte_credit() -> None:
    stream = stream_with((10, 1))
    assert stream.can_send_events()
    stream.send(0, Chunk(b"", (b"x" * 100,), 2), DELIVERY)
    assert stream.credit_bytes < 0
    assert not stream.can_send_events()
    assert stream not in stream.session.gateway.waiting


def test_missing_room_is_waited_for() -> None:
    stream = stream_with((10, 10), room_bytes=0)
    assert not stream.can_send_events()
    assert stream in stream.session.gateway.waiting


def test_credit_is_bounded_and_never_negative() -> None:
    stream = stream_with((1, 1))
    stream.grant(-5, -5, 100, 100)
    assert (stream.credit_messages, stream.credit_bytes) == (1, 1)
    stream.grant(1 << 70, 1 << 70, 100, 200)
    assert (stream.credit_messages, stream.credit_bytes) == (100, 200)


def test_fragments_of_one_response_leave_in_one_delivery() -> None:
    stream = stream_with((10, 10_000))
    stream.send(0, Chunk(b"", (b"x" * 50, b"y" * 50, b"z"), 2), 10)
    stream.send(0, Chunk(b"", (b"w",), 3), 10)
    assert [len(delivery.bodies) for delivery in stream.session.take()] == [3, 1]


def test_watch_ids_count_from_zero_past_those_in_use() -> None:
    stream = stream_with((1, 1))
    stream.watchers[1] = Watcher(stream, 1, WatchCreateRequest(1, b"a"), 1)
    assert [stream.free_watch_id() for _ in range(3)] == [0, 2, 3]


def test_progress_is_true_only_for_watchers_that_began_and_are_not_ahead() -> None:
    stream = stream_with((1, 1))
    assert not stream.is_complete_at(5)
    now = Watcher(stream, 0, WatchCreateRequest(1, b"a"), 6)
    assert is_complete_at(now, 5)
    assert not is_complete_at(now, 4)
    future = Watcher(stream, 1, WatchCreateRequest(1, b"a", start_revision=6), 6)
    assert not is_complete_at(future, 5)
    assert is_complete_at(future, 6)
    stream.watchers = {0: now, 1: future}
    assert not stream.is_complete_at(5)
    assert stream.is_complete_at(6)
    stream.victims[now] = None
    assert not stream.is_complete_at(6)
