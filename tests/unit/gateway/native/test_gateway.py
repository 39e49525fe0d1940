"""Sessions and frames of the native protocol."""

from __future__ import annotations

import pytest

from tests.unit.gateway.stage import ALICE, BOB, Stage, client_id, decoded, options_of
from zetcd.errors import (
    BadFrame,
    InvalidArgument,
    InvalidSortOption,
    NotSupportedForLearner,
    RequestTooLarge,
    RequestTooManyRequests,
    RetryClass,
    SessionExpired,
    Stopped,
    TooManySessions,
    TxnTooDeep,
    UnknownMessage,
    UnsupportedVersion,
    ZetcdError,
)
from zetcd.messages.client import (
    ClientHello,
    ErrorBody,
    FrameType,
    GoAway,
    Welcome,
    pack_frame,
)
from zetcd.messages.codec import encode
from zetcd.messages.kv import PutRequest, PutResponse, RangeRequest, TxnRequest
from zetcd.messages.lease import LeaseGrantRequest, LeaseGrantResponse
from zetcd.messages.node import LeaderInfo, ProposeRefused, Role


def session_error(stage: Stage, routing_id: bytes = ALICE) -> ErrorBody:
    """Return the one frame that a client was sent: an error that concerns its session."""
    stage.turn()
    [(header, body)] = stage.received(routing_id)
    assert header.type == FrameType.ERR
    assert header.request_id == 0
    assert isinstance(body, ErrorBody)
    return body


def is_error(body: ErrorBody, kind: type[ZetcdError]) -> bool:
    return (body.number, body.code, body.text) == (kind.number, kind.code, kind.text)


# --- the start of a session -----------------------------------------------------------------------


def test_hello_is_answered_with_limits_and_a_new_session_id() -> None:
    stage = Stage()
    first, second = stage.hello(ALICE), stage.hello(BOB)
    assert (first.cluster_id, first.member_id, first.member_name) == (77, 0x1234, "node0")
    assert (first.request_bytes_max, first.txn_ops_max) == (100_000, 128)
    assert (first.ping_interval_ms, first.dead_after_ms) == (2000, 6000)
    assert first.session_id != second.session_id


def test_a_frame_before_hello_is_refused() -> None:
    stage = Stage()
    stage.frame(ALICE, pack_frame(FrameType.REQ, 4, encode(PutRequest(b"a"))))
    assert is_error(session_error(stage), SessionExpired)


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (None, BadFrame),
        (b"", BadFrame),
        (b"\x5a\x01\x01", BadFrame),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", BadFrame),
        (b"\x5a\x02\x01\x00" + bytes(12), UnsupportedVersion),
        (b"\x5a\x00\x01\x00" + bytes(12), UnsupportedVersion),
    ],
)
def test_what_is_no_frame_of_this_version_ends_the_session(
    frame: bytes | None, kind: type[ZetcdError]
) -> None:
    stage = Stage()
    stage.hello()
    stage.frame(ALICE, frame)
    assert is_error(session_error(stage), kind)
    stage.frame(ALICE, pack_frame(FrameType.PING, 1))
    assert is_error(session_error(stage), SessionExpired)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc0",
        b"\x91\x01",
        b"\x92\x78\x01",
        b"\x94\x78\x91\x00\x90\xa2\xff\xfe",
        b"\x94\x78\x91\x00\x90\xdb\xff\xff\xff\xff",
        b"\x92\x78\xdd\xff\xff\xff\xff",
        encode(ClientHello()) + b"\x00",
    ],
    ids=["empty", "nil", "another", "type", "utf8", "length", "array", "trailing"],
)
def test_a_malformed_hello_is_refused(body: bytes) -> None:
    stage = Stage()
    stage.frame(ALICE, pack_frame(FrameType.HELLO, 0, body))
    assert is_error(session_error(stage), BadFrame)


def test_hello_without_a_common_minor_version_is_refused() -> None:
    stage = Stage()
    stage.frame(ALICE, pack_frame(FrameType.HELLO, 0, encode(ClientHello((7, 8)))))
    error = session_error(stage)
    assert is_error(error, UnsupportedVersion)
    assert "(7, 8)" in error.detail


def test_a_client_may_not_choose_its_routing_id() -> None:
    stage = Stage()
    stage.frame(b"alice", pack_frame(FrameType.HELLO, 0, encode(ClientHello())))
    assert is_error(session_error(stage, b"alice"), BadFrame)


def test_sessions_are_limited() -> None:
    stage = Stage(options_of(sessions_max=2))
    stage.hello(ALICE)
    stage.hello(BOB)
    carol = client_id(3)
    stage.frame(carol, pack_frame(FrameType.HELLO, 0, encode(ClientHello())))
    assert is_error(session_error(stage, carol), TooManySessions)
    stage.frame(BOB, pack_frame(FrameType.GOAWAY, 0))
    stage.hello(carol)


def test_a_second_hello_begins_a_new_session_and_forgets_the_first() -> None:
    stage = Stage()
    first = stage.hello()
    put = stage.request(PutRequest(b"a"))
    second = stage.hello()
    stage.settle()
    assert second.session_id != first.session_id
    assert not stage.has_answer(put)


# --- frames within a session ----------------------------------------------------------------------


def test_an_unknown_frame_type_is_answered_and_the_session_lives() -> None:
    stage = Stage()
    stage.hello()
    stage.frame(ALICE, pack_frame(99, 12, b"whatever"))
    stage.turn()
    error = stage.error(12)
    assert is_error(error, UnknownMessage)
    assert "99" in error.detail
    assert isinstance(stage.do(PutRequest(b"a")), PutResponse)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", InvalidArgument),
        (b"\xc0", InvalidArgument),
        (b"\x91\x3f", UnknownMessage),
        (b"\x91\xcc\xc8", InvalidArgument),  # 200 is Actor report: known, but not a client's
        (b"\x91\x40", InvalidArgument),  # a response
        (encode(PutRequest(b"a"))[:-1], InvalidArgument),
        (encode(PutRequest(b"a")) + b"\xc0", InvalidArgument),
        (b"\x92\x02\xa1a", InvalidArgument),  # text for bytes
        (b"\x92\x02\xc6\xff\xff\xff\xff", InvalidArgument),  # a 4 GiB key that is not there
        (b"\x94\x04\xdd\xff\xff\xff\xff", InvalidArgument),  # 4 G compares that are not there
        (b"\x97\x01\xc4\x01a\xc4\x00\x00\x00\x09\x00", InvalidSortOption),
    ],
)
def test_a_body_that_cannot_be_decoded_is_refused_and_the_session_lives(
    body: bytes, kind: type[ZetcdError]
) -> None:
    stage = Stage()
    stage.hello()
    request_id = stage.raw_request(body)
    stage.turn()
    error = stage.error(request_id)
    assert is_error(error, kind)
    assert error.detail
    assert not stage.proposals()
    assert isinstance(stage.do(PutRequest(b"a")), PutResponse)


def test_nesting_beyond_the_decoder_is_refused_as_too_deep() -> None:
    stage = Stage()
    stage.hello()
    # A transaction whose success holds a transaction, and so on.
    body = b"\x93\x04\x90\x91" * 5_000 + b"\x91\x04"
    request_id = stage.raw_request(body)
    stage.turn()
    assert is_error(stage.error(request_id), TxnTooDeep)
    assert isinstance(stage.do(PutRequest(b"a")), PutResponse)


def test_nesting_in_an_unknown_field_never_reaches_the_log() -> None:
    """Another member might not be able to decode it; so what is proposed is encoded anew."""
    stage = Stage()
    stage.hello()
    put = encode(PutRequest(b"a"))
    body = bytes([put[0] + 1]) + put[1:] + b"\x91" * 500 + b"\x90"
    request_id = stage.raw_request(body)
    stage.turn()
    [proposal] = stage.proposals()
    assert b"\x91" * 4 not in proposal.data
    stage.commit(proposal)
    stage.turn()
    assert isinstance(stage.answer(request_id), PutResponse)


def test_request_ids_must_be_unique_and_not_0() -> None:
    for request_id in (0, 1):
        stage = Stage()
        stage.hello()
        stage.request(PutRequest(b"a"))
        stage.frame(ALICE, pack_frame(FrameType.REQ, request_id, encode(PutRequest(b"b"))))
        assert is_error(session_error(stage), BadFrame)


def test_a_request_id_may_be_used_again_after_its_answer() -> None:
    stage = Stage()
    stage.hello()
    for _ in range(2):
        stage.frame(ALICE, pack_frame(FrameType.REQ, 5, encode(PutRequest(b"a"))))
        stage.settle()
        assert isinstance(stage.answer(5), PutResponse)


def test_requests_without_answer_are_limited_per_session() -> None:
    stage = Stage(options_of(session_requests_max=2))
    stage.hello(ALICE)
    stage.hello(BOB)
    stage.request(PutRequest(b"a"))
    stage.request(PutRequest(b"b"))
    third = stage.request(PutRequest(b"c"))
    stage.turn()
    error = stage.error(third)
    assert is_error(error, RequestTooManyRequests)
    assert error.retry == RetryClass.SAFE
    assert isinstance(stage.do(PutRequest(b"d"), BOB), PutResponse)


def test_requests_without_answer_are_limited_over_all_sessions() -> None:
    stage = Stage(options_of(pending_requests_max=1))
    stage.hello(ALICE)
    stage.hello(BOB)
    stage.request(PutRequest(b"a"), ALICE)
    second = stage.request(PutRequest(b"b"), BOB)
    stage.turn()
    assert is_error(stage.error(second, BOB), RequestTooManyRequests)


def test_a_request_that_is_too_large_is_refused() -> None:
    stage = Stage()
    stage.hello()
    request_id = stage.request(PutRequest(b"a", bytes(100_001)))
    stage.turn()
    assert is_error(stage.error(request_id), RequestTooLarge)


def test_a_cancelled_request_is_not_answered_but_may_happen() -> None:
    stage = Stage()
    stage.hello()
    put = stage.request(PutRequest(b"a"))
    stage.turn()
    stage.frame(ALICE, pack_frame(FrameType.CANCEL, put))
    stage.frame(ALICE, pack_frame(FrameType.CANCEL, 999))
    stage.settle()
    assert not stage.has_answer(put)
    assert stage.applier.state.current_revision == 2


def test_a_request_cancelled_before_it_was_proposed_does_not_happen() -> None:
    stage = Stage()
    stage.hello()
    put = stage.request(PutRequest(b"a"))
    stage.frame(ALICE, pack_frame(FrameType.CANCEL, put))
    stage.settle()
    assert stage.applier.state.current_revision == 1


def test_ping_is_answered_with_its_id() -> None:
    stage = Stage()
    stage.hello()
    stage.frame(ALICE, pack_frame(FrameType.PING, 2**64 - 1))
    stage.turn()
    [(header, body)] = stage.received()
    assert (header.type, header.request_id, body) == (FrameType.PONG, 2**64 - 1, b"")


def test_answers_go_to_the_session_that_asked() -> None:
    stage = Stage()
    stage.hello(ALICE)
    stage.hello(BOB)
    first = stage.request(PutRequest(b"a", prev_kv=True), ALICE)
    second = stage.request(PutRequest(b"a", b"x", prev_kv=True), BOB)
    stage.settle()
    assert isinstance(stage.answer(first, ALICE), PutResponse)
    answer = stage.answer(second, BOB)
    assert isinstance(answer, PutResponse)
    assert answer.prev_kv is not None
    assert not stage.sent[ALICE]
    assert not stage.sent[BOB]


def test_a_lease_without_id_gets_one() -> None:
    stage = Stage()
    stage.hello()
    answers = [stage.do(LeaseGrantRequest(60)) for _ in range(3)]
    ids = [answer.id for answer in answers if isinstance(answer, LeaseGrantResponse)]
    assert len(set(ids)) == 3
    assert all(0 < each < 2**63 for each in ids)


# --- liveness, slow clients, the end --------------------------------------------------------------


def test_a_silent_session_is_pinged_and_then_given_up() -> None:
    stage = Stage()
    stage.hello()
    put = stage.request(PutRequest(b"a"))
    seen: list[int] = []
    for _ in range(13):
        stage.turn(0.5)
        seen.extend(header.type for header, _ in stage.received())
    assert seen == [FrameType.PING, FrameType.PING, FrameType.GOAWAY]
    stage.settle()
    assert not stage.has_answer(put)
    stage.frame(ALICE, pack_frame(FrameType.PONG, 0))
    assert is_error(session_error(stage), SessionExpired)


def test_a_pause_of_the_gateway_is_not_its_clients_silence() -> None:
    stage = Stage()
    stage.hello()
    stage.turn(60.0)
    assert stage.gateway.facts()["sessions"] == 1


def test_any_frame_keeps_a_session_alive() -> None:
    stage = Stage()
    stage.hello()
    for _ in range(20):
        stage.turn(1.0)
        stage.frame(ALICE, pack_frame(FrameType.PONG, 0))
    assert FrameType.GOAWAY not in [header.type for header, _ in stage.received()]


def test_a_client_that_leaves_is_forgotten() -> None:
    stage = Stage()
    stage.hello()
    put = stage.request(PutRequest(b"a"))
    stage.frame(ALICE, pack_frame(FrameType.GOAWAY, 0))
    stage.settle()
    assert not stage.has_answer(put)
    assert stage.gateway.facts()["sessions"] == 0


def test_a_client_that_is_gone_is_forgotten() -> None:
    stage = Stage()
    stage.hello()
    stage.gateway.send_failed(ALICE, b"frame", stage.now, is_gone=True)
    assert stage.gateway.facts()["sessions"] == 0


def test_frames_that_did_not_fit_leave_later_in_their_order() -> None:
    stage = Stage()
    stage.hello()
    for request_id in (1, 2):
        stage.frame(ALICE, pack_frame(FrameType.PING, request_id))
    first = stage.turn().frames
    stage.sent.clear()
    for routing_id, frame in first:
        stage.gateway.send_failed(routing_id, frame, stage.now, is_gone=False)
    stage.frame(ALICE, pack_frame(FrameType.PING, 3))
    assert not stage.turn().frames
    assert stage.gateway.wake_at() <= stage.now + 0.01
    stage.turn(0.01)
    assert [header.request_id for header, _ in stage.received()] == [1, 2, 3]


def test_a_client_that_never_reads_loses_its_session_and_is_told_when_it_reads() -> None:
    stage = Stage()
    stage.hello()
    for request_id in range(1, 2_000):
        stage.frame(ALICE, pack_frame(FrameType.PING, request_id))
    for routing_id, frame in stage.turn().frames:
        stage.gateway.send_failed(routing_id, frame, stage.now, is_gone=False)
    stage.sent.clear()
    [(routing_id, goaway)] = stage.turn().frames
    assert decoded(goaway)[0].type == FrameType.GOAWAY
    assert stage.gateway.facts()["dismissed"] == 1
    assert stage.gateway.facts()["sessions"] == 0
    stage.sent.clear()
    stage.gateway.send_failed(routing_id, goaway, stage.now, is_gone=False)
    stage.turn(1.0)
    [(_, body)] = stage.received()
    assert isinstance(body, GoAway)
    assert "not read" in body.reason


def test_a_stopping_member_answers_what_it_took_and_takes_nothing_new() -> None:
    stage = Stage()
    stage.hello()
    put = stage.request(PutRequest(b"a"))
    stage.turn()
    stage.gateway.drain()
    refused = stage.request(PutRequest(b"b"))
    stage.turn()
    error = stage.error(refused)
    assert is_error(error, Stopped)
    assert error.retry == RetryClass.SAFE
    assert stage.gateway.facts()["pending"] == 1
    stage.settle()
    assert isinstance(stage.answer(put), PutResponse)
    assert stage.gateway.is_idle
    stage.gateway.say_goodbye()
    stage.turn()
    [(header, body)] = stage.received()
    assert header.type == FrameType.GOAWAY
    assert isinstance(body, GoAway)
    assert body.reconnect_after_ms > 0


def test_a_learner_refuses_what_needs_the_leader() -> None:
    stage = Stage(has_leader=False)
    stage.step_node(LeaderInfo(5, 1, Role.FOLLOWER, is_learner=True))
    stage.hello()
    for request in (PutRequest(b"a"), RangeRequest(b"a")):
        request_id = stage.request(request)
        stage.turn()
        assert is_error(stage.error(request_id), NotSupportedForLearner)
    assert not isinstance(stage.do(RangeRequest(b"a", serializable=True)), ErrorBody)


def test_a_refused_proposal_is_safe_to_repeat() -> None:
    stage = Stage()
    stage.hello()
    put = stage.request(PutRequest(b"a"))
    stage.turn()
    [proposal] = stage.proposals()
    stage.step_node(ProposeRefused(proposal.batch_id, Stopped.number))
    stage.turn()
    error = stage.error(put)
    assert is_error(error, Stopped)
    assert error.retry == RetryClass.SAFE


def test_welcome_names_the_common_minor_version() -> None:
    stage = Stage()
    welcome = stage.hello(hello=ClientHello((0, 1, 2), ("x",), "client/1", "token"))
    assert isinstance(welcome, Welcome)
    assert welcome.minor == 0


def test_a_transaction_nested_too_deep_for_the_limit_is_refused() -> None:
    stage = Stage(options_of(txn_depth_max=3))
    stage.hello()
    txn = TxnRequest((), (PutRequest(b"a"),))
    for _ in range(3):
        txn = TxnRequest((), (txn,))
    request_id = stage.request(txn)
    stage.turn()
    assert is_error(stage.error(request_id), TxnTooDeep)
