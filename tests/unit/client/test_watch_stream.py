from __future__ import annotations

import pytest

from tests.unit.client.dialogue import Dialogue, put_event, watch_created, watch_events
from zetcd.client.requests import watch_request
from zetcd.client.watch_stream import CREDIT_MESSAGES_STEP, WatchCompacted, WatchStream
from zetcd.errors import PermissionDenied, TooManyWatches, WatchCanceled
from zetcd.messages.client import WATCH_CREDIT_INITIAL, FrameType
from zetcd.messages.kv import ResponseHeader
from zetcd.messages.watch import (
    WatchCloseRequest,
    WatchCreateRequest,
    WatchCredit,
    WatchProgressRequest,
    WatchResponse,
)


def begin(start_revision: int = 0) -> tuple[Dialogue, WatchStream]:
    """Return a dialogue with one watch that the server has created at revision 10."""
    dialogue = Dialogue()
    request = watch_request(b"k", start_revision=start_revision)
    stream = dialogue.session.watch(request, dialogue.now)
    dialogue.connect()
    dialogue.sent()
    dialogue.feed(FrameType.WATCH, stream.stream_id, watch_created())
    assert stream.is_created
    return dialogue, stream


def feed(dialogue: Dialogue, stream: WatchStream, *responses: WatchResponse) -> None:
    for response in responses:
        dialogue.feed(FrameType.WATCH, stream.stream_id, response)


def read(dialogue: Dialogue, stream: WatchStream) -> list[int]:
    """Return the revisions of all events that can be read now."""
    revisions: list[int] = []
    while (response := dialogue.session.take(stream)) is not None:
        revisions.extend(event.kv.mod_revision for event in response.events)
    return revisions


def reconnect(dialogue: Dialogue) -> WatchCreateRequest:
    """Break the connection, begin the next one; return how the watch goes on."""
    dialogue.lose()
    dialogue.wait(1.0)
    dialogue.connect()
    create = dialogue.sent()[-1].body
    assert isinstance(create, WatchCreateRequest)
    return create


def test_events_come_in_order_and_the_created_response_is_not_shown() -> None:
    dialogue, stream = begin()
    feed(
        dialogue, stream, watch_events(2, put_event(b"k", 11)), watch_events(3, put_event(b"k", 12))
    )
    assert read(dialogue, stream) == [11, 12]
    assert stream.created_revision == 10


def test_a_watch_goes_on_after_the_last_revision_it_has() -> None:
    dialogue, stream = begin()
    feed(dialogue, stream, watch_events(2, put_event(b"k", 11), revision=15))
    # What was received but not read yet is neither lost nor asked for again.
    assert reconnect(dialogue).start_revision == 16
    feed(dialogue, stream, watch_created(), watch_events(2, put_event(b"k", 16)))
    assert read(dialogue, stream) == [11, 16]


def test_a_watch_from_now_on_that_saw_nothing_goes_on_after_its_creation() -> None:
    dialogue, _ = begin()
    assert reconnect(dialogue).start_revision == 11


def test_a_watch_that_was_never_created_starts_over_as_asked() -> None:
    dialogue = Dialogue()
    stream = dialogue.session.watch(watch_request(b"k"), dialogue.now)
    dialogue.connect()
    dialogue.sent()
    assert reconnect(dialogue).start_revision == 0
    assert not stream.is_created


@pytest.mark.parametrize("start_revision", [5, 50])
def test_a_watch_from_a_revision_keeps_it_until_it_is_passed(start_revision: int) -> None:
    dialogue, stream = begin(start_revision)
    assert reconnect(dialogue).start_revision == start_revision
    feed(dialogue, stream, watch_created(), watch_events(2, put_event(b"k", 60)))
    assert reconnect(dialogue).start_revision == 61


def test_progress_moves_the_position_too() -> None:
    dialogue, stream = begin()
    progress = WatchResponse(ResponseHeader(40, 2), 2, -1)
    feed(dialogue, stream, progress)
    assert dialogue.session.take(stream) == progress
    assert reconnect(dialogue).start_revision == 41


def test_fragments_are_read_as_one_response() -> None:
    dialogue, stream = begin()
    feed(dialogue, stream, watch_events(2, put_event(b"a", 11), fragment=True))
    assert dialogue.session.take(stream) is None
    feed(dialogue, stream, watch_events(3, put_event(b"b", 11)))
    response = dialogue.session.take(stream)
    assert response is not None
    assert [event.kv.key for event in response.events] == [b"a", b"b"]


def test_a_connection_lost_between_fragments_repeats_the_whole_response_once() -> None:
    dialogue, stream = begin()
    feed(dialogue, stream, watch_events(2, put_event(b"a", 11), fragment=True))
    assert reconnect(dialogue).start_revision == 11
    feed(dialogue, stream, watch_created())
    feed(dialogue, stream, watch_events(2, put_event(b"a", 11), put_event(b"b", 11)))
    assert read(dialogue, stream) == [11, 11]


def test_a_gap_in_the_sequence_begins_a_new_connection_and_loses_nothing() -> None:
    dialogue, stream = begin()
    feed(dialogue, stream, watch_events(2, put_event(b"k", 11)))
    feed(dialogue, stream, watch_events(4, put_event(b"k", 13)))
    assert stream.stream_id == 0
    dialogue.wait(1.0)
    dialogue.connect()
    create = dialogue.sent()[-1].body
    assert isinstance(create, WatchCreateRequest)
    assert create.start_revision == 12
    feed(
        dialogue, stream, watch_created(), watch_events(2, put_event(b"k", 12), put_event(b"k", 13))
    )
    assert read(dialogue, stream) == [11, 12, 13]


def test_compaction_is_an_error_with_the_revision_to_go_on_from() -> None:
    dialogue, stream = begin()
    feed(dialogue, stream, watch_events(2, put_event(b"k", 11)))
    canceled = WatchResponse(ResponseHeader(0, 2), 3, 0, canceled=True, compact_revision=30)
    feed(dialogue, stream, canceled)
    response = dialogue.session.take(stream)
    assert response is not None
    with pytest.raises(WatchCompacted) as caught:
        dialogue.session.take(stream)
    assert caught.value.compact_revision == 30


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
            PermissionDenied,
        ),
        ("mvcc: something new", WatchCanceled),
    ],
)
def test_a_refused_watch_ends_with_the_servers_reason(reason: str, error: type[Exception]) -> None:
    dialogue = Dialogue()
    stream = dialogue.session.watch(watch_request(b"k"), dialogue.now)
    dialogue.connect()
    dialogue.sent()
    refused = WatchResponse(
        ResponseHeader(9, 2), 1, -1, created=True, canceled=True, cancel_reason=reason
    )
    feed(dialogue, stream, refused)
    assert stream in dialogue.session.woken
    with pytest.raises(error):
        dialogue.session.take(stream)
    assert [type(each.body) for each in dialogue.sent()] == [WatchCloseRequest]


def test_an_error_of_the_stream_ends_the_watch_and_nothing_else() -> None:
    dialogue, stream = begin()
    dialogue.refuse(stream.stream_id, TooManyWatches())
    with pytest.raises(TooManyWatches):
        dialogue.session.take(stream)
    assert dialogue.endpoint == "tcp://a:1"


def test_credit_is_granted_for_what_was_read_only() -> None:
    dialogue, stream = begin()
    events = [watch_events(number, put_event(b"k", 9 + number)) for number in range(2, 800)]
    feed(dialogue, stream, *events)
    assert dialogue.sent() == []
    for _ in range(CREDIT_MESSAGES_STEP - 2):
        dialogue.session.take(stream)
    assert dialogue.sent() == []
    dialogue.session.take(stream)
    (credit,) = dialogue.sent()
    assert isinstance(credit.body, WatchCredit)
    # The created response counts as read.
    assert credit.body.messages == CREDIT_MESSAGES_STEP
    assert credit.body.bytes > 0


def test_large_events_are_credited_by_their_bytes() -> None:
    dialogue, stream = begin()
    value = b"v" * (WATCH_CREDIT_INITIAL[1] // 2)
    feed(dialogue, stream, watch_events(2, put_event(b"k", 11, value)))
    dialogue.session.take(stream)
    (credit,) = dialogue.sent()
    assert isinstance(credit.body, WatchCredit)
    assert credit.body.bytes > len(value)


def test_a_stopped_reader_gets_no_second_initial_credit_by_reconnecting() -> None:
    dialogue, stream = begin()
    unread = 2 * CREDIT_MESSAGES_STEP
    feed(
        dialogue,
        stream,
        *(watch_events(each, put_event(b"k", 9 + each)) for each in range(2, unread)),
    )
    dialogue.lose()
    dialogue.wait(1.0)
    dialogue.connect()
    assert FrameType.WATCH not in dialogue.sent_kinds()
    for _ in range(CREDIT_MESSAGES_STEP):
        dialogue.session.take(stream)
    create = dialogue.sent()[-1].body
    assert isinstance(create, WatchCreateRequest)
    assert create.start_revision == 9 + unread


def test_what_was_received_before_gives_no_credit_to_the_new_stream() -> None:
    dialogue, stream = begin()
    half = CREDIT_MESSAGES_STEP
    feed(
        dialogue,
        stream,
        *(watch_events(each, put_event(b"k", 9 + each)) for each in range(2, half + 2)),
    )
    reconnect(dialogue)
    feed(dialogue, stream, watch_created())
    assert len(read(dialogue, stream)) == half
    assert FrameType.CREDIT not in dialogue.sent_kinds()


def test_a_closed_watch_is_closed_on_the_server_and_late_events_are_ignored() -> None:
    dialogue, stream = begin()
    stream_id = stream.stream_id
    dialogue.session.close_watch(stream)
    (close,) = dialogue.sent()
    assert close.body == WatchCloseRequest(stream_id)
    dialogue.feed(FrameType.WATCH, stream_id, watch_events(2, put_event(b"k", 11)))
    assert dialogue.session.take(stream) is None


def test_a_progress_request_waits_for_its_stream() -> None:
    dialogue, stream = begin()
    dialogue.session.request_progress(stream)
    assert dialogue.sent()[0].body == WatchProgressRequest(stream.stream_id)
    dialogue.lose()
    dialogue.session.request_progress(stream)
    dialogue.connect()
    dialogue.sent()
    feed(dialogue, stream, watch_created())
    assert dialogue.sent()[0].body == WatchProgressRequest(stream.stream_id)
