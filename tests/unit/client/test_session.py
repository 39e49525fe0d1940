from __future__ import annotations

import pytest

from tests.unit.client.dialogue import Dialogue
from tests.unit.client.scripted_server import welcome
from zetcd.client.session import SessionState
from zetcd.errors import (
    DeadlineExceeded,
    KeyNotFound,
    NoLeader,
    NotConnected,
    NotLeader,
    RequestTooLarge,
    SessionExpired,
    Timeout,
    UnknownOutcome,
    UnsupportedVersion,
)
from zetcd.messages.client import HEADER_BYTES, ClientHello, FrameType, GoAway, pack_frame
from zetcd.messages.cluster import MoveLeaderRequest
from zetcd.messages.kv import (
    KeyValue,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    ResponseHeader,
    TxnRequest,
)

HEADER = ResponseHeader(7, 2)
PUT = PutRequest(b"k", b"v")
GET = RangeRequest(b"k")


def ready() -> Dialogue:
    """Return a dialogue with a session that a first read has opened."""
    dialogue = Dialogue()
    call = dialogue.call(GET)
    dialogue.connect()
    request_id = dialogue.sent()[-1].request_id
    dialogue.feed(FrameType.RES, request_id, RangeResponse(HEADER))
    assert call.is_done
    dialogue.session.completed.clear()
    return dialogue


def kv(key: bytes) -> KeyValue:
    return KeyValue(key, 1, 1, 1, b"")


# --- a session, its requests and their answers ------------------------------------------------------


def test_nothing_is_sent_before_something_is_asked() -> None:
    dialogue = Dialogue()
    assert dialogue.session.state is SessionState.IDLE
    assert dialogue.endpoint == ""
    assert dialogue.sent() == []


def test_requests_wait_for_welcome_and_then_leave_in_order() -> None:
    dialogue = Dialogue()
    dialogue.call(PUT)
    dialogue.call(GET)
    (hello,) = dialogue.sent()
    assert hello.type is FrameType.HELLO
    assert isinstance(hello.body, ClientHello)
    dialogue.connect()
    sent = dialogue.sent()
    assert [each.body for each in sent] == [PUT, GET]
    assert [each.request_id for each in sent] == sorted({each.request_id for each in sent})


def test_an_answer_ends_its_own_call_only() -> None:
    dialogue = ready()
    first, second = dialogue.call(PUT), dialogue.call(PUT)
    ids = [each.request_id for each in dialogue.sent()]
    dialogue.feed(FrameType.RES, ids[1], PutResponse(HEADER))
    assert not first.is_done
    assert second.unwrap() == PutResponse(HEADER)
    assert dialogue.session.completed == [second]


def test_the_deadline_travels_with_the_request() -> None:
    dialogue = ready()
    dialogue.call(GET, timeout=1.5)
    assert 1_500 <= dialogue.sent()[0].deadline_ms <= 1_501


def test_parts_of_a_range_are_put_together() -> None:
    dialogue = ready()
    call = dialogue.call(GET)
    (request,) = dialogue.sent()
    dialogue.feed(
        FrameType.PARTIAL, request.request_id, RangeResponse(HEADER, (kv(b"a"), kv(b"b")))
    )
    dialogue.feed(FrameType.PARTIAL, request.request_id, RangeResponse(HEADER, (kv(b"c"),)))
    assert not call.is_done
    last = RangeResponse(HEADER, (kv(b"d"),), more=True, count=9)
    dialogue.feed(FrameType.RES, request.request_id, last)
    keys = (kv(b"a"), kv(b"b"), kv(b"c"), kv(b"d"))
    assert call.unwrap() == RangeResponse(HEADER, keys, more=True, count=9)


def test_parts_of_a_lost_connection_do_not_count() -> None:
    dialogue = ready()
    call = dialogue.call(GET)
    (request,) = dialogue.sent()
    dialogue.feed(FrameType.PARTIAL, request.request_id, RangeResponse(HEADER, (kv(b"a"),)))
    dialogue.lose()
    dialogue.connect()
    again = dialogue.sent()[-1]
    dialogue.feed(FrameType.RES, again.request_id, RangeResponse(HEADER, (kv(b"b"),), count=1))
    assert call.unwrap() == RangeResponse(HEADER, (kv(b"b"),), count=1)


def test_no_more_requests_are_in_flight_than_the_server_allows() -> None:
    dialogue = Dialogue()
    calls = [dialogue.call(PUT) for _ in range(3)]
    dialogue.connect(welcome(requests_inflight_max=2))
    first, second = (each.request_id for each in dialogue.sent()[1:])
    assert [call.is_sent for call in calls] == [True, True, False]
    dialogue.feed(FrameType.RES, first, PutResponse(HEADER))
    (third,) = dialogue.sent()
    assert third.request_id > second


def test_a_request_beyond_the_servers_limit_is_not_sent() -> None:
    # Its frame would exceed what the server's socket takes, and end the connection without a word.
    dialogue = Dialogue()
    call = dialogue.call(PutRequest(b"k", b"v" * 2_000))
    dialogue.connect(welcome(request_bytes_max=1_000))
    assert dialogue.sent_kinds() == [FrameType.HELLO]
    with pytest.raises(RequestTooLarge):
        call.unwrap()


def test_a_canceled_call_is_told_to_the_server_and_its_answer_ignored() -> None:
    dialogue = ready()
    call = dialogue.call(PUT)
    (request,) = dialogue.sent()
    dialogue.session.cancel(call, dialogue.now)
    (cancel,) = dialogue.sent()
    assert (cancel.type, cancel.request_id) == (FrameType.CANCEL, request.request_id)
    dialogue.feed(FrameType.RES, request.request_id, PutResponse(HEADER))
    assert dialogue.session.completed == []


# --- errors and retries -----------------------------------------------------------------------------


def test_an_error_that_would_come_again_is_not_tried_again() -> None:
    dialogue = ready()
    call = dialogue.call(PUT)
    dialogue.refuse(dialogue.sent()[0].request_id, KeyNotFound())
    with pytest.raises(KeyNotFound):
        call.unwrap()
    dialogue.wait(1)
    assert FrameType.REQ not in dialogue.sent_kinds()


def test_a_mutation_that_was_not_begun_is_tried_again_until_it_works() -> None:
    dialogue = ready()
    call = dialogue.call(PUT)
    for _ in range(2):
        dialogue.refuse(dialogue.sent()[-1].request_id, NoLeader())
        assert not call.is_done
        dialogue.wait(0.1)
    request = dialogue.sent()[-1]
    assert request.body == PUT
    dialogue.feed(FrameType.RES, request.request_id, PutResponse(HEADER))
    assert call.unwrap() == PutResponse(HEADER)


def test_a_call_that_was_refused_until_its_deadline_says_why() -> None:
    dialogue = ready()
    call = dialogue.call(PUT, timeout=0.2)
    while not call.is_done:
        sent = dialogue.sent()
        if sent:
            dialogue.refuse(sent[-1].request_id, NoLeader())
        dialogue.wait(0.02)
    with pytest.raises(NoLeader):
        call.unwrap()


def test_a_mutation_with_an_unknown_outcome_is_never_sent_again() -> None:
    dialogue = ready()
    call = dialogue.call(PUT)
    dialogue.refuse(dialogue.sent()[0].request_id, Timeout())
    with pytest.raises(UnknownOutcome) as caught:
        call.unwrap()
    assert caught.value.text == Timeout.text
    dialogue.wait(1)
    assert FrameType.REQ not in dialogue.sent_kinds()


def test_a_read_with_an_ambiguous_error_is_sent_again() -> None:
    dialogue = ready()
    call = dialogue.call(GET)
    dialogue.refuse(dialogue.sent()[0].request_id, Timeout())
    dialogue.wait(0.1)
    assert [each.body for each in dialogue.sent()] == [GET]
    assert not call.is_done


def test_moving_the_leader_is_not_tried_elsewhere() -> None:
    dialogue = ready()
    call = dialogue.call(MoveLeaderRequest(1))
    dialogue.refuse(dialogue.sent()[0].request_id, NotLeader())
    with pytest.raises(NotLeader):
        call.unwrap()


def test_a_read_only_transaction_is_repeatable_and_one_with_a_put_is_not() -> None:
    dialogue = ready()
    read = dialogue.call(TxnRequest(success=(GET,)))
    write = dialogue.call(TxnRequest(success=(GET, PUT)))
    nested = dialogue.call(TxnRequest(failure=(TxnRequest(success=(PUT,)),)))
    dialogue.lose()
    assert not read.is_done
    for call in (write, nested):
        with pytest.raises(UnknownOutcome):
            call.unwrap()


def test_a_deadline_ends_a_sent_mutation_as_unknown_and_a_read_as_exceeded() -> None:
    dialogue = ready()
    mutation, read = dialogue.call(PUT, timeout=1.0), dialogue.call(GET, timeout=1.0)
    ids = [each.request_id for each in dialogue.sent()]
    dialogue.wait(1.0)
    with pytest.raises(UnknownOutcome):
        mutation.unwrap()
    with pytest.raises(DeadlineExceeded):
        read.unwrap()
    assert [each.request_id for each in dialogue.sent() if each.type is FrameType.CANCEL] == ids


def test_refusals_in_a_row_move_the_session_to_another_member() -> None:
    dialogue = ready()
    assert dialogue.endpoint == "tcp://a:1"
    dialogue.wait(1.0)
    call = dialogue.call(PUT, timeout=30.0)
    while dialogue.endpoint == "tcp://a:1":
        sent = [each for each in dialogue.sent() if each.type is FrameType.REQ]
        if sent:
            dialogue.refuse(sent[-1].request_id, NoLeader())
        else:
            dialogue.wait(0.05)
    assert not call.is_done
    dialogue.connect()
    assert dialogue.sent()[-1].type is FrameType.REQ or dialogue.session.wake_at < dialogue.now + 1


def test_refusals_do_not_move_the_session_while_a_mutation_is_in_flight() -> None:
    dialogue = ready()
    dialogue.wait(1.0)
    mutation = dialogue.call(PUT)
    dialogue.sent()
    for _ in range(5):
        dialogue.call(GET)
        dialogue.refuse(dialogue.sent()[-1].request_id, NoLeader())
    assert dialogue.endpoint == "tcp://a:1"
    assert not mutation.is_done


# --- fail-over --------------------------------------------------------------------------------------


def test_after_a_lost_connection_reads_go_on_and_mutations_are_unknown() -> None:
    dialogue = ready()
    mutation, read = dialogue.call(PUT), dialogue.call(GET)
    dialogue.sent()
    dialogue.lose("the connection was lost")
    with pytest.raises(UnknownOutcome, match="the connection was lost"):
        mutation.unwrap()
    assert dialogue.endpoint == "tcp://b:1"
    dialogue.connect()
    hello, again = dialogue.sent()
    assert hello.type is FrameType.HELLO
    dialogue.feed(FrameType.RES, again.request_id, RangeResponse(HEADER))
    assert read.unwrap() == RangeResponse(HEADER)


def test_a_mutation_that_was_not_sent_yet_survives_a_lost_connection() -> None:
    dialogue = Dialogue()
    call = dialogue.call(PUT)
    dialogue.lose("refused")
    assert dialogue.endpoint == "tcp://b:1"
    dialogue.connect()
    assert dialogue.sent()[-1].body == PUT
    assert not call.is_done


def test_every_endpoint_is_tried_at_once_and_then_with_growing_pauses() -> None:
    dialogue = Dialogue(reconnect_pause=0.1, reconnect_pause_max=0.4)
    dialogue.call(GET, timeout=100.0)
    tried, pauses = [], []
    for _ in range(15):
        tried.append(dialogue.endpoint)
        dialogue.lose()
        if dialogue.session.state is SessionState.PAUSED:
            pauses.append(dialogue.session.wake_at - dialogue.now)
            dialogue.wait(pauses[-1])
    assert tried == ["tcp://a:1", "tcp://b:1", "tcp://c:1"] * 5
    assert 0.05 <= pauses[0] <= 0.1
    assert all(0.2 <= pause <= 0.4 for pause in pauses[-3:])


def test_an_endpoint_that_does_not_answer_hello_is_given_up() -> None:
    dialogue = Dialogue(connect_timeout=2.0)
    dialogue.call(GET, timeout=100.0)
    dialogue.wait(1.9)
    assert dialogue.endpoint == "tcp://a:1"
    dialogue.wait(0.2)
    assert dialogue.endpoint == "tcp://b:1"


def test_a_call_that_found_nobody_says_so() -> None:
    dialogue = Dialogue(endpoints=("tcp://a:1",))
    call = dialogue.call(PUT, timeout=0.5)
    while not call.is_done:
        if dialogue.session.connection is not None:
            dialogue.lose("the connection was refused")
        dialogue.wait(0.05)
    with pytest.raises(NotConnected, match="tcp://a:1: the connection was refused"):
        call.unwrap()
    dialogue.wait(5)
    assert dialogue.session.state is SessionState.IDLE


def test_a_server_that_speaks_no_version_of_ours_fails_calls_at_once() -> None:
    dialogue = Dialogue(endpoints=("tcp://a:1",))
    call = dialogue.call(PUT)
    dialogue.refuse(0, UnsupportedVersion("minor versions"))
    with pytest.raises(UnsupportedVersion):
        call.unwrap()


def test_going_away_is_followed_by_a_pause_with_jitter_and_another_member() -> None:
    dialogue = ready()
    dialogue.call(GET, timeout=60.0)
    dialogue.feed(FrameType.GOAWAY, 0, GoAway("the member is stopping", 500))
    assert dialogue.session.state is SessionState.PAUSED
    pause = dialogue.session.wake_at - dialogue.now
    assert 0.5 <= pause <= 1.0
    dialogue.wait(pause)
    assert dialogue.endpoint == "tcp://b:1"


def test_a_session_that_expired_begins_anew_at_the_same_member() -> None:
    dialogue = ready()
    dialogue.call(GET)
    dialogue.refuse(0, SessionExpired())
    assert dialogue.endpoint == "tcp://a:1"
    assert dialogue.session.state is SessionState.CONNECTING


def test_a_session_without_calls_and_watches_does_not_reconnect() -> None:
    dialogue = ready()
    dialogue.lose()
    dialogue.wait(60.0)
    assert dialogue.session.state is SessionState.IDLE
    assert dialogue.session.wake_at == float("inf")
    assert dialogue.session.connections_count == 1


# --- liveness ---------------------------------------------------------------------------------------


def test_silence_is_answered_with_ping_and_long_silence_with_fail_over() -> None:
    dialogue = ready()
    call = dialogue.call(GET, timeout=60.0)
    dialogue.sent()
    dialogue.wait(2.1)
    assert dialogue.sent_kinds() == [FrameType.PING]
    dialogue.wait(4.0)
    assert dialogue.endpoint == "tcp://b:1"
    assert not call.is_done


def test_pong_keeps_the_session_alive() -> None:
    dialogue = ready()
    for _ in range(10):
        dialogue.wait(2.0)
        assert FrameType.PING in dialogue.sent_kinds()
        dialogue.feed(FrameType.PONG)
    assert dialogue.endpoint == "tcp://a:1"
    assert dialogue.session.connections_count == 1


def test_ping_is_answered_with_its_own_id() -> None:
    dialogue = ready()
    dialogue.feed(FrameType.PING, 77)
    (pong,) = dialogue.sent()
    assert (pong.type, pong.request_id) == (FrameType.PONG, 77)


def test_a_client_that_slept_too_long_begins_a_new_session_before_it_sends() -> None:
    # The server has given the session up; a mutation sent into it would have an unknown outcome.
    dialogue = ready()
    dialogue.now += 10.0
    dialogue.session.wake(dialogue.now)
    call = dialogue.call(PUT)
    assert dialogue.sent_kinds() == [FrameType.HELLO]
    assert dialogue.endpoint == "tcp://a:1"
    dialogue.connect()
    assert dialogue.sent()[-1].body == PUT
    assert not call.is_done


# --- what a broken server sends ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"Z",
        b"\x00" * HEADER_BYTES,
        pack_frame(FrameType.RES, 1)[:-1],
        bytes((0x5A, 9)) + pack_frame(FrameType.RES, 1)[2:],
        pack_frame(FrameType.WATCH, 99, b"\xc1") + b"",
        pack_frame(FrameType.ERR, 1, b"\xc1"),
        pack_frame(FrameType.GOAWAY, 0, b"\x91\x01"),
        pack_frame(FrameType.PARTIAL, 2, b"\xc1"),
        pack_frame(FrameType.RES, 2, b"\xc1"),
    ],
)
def test_bytes_that_mean_nothing_end_the_connection_but_never_raise(frame: bytes) -> None:
    dialogue = ready()
    call = dialogue.call(GET)
    assert dialogue.sent()[0].request_id == 2
    dialogue.feed_bytes(frame)
    if frame[2:3] == bytes((FrameType.WATCH,)):
        # Of a stream that is not open: ignored unread.
        assert dialogue.endpoint == "tcp://a:1"
    else:
        assert dialogue.endpoint == "tcp://b:1"
    assert not call.is_done


def test_frames_of_unknown_type_and_answers_to_nothing_are_ignored() -> None:
    dialogue = ready()
    dialogue.feed_bytes(b"Z\x01\xee\x00" + bytes(12) + b"body")
    dialogue.feed(FrameType.RES, 12345, PutResponse(HEADER))
    dialogue.feed(FrameType.WELCOME, 0, welcome())
    assert dialogue.endpoint == "tcp://a:1"
    assert dialogue.sent() == []


def test_a_first_endpoint_that_never_answers_is_named_at_the_deadline() -> None:
    dialogue = Dialogue(endpoints=("tcp://a:1",))
    call = dialogue.call(PUT, timeout=0.5)
    dialogue.wait(0.5)
    with pytest.raises(NotConnected, match="tcp://a:1: no answer yet"):
        call.unwrap()
