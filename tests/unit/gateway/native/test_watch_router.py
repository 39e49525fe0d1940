"""Watch frames between clients and the watch actor."""

from __future__ import annotations

import pytest

from tests.unit.gateway.stage import ALICE, BOB, Stage, options_of
from zetcd.errors import BadFrame, InvalidArgument, TooManyWatches
from zetcd.messages.base import Message
from zetcd.messages.client import WATCH_CREDIT_INITIAL, ErrorBody, FrameType, GoAway, pack_frame
from zetcd.messages.codec import encode
from zetcd.messages.kv import Event, EventType, KeyValue, ResponseHeader
from zetcd.messages.node import (
    WatchDelivery,
    WatchForward,
    WatchRegister,
    WatchResume,
    WatchSessionClosed,
)
from zetcd.messages.watch import (
    WatchCancelRequest,
    WatchCloseRequest,
    WatchCreateRequest,
    WatchCredit,
    WatchProgressRequest,
    WatchResponse,
)

STREAM = 4


class WatchStage(Stage):
    """A stage with the client's and the watch actor's side of watching."""

    def __init__(self, **limits: object) -> None:
        super().__init__(options_of(**limits))
        self.session_id = self.hello(ALICE).session_id
        self.sequence = 0

    def watch(self, request: Message, stream_id: int = STREAM) -> None:
        kind = FrameType.CREDIT if type(request) is WatchCredit else FrameType.WATCH
        self.frame(ALICE, pack_frame(kind, stream_id, encode(request)))
        self.turn()

    def forwarded(self) -> list[object]:
        found, self.to_watch = self.to_watch, []
        return [each.request if isinstance(each, WatchForward) else each for each in found]

    def deliver(
        self, revision: int, watch_id: int, stream_id: int = STREAM, **fields: object
    ) -> int:
        """Send a response as watch would; returns the bytes of its body."""
        self.sequence += 1
        response = WatchResponse(
            ResponseHeader(revision, 5),
            self.sequence,
            watch_id,
            **fields,  # type: ignore[arg-type]
        )
        body = encode(response)
        self.step_node(WatchDelivery(self.session_id, ((stream_id, body),)))
        self.turn()
        return len(body)


def create(key: bytes = b"a", **fields: object) -> WatchCreateRequest:
    return WatchCreateRequest(STREAM, key, **fields)  # type: ignore[arg-type]


def event(revision: int) -> Event:
    return Event(EventType.PUT, KeyValue(b"a", 2, revision, 1, b"v"))


def test_requests_and_responses_pass_unchanged_and_in_order() -> None:
    stage = WatchStage()
    requests = [
        create(),
        WatchCredit(STREAM, 5, 1000),
        WatchProgressRequest(STREAM),
        WatchCancelRequest(STREAM, 0),
    ]
    for request in requests:
        stage.watch(request)
    assert stage.forwarded() == requests
    stage.deliver(9, 0, created=True)
    stage.deliver(10, 0, events=(event(10),))
    received = stage.received()
    assert [header.request_id for header, _ in received] == [STREAM, STREAM]
    bodies = [body for _, body in received]
    assert bodies[1] == WatchResponse(ResponseHeader(10, 5), 2, 0, events=(event(10),))


def test_a_stream_ends_with_a_close_and_what_comes_later_is_dropped() -> None:
    stage = WatchStage()
    stage.watch(create())
    stage.watch(WatchCloseRequest(STREAM))
    assert stage.forwarded() == [create(), WatchCloseRequest(STREAM)]
    stage.deliver(9, 0, created=True)
    assert not stage.received()
    assert stage.gateway.facts()["watchers"] == 0


@pytest.mark.parametrize(
    ("request_", "stream_id", "number"),
    [
        (create(), STREAM + 1, BadFrame.number),
        (create(start_revision=2**63), STREAM, InvalidArgument.number),
        (create(watch_id=2**64 - 1), STREAM, InvalidArgument.number),
        (WatchCredit(STREAM, -1, 0), STREAM, InvalidArgument.number),
        (WatchCredit(STREAM, 0, 2**63), STREAM, InvalidArgument.number),
    ],
)
def test_a_wrong_request_ends_its_stream(request_: Message, stream_id: int, number: int) -> None:
    stage = WatchStage()
    stage.watch(create())
    if stream_id != STREAM:
        stage.watch(WatchCreateRequest(stream_id, b"b"), stream_id)
    stage.forwarded()
    stage.watch(request_, stream_id)
    [(header, body)] = stage.received()
    assert isinstance(body, ErrorBody)
    assert (header.type, header.request_id, body.number) == (FrameType.ERR, stream_id, number)
    assert stage.forwarded() == [WatchCloseRequest(stream_id)]


@pytest.mark.parametrize("kind", [FrameType.WATCH, FrameType.CREDIT])
def test_a_body_that_cannot_be_decoded_ends_its_stream(kind: FrameType) -> None:
    stage = WatchStage()
    stage.watch(create())
    stage.forwarded()
    stage.frame(ALICE, pack_frame(kind, STREAM, b"\x93\x14\xa1x"))
    stage.turn()
    [(header, body)] = stage.received()
    assert (header.type, header.request_id) == (FrameType.ERR, STREAM)
    assert isinstance(body, ErrorBody)
    assert stage.forwarded() == [WatchCloseRequest(STREAM)]


def test_requests_on_a_stream_that_is_not_open_concern_nothing() -> None:
    stage = WatchStage()
    for request in (
        WatchCancelRequest(STREAM, 1),
        WatchProgressRequest(STREAM),
        WatchCredit(STREAM, 1, 1),
    ):
        stage.watch(request)
    assert not stage.forwarded()
    assert not stage.received()


def test_watchers_are_limited_per_session() -> None:
    stage = WatchStage(session_watches_max=2)
    stage.watch(create())
    stage.watch(WatchCreateRequest(5, b"b"), 5)
    stage.watch(WatchCreateRequest(6, b"c"), 6)
    [(header, body)] = stage.received()
    assert isinstance(body, ErrorBody)
    assert (header.request_id, body.number) == (6, TooManyWatches.number)
    # What a watcher took is given back when it ends.
    stage.deliver(2, 0, created=True)
    stage.deliver(3, 0, canceled=True)
    stage.received()
    stage.watch(WatchCreateRequest(6, b"c"), 6)
    assert not stage.received()
    stage.watch(WatchCloseRequest(5), 5)
    stage.watch(WatchCreateRequest(7, b"c"), 7)
    assert not stage.received()


def test_watch_is_told_when_a_session_with_streams_ends() -> None:
    stage = WatchStage()
    stage.watch(create())
    stage.forwarded()
    stage.frame(ALICE, pack_frame(FrameType.GOAWAY, 0))
    stage.hello(BOB)
    stage.frame(BOB, pack_frame(FrameType.GOAWAY, 0))
    stage.turn()
    assert stage.forwarded() == [WatchSessionClosed(stage.session_id)]
    stage.deliver(9, 0, created=True)
    assert not stage.received()


def test_a_new_watch_is_told_of_every_watcher_and_what_is_unanswered() -> None:
    stage = WatchStage()
    used = 0
    stage.watch(create(b"a"))
    stage.watch(create(b"b", start_revision=3))
    stage.watch(create(b"c", start_revision=50))
    used += stage.deliver(9, 0, created=True)
    used += stage.deliver(9, 1, created=True)
    used += stage.deliver(9, 2, created=True)
    used += stage.deliver(12, 0, events=(event(11), event(12)))
    stage.watch(WatchCredit(STREAM, 10, 500))
    stage.watch(WatchCancelRequest(STREAM, 0))
    stage.watch(create(b"d"))
    stage.forwarded()
    stage.gateway.watch_restarted()
    stage.turn()
    assert stage.forwarded() == [
        WatchRegister(
            stage.session_id,
            STREAM,
            5,
            WATCH_CREDIT_INITIAL[0] - 4 + 10,
            WATCH_CREDIT_INITIAL[1] - used + 500,
            (
                WatchResume(create(b"a"), 0, 13),
                WatchResume(create(b"b", start_revision=3), 1, 3),
                WatchResume(create(b"c", start_revision=50), 2, 50),
            ),
        ),
        create(b"d"),
        WatchCancelRequest(STREAM, 0),
    ]


def test_what_was_not_sent_yet_is_not_sent_twice() -> None:
    stage = WatchStage()
    stage.frame(ALICE, pack_frame(FrameType.WATCH, STREAM, encode(create())))
    stage.gateway.watch_restarted()
    stage.turn()
    [register, request] = stage.forwarded()
    assert isinstance(register, WatchRegister)
    assert request == create()


def test_progress_moves_the_point_of_resumption() -> None:
    stage = WatchStage()
    stage.watch(create(b"a"))
    stage.watch(create(b"b", start_revision=90))
    stage.deliver(9, 0, created=True)
    stage.deliver(9, 1, created=True)
    stage.deliver(20, 0)
    stage.deliver(30, -1)
    stage.forwarded()
    stage.gateway.watch_restarted()
    stage.turn()
    [register] = stage.forwarded()
    assert isinstance(register, WatchRegister)
    assert [each.next_revision for each in register.watchers] == [31, 90]


def test_watchers_that_ended_are_not_brought_back() -> None:
    stage = WatchStage()
    stage.watch(create(b"a", start_revision=1))
    stage.watch(create(b"", watch_id=7))
    stage.deliver(9, 0, created=True)
    stage.deliver(9, -1, created=True, canceled=True, cancel_reason="no")
    stage.deliver(0, 0, canceled=True, compact_revision=5)
    stage.forwarded()
    stage.gateway.watch_restarted()
    stage.turn()
    [register] = stage.forwarded()
    assert isinstance(register, WatchRegister)
    assert register.watchers == ()
    assert register.next_sequence == 4


def test_in_the_middle_of_a_revision_the_client_must_resume_itself() -> None:
    stage = WatchStage()
    stage.watch(create(fragment=True))
    stage.deliver(9, 0, created=True)
    stage.deliver(12, 0, events=(event(12),), fragment=True)
    stage.received()
    stage.forwarded()
    stage.gateway.watch_restarted()
    stage.turn()
    [(_, body)] = stage.received()
    assert isinstance(body, GoAway)
    assert not [each for each in stage.forwarded() if isinstance(each, WatchRegister)]


def test_after_the_last_fragment_the_stream_can_move() -> None:
    stage = WatchStage()
    stage.watch(create(fragment=True))
    stage.deliver(9, 0, created=True)
    stage.deliver(12, 0, events=(event(12),), fragment=True)
    stage.deliver(12, 0, events=(event(12),))
    stage.forwarded()
    stage.gateway.watch_restarted()
    stage.turn()
    [register] = stage.forwarded()
    assert isinstance(register, WatchRegister)
    assert register.watchers[0].next_revision == 13
