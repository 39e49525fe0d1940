"""Frames to calls: what is heard, what is refused on its stream, and what ends the connection."""

from __future__ import annotations

import gzip

import pytest

from tests.unit.gateway.grpc.peer import (
    CLIENT_STREAM,
    SERVER_STREAM,
    UNARY,
    Peer,
    call,
    data,
    header_block,
    headers,
    message,
)
from zetcd.gateway.grpc import (
    Call,
    Closed,
    Ending,
    ErrorCode,
    HalfClosed,
    Opened,
    StreamMessage,
    TransportOptions,
)
from zetcd.gateway.grpc.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEADERS,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    SETTINGS_ENABLE_PUSH,
    SETTINGS_INITIAL_WINDOW_SIZE,
    SETTINGS_MAX_CONCURRENT_STREAMS,
    SETTINGS_MAX_FRAME_SIZE,
    WINDOW_UPDATE,
    pack_frame,
    pack_rst_stream,
    pack_settings,
    pack_window_update,
    unpack_settings,
)

NUMBER = bytes(4)


# --- calls ----------------------------------------------------------------------------------------


def test_a_whole_call_is_one_event() -> None:
    peer = Peer()
    peer.send(call(1, b"hello"), call(3, b""))
    events = peer.events()
    assert [type(event) for event in events] == [Call, Call]
    first, second = events
    assert isinstance(first, Call)
    assert isinstance(second, Call)
    assert (first.head.method.path, first.message, first.deadline) == (UNARY.path, b"hello", None)
    assert second.message == b""
    assert first.token != second.token


def test_a_call_in_many_pieces_is_the_same_event() -> None:
    peer = Peer()
    peer.send(headers(1, header_block()))
    for octet in message(b"hello"):
        peer.send(data(1, bytes((octet,))))
        assert not peer.events()
    peer.send(data(1, b"", is_last=True))
    (event,) = peer.events()
    assert isinstance(event, Call)
    assert event.message == b"hello"
    assert peer.transport.assembling_bytes_total == 0


def test_what_looks_like_a_message_may_be_the_end_of_another() -> None:
    peer = Peer()
    whole = message(b"x" * 10 + message(b"hello"))
    peer.send(headers(1, header_block()), data(1, whole[:15]), data(1, whole[15:], is_last=True))
    (event,) = peer.events()
    assert isinstance(event, Call)
    assert event.message == b"x" * 10 + message(b"hello")


def test_a_second_message_in_a_frame_of_its_own_is_one_too_many() -> None:
    peer = Peer()
    peer.send(headers(1, header_block()), data(1, message(b"a")))
    peer.send(data(1, message(b"b"), is_last=True))
    assert peer.status(1)[1].startswith("cardinality violation: received multiple")
    assert not peer.events()


def test_a_client_stream_is_opened_fed_and_ended() -> None:
    peer = Peer()
    peer.send(headers(1, header_block(CLIENT_STREAM.path)))
    peer.send(data(1, message(b"a") + message(b"b") + message(b"c")[:3]))
    peer.send(data(1, message(b"c")[3:]), data(1, b"", is_last=True))
    opened, *messages, ended = peer.events()
    assert isinstance(opened, Opened)
    assert isinstance(ended, HalfClosed)
    assert [each.message for each in messages if isinstance(each, StreamMessage)] == [
        *(b"a", b"b", b"c")
    ]


def test_a_deadline_is_counted_from_the_arrival() -> None:
    peer = Peer()
    peer.send(headers(1, header_block(UNARY.path, (b"grpc-timeout", b"1500m"))))
    peer.send(data(1, message(b""), is_last=True))
    (event,) = peer.events()
    assert isinstance(event, Call)
    assert event.deadline == 101.5


def test_gzip_is_taken() -> None:
    peer = Peer()
    peer.send(headers(1, header_block(UNARY.path, (b"grpc-encoding", b"gzip"))))
    peer.send(data(1, message(gzip.compress(b"hello"), flag=1), is_last=True))
    (event,) = peer.events()
    assert isinstance(event, Call)
    assert event.message == b"hello"


def test_padding_and_priority_are_taken_off() -> None:
    peer = Peer()
    block = header_block()
    payload = b"\x03" + NUMBER + b"\x10" + block + b"\x00" * 3
    peer.send(pack_frame(HEADERS, END_HEADERS | PADDED | HAS_PRIORITY, 1, payload))
    padded = b"\x05" + message(b"hello") + b"\x00" * 5
    peer.send(pack_frame(DATA, END_STREAM | PADDED, 1, padded))
    (event,) = peer.events()
    assert isinstance(event, Call)
    assert event.message == b"hello"


def test_a_block_may_be_continued() -> None:
    peer = Peer()
    block = header_block()
    peer.send(headers(1, block[:10], flags=0))
    peer.send(pack_frame(CONTINUATION, 0, 1, block[10:20]))
    peer.send(pack_frame(CONTINUATION, END_HEADERS, 1, block[20:]))
    peer.send(data(1, message(b"hello"), is_last=True))
    assert len(peer.events()) == 1


def test_the_reserved_bit_is_ignored() -> None:
    peer = Peer()
    octets = bytearray(call(1, b"hello"))
    octets[5] |= 0x80
    peer.send(bytes(octets))
    assert len(peer.events()) == 1


def test_trailers_of_the_client_end_its_side() -> None:
    peer = Peer()
    peer.send(headers(1, header_block()), data(1, message(b"hello")))
    peer.send(headers(1, b"", END_HEADERS | END_STREAM))
    assert len(peer.events()) == 1


def test_frames_of_extensions_are_ignored() -> None:
    peer = Peer()
    peer.send(pack_frame(0xFA, 0xFF, 7, b"whatever"), call(1))
    assert len(peer.events()) == 1


# --- calls that end by themselves -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "code", "text"),
    [
        (b"", 13, "cardinality violation: received no request message"),
        (message(b"a") + message(b"b"), 13, "cardinality violation: received multiple"),
        (message(b"hello")[:-1], 13, "unexpected EOF"),
        (message(b"a", flag=1), 13, "compressed flag set"),
        (message(b"x" * 3000), 8, "larger than max (3000 vs. 1000)"),
    ],
    ids=["no message", "two messages", "cut short", "compressed", "too large"],
)
def test_bad_requests_get_a_status(payload: bytes, code: int, text: str) -> None:
    peer = Peer(TransportOptions(message_bytes_max=1000))
    peer.send(headers(1, header_block()), data(1, payload, is_last=True), call(3))
    got_code, got_text = peer.status(1)
    assert got_code == code
    assert text in got_text
    # The connection stays, the application heard of the other call only.
    assert [type(event) for event in peer.events()] == [Call]
    assert peer.transport.assembling_bytes_total == 0


def test_a_message_too_large_ends_its_stream_before_it_is_sent() -> None:
    peer = Peer(TransportOptions(message_bytes_max=1000))
    peer.send(headers(1, header_block()), data(1, message(b"x" * 5000)[:100]))
    assert peer.status(1)[0] == 8
    assert peer.resets() == {1: ErrorCode.NO_ERROR}
    # What was on its way is no error.
    peer.send(data(1, b"x" * 4905, is_last=True), call(3))
    assert peer.goaway() is None
    assert peer.resets() == {1: ErrorCode.NO_ERROR}
    assert len(peer.events()) == 1


def test_a_bad_message_ends_a_stream_the_application_knows() -> None:
    peer = Peer(TransportOptions(message_bytes_max=1000))
    peer.send(headers(1, header_block(CLIENT_STREAM.path)))
    assert len(peer.events()) == 1
    peer.send(data(1, message(b"ok") + message(b"x" * 1001)))
    *_, closed = peer.events()
    assert isinstance(closed, Closed)
    assert closed.ending is Ending.REFUSED
    assert peer.status(1)[0] == 8


def test_unknown_methods_are_answered_without_the_application() -> None:
    peer = Peer()
    peer.send(call(1, b"x", "/t.T/Missing"))
    assert peer.status(1) == (12, "unknown method Missing for service t.T")
    assert not peer.events()


def test_a_request_that_is_no_call_is_answered_as_http() -> None:
    peer = Peer()
    block = header_block().replace(b"application/grpc", b"application/json")
    peer.send(headers(1, block))
    assert not peer.take()
    peer.send(data(1, b"x" * 100), data(1, b"{}", is_last=True))
    (first, *_) = peer.take()
    assert peer.fields(first)[":status"] == "415"
    assert peer.body(1) == b"this port speaks gRPC\n"
    assert peer.transport.stream_count == 0
    assert not peer.events()


@pytest.mark.parametrize(("length", "sent"), [(3, 2), (3, 4), (0, 1)])
def test_a_content_length_must_hold(length: int, sent: int) -> None:
    peer = Peer()
    block = header_block(SERVER_STREAM.path, (b"content-length", b"%d" % length))
    peer.send(headers(1, block), data(1, b"x" * sent, is_last=True))
    assert peer.resets() == {1: ErrorCode.PROTOCOL_ERROR}
    assert not peer.events()


def test_a_content_length_beyond_a_whole_call_must_hold_too() -> None:
    peer = Peer()
    block = header_block(UNARY.path, (b"content-length", b"11"))
    peer.send(headers(1, block), data(1, message(b"hello"), is_last=True))
    assert peer.resets() == {1: ErrorCode.PROTOCOL_ERROR}
    assert not peer.events()


def test_a_content_length_that_holds() -> None:
    peer = Peer()
    block = header_block(UNARY.path, (b"content-length", b"10"))
    peer.send(headers(1, block), data(1, message(b"hello"), is_last=True))
    assert len(peer.events()) == 1


def test_cancelled_calls_are_told_unless_they_came_in_the_same_turn() -> None:
    peer = Peer()
    peer.send(call(1))
    (event,) = peer.events()
    peer.send(pack_rst_stream(1, 8), call(3), pack_rst_stream(3, 8))
    (closed,) = peer.events()
    assert isinstance(closed, Closed)
    assert closed == Closed(event.token, Ending.CANCELLED)
    peer.transport.answer(event.token, b"too late")
    assert not peer.take()


# --- streams at fault -----------------------------------------------------------------------------


def test_data_after_the_end_is_a_fault_of_the_stream() -> None:
    peer = Peer()
    peer.send(call(1), data(1, b"x"))
    assert peer.resets() == {1: ErrorCode.STREAM_CLOSED}
    assert not peer.events()


def test_data_beyond_the_window_is_a_fault_of_the_stream() -> None:
    peer = Peer(TransportOptions(stream_window_bytes=65_536))
    peer.send(headers(1, header_block(CLIENT_STREAM.path)))
    (opened,) = peer.events()
    peer.transport.hold(opened.token)
    peer.send(data(1, message(b"x" * 65_531)))
    assert not peer.resets()
    peer.send(data(1, b"x"), call(3))
    assert peer.resets() == {1: ErrorCode.FLOW_CONTROL_ERROR}


def test_the_padding_counts_for_the_windows() -> None:
    peer = Peer(TransportOptions(stream_window_bytes=65_536))
    peer.send(headers(1, header_block(CLIENT_STREAM.path)))
    peer.transport.hold(peer.events()[0].token)
    frame = pack_frame(DATA, PADDED, 1, b"\xff" + b"\x00" * 255)
    peer.send(frame * 256)
    assert not peer.resets()
    peer.send(pack_frame(DATA, PADDED, 1, b"\x00"))
    assert peer.resets() == {1: ErrorCode.FLOW_CONTROL_ERROR}


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (pack_window_update(1, 0), ErrorCode.PROTOCOL_ERROR),
        (pack_window_update(1, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
        (pack_frame(PRIORITY, 0, 1, b"1234"), ErrorCode.FRAME_SIZE_ERROR),
        (pack_frame(PRIORITY, 0, 1, b"\0\0\0\1\0"), ErrorCode.PROTOCOL_ERROR),
        (headers(1, header_block()), ErrorCode.PROTOCOL_ERROR),
        (headers(1, b"\x04\x01/", END_HEADERS | END_STREAM), ErrorCode.PROTOCOL_ERROR),
    ],
    ids=[
        *("empty window", "window too large", "priority cut short", "depends on itself"),
        *("headers again", "pseudo-header in trailers"),
    ],
)
def test_other_faults_of_a_stream(frame: bytes, code: ErrorCode) -> None:
    peer = Peer()
    peer.send(headers(1, header_block()), frame, call(3))
    assert peer.resets() == {1: code}
    assert peer.goaway() is None
    assert len(peer.events()) == 1


def test_more_streams_than_allowed_are_refused() -> None:
    peer = Peer(TransportOptions(streams_max=2))
    announced = dict(unpack_settings(peer.frames[0].payload))
    assert announced[SETTINGS_MAX_CONCURRENT_STREAMS] == 2
    peer.send(call(1), call(3), call(5))
    assert peer.resets() == {5: ErrorCode.REFUSED_STREAM}
    tokens = [event.token for event in peer.events()]
    assert len(tokens) == 2
    peer.transport.answer(tokens[0], b"")
    peer.send(call(7))
    assert len(peer.events()) == 1


def test_streams_of_all_connections_are_limited() -> None:
    first = Peer(TransportOptions(process_streams_max=3))
    second = Peer(transport=first.transport)
    first.send(call(1), call(3))
    second.send(call(1), call(3))
    assert second.resets() == {3: ErrorCode.REFUSED_STREAM}


def test_unfinished_messages_are_limited() -> None:
    peer = Peer(TransportOptions(assembling_bytes_max=10_000))
    for stream_id in (1, 3, 5):
        # Complete or not: the client keeps it here.
        content = message(b"x" * 4000)[: 4005 - stream_id // 3]
        peer.send(headers(stream_id, header_block()), data(stream_id, content))
    assert peer.status(5) == (8, "too many unfinished messages")
    peer.send(data(1, b"", is_last=True), data(3, b"x", is_last=True))
    assert len(peer.events()) == 2
    assert peer.transport.assembling_bytes_total == 0


# --- connections at fault -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param(headers(2, header_block()), 1, id="even stream"),
        pytest.param(headers(0, header_block()), 1, id="headers on stream 0"),
        pytest.param(headers(0, header_block(), 0), 1, id="continued headers on stream 0"),
        pytest.param(data(0, b"x"), 1, id="data on stream 0"),
        pytest.param(data(1, b"x"), 1, id="data on an idle stream"),
        pytest.param(pack_rst_stream(1, 8), 1, id="reset of an idle stream"),
        pytest.param(pack_rst_stream(0, 8), 1, id="reset of stream 0"),
        pytest.param(pack_window_update(1, 1), 1, id="window of an idle stream"),
        pytest.param(pack_window_update(0, 0), 1, id="window of nothing"),
        pytest.param(pack_window_update(0, 2**31 - 1), 3, id="window too large"),
        pytest.param(pack_frame(WINDOW_UPDATE, 0, 0, b"123"), 6, id="window cut short"),
        pytest.param(pack_frame(RST_STREAM, 0, 1, b"123"), 6, id="reset cut short"),
        pytest.param(pack_frame(PRIORITY, 0, 0, b"12345"), 1, id="priority of stream 0"),
        pytest.param(pack_frame(PING, 0, 0, b"1234567"), 6, id="ping cut short"),
        pytest.param(pack_frame(PING, 0, 1, b"12345678"), 1, id="ping on a stream"),
        pytest.param(pack_frame(SETTINGS, 0, 1, b""), 1, id="settings on a stream"),
        pytest.param(pack_frame(SETTINGS, 0, 0, b"1"), 6, id="settings cut short"),
        pytest.param(pack_frame(SETTINGS, ACK, 0, b"123456"), 6, id="settings in an ack"),
        pytest.param(pack_settings({SETTINGS_ENABLE_PUSH: 2}), 1, id="push neither on nor off"),
        pytest.param(pack_settings({SETTINGS_MAX_FRAME_SIZE: 16_383}), 1, id="small frames"),
        pytest.param(pack_settings({SETTINGS_MAX_FRAME_SIZE: 2**24}), 1, id="large frames"),
        pytest.param(pack_settings({SETTINGS_INITIAL_WINDOW_SIZE: 2**31}), 3, id="large window"),
        pytest.param(pack_frame(PUSH_PROMISE, 4, 1, NUMBER), 1, id="push"),
        pytest.param(pack_frame(GOAWAY, 0, 1, bytes(8)), 1, id="goaway on a stream"),
        pytest.param(pack_frame(GOAWAY, 0, 0, bytes(7)), 6, id="goaway cut short"),
        pytest.param(pack_frame(CONTINUATION, 4, 1, b""), 1, id="continuation of nothing"),
        pytest.param(headers(1, b"\x82", 0) + data(1, b""), 1, id="data within a block"),
        pytest.param(headers(1, b"", 0) + headers(3, b""), 1, id="headers within a block"),
        pytest.param(
            headers(1, b"", 0) + pack_frame(CONTINUATION, 4, 3, b""), 1, id="another's continuation"
        ),
        pytest.param(headers(1, b"\x80"), 9, id="compression"),
        pytest.param(pack_frame(DATA, 0, 1, b"x" * 16_385), 6, id="frame too large"),
        pytest.param(
            pack_frame(HEADERS, END_HEADERS | PADDED, 1, b"\x05\x82"), 1, id="padding only"
        ),
        pytest.param(pack_frame(HEADERS, END_HEADERS | PADDED, 1, b""), 6, id="no padding length"),
        pytest.param(
            pack_frame(HEADERS, END_HEADERS | HAS_PRIORITY, 1, b"1234"), 6, id="priority cut short"
        ),
        pytest.param(
            pack_frame(HEADERS, END_HEADERS | HAS_PRIORITY, 1, b"\0\0\0\1\0"), 1, id="on itself"
        ),
        pytest.param(call(5) + headers(3, header_block()), 1, id="stream passed over"),
    ],
)
def test_faults_of_the_connection(frames: bytes, code: int) -> None:
    peer = Peer()
    peer.send(frames)
    goaway = peer.goaway()
    assert goaway is not None
    assert goaway[1] == code
    assert peer.is_closed
    assert peer.transport.connection_count == 0
    assert peer.transport.stream_count == 0


def test_headers_on_a_closed_stream() -> None:
    peer = Peer()
    peer.send(call(1))
    peer.transport.answer(peer.events()[0].token, b"")
    peer.send(headers(1, header_block()))
    assert peer.goaway() == (1, ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream")


def test_data_beyond_the_connections_window() -> None:
    peer = Peer(TransportOptions(connection_window_bytes=65_536))
    # The window is opened again at once, so only a frame that was not awaited can exceed it.
    connection = peer.transport._connections[peer.number]
    connection.receive_window = 10
    peer.send(headers(1, header_block()), data(1, b"x" * 11))
    goaway = peer.goaway()
    assert goaway is not None
    assert goaway[1] == ErrorCode.FLOW_CONTROL_ERROR


def test_a_fault_ends_the_calls_of_its_connection_only() -> None:
    first = Peer()
    second = Peer(transport=first.transport)
    first.send(call(1))
    second.send(call(1))
    mine, other = first.events()
    first.send(data(0, b""))
    assert first.events() == [Closed(mine.token, Ending.LOST)]
    first.transport.answer(other.token, b"hello")
    second.take()
    assert second.body(1) == message(b"hello")


def test_the_first_frame_must_be_settings() -> None:
    for frame in (pack_frame(PING, 0, 0, bytes(8)), pack_frame(SETTINGS, ACK, 0, b"")):
        peer = Peer(is_started=False)
        peer.send(PREFACE, frame)
        goaway = peer.goaway()
        assert goaway is not None
        assert goaway[1] == ErrorCode.PROTOCOL_ERROR


# --- floods ---------------------------------------------------------------------------------------

FEW = TransportOptions(
    resets_burst=20, resets_per_second=1, idle_frames_burst=20, idle_frames_per_second=1
)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(pack_settings({}), id="settings"),
        pytest.param(pack_frame(SETTINGS, ACK, 0, b""), id="settings acks"),
        pytest.param(pack_frame(PING, ACK, 0, bytes(8)), id="ping acks"),
        pytest.param(pack_frame(PRIORITY, 0, 3, bytes(5)), id="priorities"),
        pytest.param(pack_frame(0x77, 0, 0, b""), id="unknown frames"),
        pytest.param(data(1, b""), id="empty data"),
        pytest.param(pack_window_update(0, 1), id="tiny windows"),
        pytest.param(pack_window_update(1, 1), id="tiny windows of a stream"),
        pytest.param(pack_frame(GOAWAY, 0, 0, bytes(8)), id="farewells"),
        pytest.param(data(3, b"x"), id="data on a closed stream"),
    ],
)
def test_floods_of_empty_frames_end_the_connection(frame: bytes) -> None:
    peer = Peer(FEW)
    peer.send(call(3), pack_rst_stream(3, 8), headers(5, header_block(CLIENT_STREAM.path)))
    frame = frame.replace(b"\0\0\0\1", b"\0\0\0\5", 1) if frame[8:9] == b"\x01" else frame
    peer.send(frame * 15)
    assert peer.goaway() is None
    peer.send(frame * 30)
    goaway = peer.goaway()
    assert goaway is not None
    assert goaway[1] == ErrorCode.ENHANCE_YOUR_CALM


def test_rapid_reset_ends_the_connection_and_leaves_no_work() -> None:
    peer = Peer(FEW)
    for stream_id in range(1, 1001, 2):
        peer.send(call(stream_id), pack_rst_stream(stream_id, 8))
    goaway = peer.goaway()
    assert goaway is not None
    assert goaway[1:] == (ErrorCode.ENHANCE_YOUR_CALM, "too many resets")
    assert not peer.events()


def test_resets_that_the_client_provokes_count_too() -> None:
    peer = Peer(FEW)
    for stream_id in range(1, 1001, 2):
        peer.send(call(stream_id), pack_window_update(stream_id, 0))
    goaway = peer.goaway()
    assert goaway is not None
    assert goaway[1] == ErrorCode.ENHANCE_YOUR_CALM


def test_calls_that_were_being_answered_may_be_reset_without_end() -> None:
    peer = Peer(FEW)
    for stream_id in range(1, 401, 2):
        peer.send(headers(stream_id, header_block(CLIENT_STREAM.path)))
        peer.transport.send_headers(peer.events()[0].token)
        peer.take()
        peer.send(pack_rst_stream(stream_id, 8))
        peer.events()
    assert peer.goaway() is None


def test_what_messages_bring_with_them_is_no_flood() -> None:
    peer = Peer(FEW)
    for stream_id in range(1, 401, 2):
        peer.send(call(stream_id, b"x"), pack_window_update(0, 5))
        peer.transport.answer(peer.events()[0].token, b"y")
        peer.send(pack_frame(PING, 0, 0, bytes(8)), pack_window_update(0, 5))
    assert peer.goaway() is None


@pytest.mark.parametrize("size", [0, 1, 16_000])
def test_a_block_without_end_ends_the_connection(size: int) -> None:
    peer = Peer()
    peer.send(headers(1, header_block(), 0))
    for _ in range(20):
        peer.send(pack_frame(CONTINUATION, 0, 1, b"\x00" * size))
    goaway = peer.goaway()
    assert goaway is not None
    assert goaway[1:] == (ErrorCode.ENHANCE_YOUR_CALM, "a header block too large")
