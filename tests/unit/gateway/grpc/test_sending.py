"""What goes out: in order, within every window, everybody in turn, never without a bound."""

from __future__ import annotations

import pytest

from tests.unit.gateway.grpc.peer import (
    BIDI,
    SERVER_STREAM,
    UNARY,
    Frame,
    Peer,
    call,
    data,
    header_block,
    headers,
    message,
)
from zetcd.errors import Code
from zetcd.gateway.grpc import HandlingTimes, Sent, Status, TransportOptions, Writable
from zetcd.gateway.grpc.frames import (
    DATA,
    END_STREAM,
    HEADERS,
    RST_STREAM,
    SETTINGS_INITIAL_WINDOW_SIZE,
    pack_rst_stream,
    pack_settings,
)
from zetcd.runtime.clock import ManualClock

#: A client that lets the server send nothing until it says so.
CLOSED = {SETTINGS_INITIAL_WINDOW_SIZE: 0}
WIDE = {SETTINGS_INITIAL_WINDOW_SIZE: 2**31 - 1}


def opened(peer: Peer, *stream_ids: int, path: str = SERVER_STREAM.path) -> list[int]:
    """Return the tokens of new calls."""
    peer.send(*(call(stream_id, b"", path) for stream_id in stream_ids))
    return [event.token for event in peer.events()]


def shape(frames: list[Frame]) -> list[tuple[int, int, int]]:
    return [(frame.stream_id, frame.kind, len(frame.payload)) for frame in frames]


def test_an_answer_is_headers_message_and_trailers() -> None:
    peer = Peer()
    (token,) = opened(peer, 1, path=UNARY.path)
    peer.transport.answer(token, b"hello")
    first, middle, last = peer.take()
    assert peer.fields(first) == {":status": "200", "content-type": "application/grpc"}
    assert middle.payload == message(b"hello")
    assert peer.fields(last) == {"grpc-status": "0"}
    assert [frame.flags & END_STREAM for frame in (first, middle, last)] == [0, 0, 1]
    assert peer.transport.stream_count == 0
    peer.transport.answer(token, b"again")
    assert not peer.take()


def test_an_error_is_one_block() -> None:
    peer = Peer()
    (token,) = opened(peer, 1, path=UNARY.path)
    peer.transport.finish(token, Status(Code.NOT_FOUND, "lease not found"))
    (only,) = peer.take()
    assert peer.fields(only) == {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-status": "5",
        "grpc-message": "lease not found",
    }
    assert only.flags & END_STREAM


def test_the_end_of_a_call_the_client_has_not_ended_resets_it() -> None:
    peer = Peer()
    peer.send(headers(1, header_block(BIDI.path)))
    (event,) = peer.events()
    peer.transport.answer(event.token, b"enough")
    assert [frame.kind for frame in peer.take()] == [HEADERS, DATA, HEADERS, RST_STREAM]
    peer.send(data(1, message(b"on its way")), pack_rst_stream(1, 8))
    assert peer.goaway() is None
    assert not peer.events()


def test_nothing_is_sent_without_a_window_and_everything_with_one() -> None:
    peer = Peer(settings=CLOSED)
    (token,) = opened(peer, 1, path=UNARY.path)
    peer.transport.answer(token, b"hello")
    assert shape(peer.take()) == [(1, HEADERS, shape(peer.frames)[-1][2])]
    peer.open_window(1, 3)
    assert peer.body(1) == message(b"hello")[:3]
    peer.send(pack_settings({SETTINGS_INITIAL_WINDOW_SIZE: 4}))
    assert peer.body(1) == message(b"hello")[:7]
    peer.send(pack_settings({SETTINGS_INITIAL_WINDOW_SIZE: 0}))
    peer.open_window(1, 4)
    assert peer.body(1) == message(b"hello")[:7], "the window was negative"
    peer.open_window(1, 100)
    assert peer.body(1) == message(b"hello")
    assert peer.status(1) == (0, "")
    assert peer.transport.queued_bytes_total == 0


def test_a_window_that_shrinks_stops_a_stream_whose_turn_was_near() -> None:
    peer = Peer()
    token, other = opened(peer, 1, 3)
    peer.transport.pause(peer.number, peer.now)
    for each in (token, other):
        peer.transport.send(each, b"x" * 995)
    peer.send(pack_settings({SETTINGS_INITIAL_WINDOW_SIZE: 0}))
    peer.transport.resume(peer.number)
    assert DATA not in [frame.kind for frame in peer.take()]
    peer.open_window(3, 1000)
    assert peer.body(3) == message(b"x" * 995)
    assert peer.body(1) == b""


def test_the_window_of_the_connection_holds_for_all_streams() -> None:
    peer = Peer(settings=WIDE)
    tokens = opened(peer, 1, 3, path=UNARY.path)
    for token in tokens:
        peer.transport.answer(token, b"x" * 50_000)
    sent = sum(len(frame.payload) for frame in peer.take() if frame.kind == DATA)
    assert sent == 65_535
    peer.open_window(0, 100_000)
    assert peer.body(1) == peer.body(3) == message(b"x" * 50_000)
    assert {peer.status(1), peer.status(3)} == {(0, "")}


def test_small_answers_use_up_the_window_of_the_connection() -> None:
    peer = Peer(settings=WIDE)
    for stream_id in range(1, 201, 2):
        (token,) = opened(peer, stream_id, path=UNARY.path)
        peer.transport.answer(token, b"x" * 995)
    sent = sum(len(frame.payload) for frame in peer.take() if frame.kind == DATA)
    assert sent == 65_535
    peer.open_window(0, 100_000)
    sent += sum(len(frame.payload) for frame in peer.take() if frame.kind == DATA)
    assert sent == 100_000


def test_who_waits_comes_before_who_comes() -> None:
    peer = Peer(settings=WIDE)
    large, small = opened(peer, 1, 3, path=UNARY.path)
    peer.transport.answer(large, b"x" * 200_000)
    peer.take()
    peer.open_window(0, 1000)
    peer.transport.answer(small, b"quick")
    assert [frame.stream_id for frame in peer.take() if frame.kind == DATA] == [1]
    peer.open_window(0, 1000)
    assert [frame.stream_id for frame in peer.take() if frame.kind == DATA] == [3, 1]


def test_streams_take_turns() -> None:
    peer = Peer(settings=WIDE)
    peer.open_window(0, 2**30)
    large, small, other = opened(peer, 1, 3, 5)
    transport = peer.transport
    assert transport.begin_message(large, 1_000_000) is Sent.TAKEN
    assert transport.send_part(large, b"x" * 1_000_000) is Sent.TAKEN
    for token in (small, other):
        assert transport.send(token, b"event") is Sent.TAKEN
    order = [frame.stream_id for frame in peer.take() if frame.kind == DATA]
    assert order[:3] == [1, 3, 5]
    assert len(order) > 60


def test_a_stalled_stream_holds_up_nobody() -> None:
    peer = Peer()
    stalled, quick = opened(peer, 1, 3)
    transport = peer.transport
    while transport.send(stalled, b"x" * 10_000) is Sent.TAKEN:
        peer.take()
        peer.open_window(0, 100_000)
    for _ in range(100):
        assert transport.send(quick, b"event") is Sent.TAKEN
        assert [frame.stream_id for frame in peer.take() if frame.kind == DATA] == [3]
        peer.open_window(0, 100_000)


def test_small_messages_that_wait_share_frames() -> None:
    peer = Peer(settings=CLOSED)
    (token,) = opened(peer, 1)
    for number in range(100):
        peer.transport.send(token, b"%d" % number)
    peer.open_window(1, 100_000)
    assert [frame.kind for frame in peer.take()] == [HEADERS, DATA]
    assert peer.body(1) == b"".join(message(b"%d" % number) for number in range(100))


def test_a_full_queue_says_so_and_when_there_is_room() -> None:
    peer = Peer(TransportOptions(stream_queue_bytes_max=10_000), settings=CLOSED)
    (token,) = opened(peer, 1)
    taken = 0
    while peer.transport.send(token, b"x" * 995) is Sent.TAKEN:
        taken += 1
    assert taken == 10
    peer.open_window(1, 4000)
    peer.take()
    assert not peer.events()
    peer.open_window(1, 1000)
    peer.take()
    assert peer.events() == [Writable(token)]
    peer.open_window(1, 5000)
    peer.take()
    assert not peer.events(), "told once"
    assert peer.transport.send(token, b"") is Sent.TAKEN


def test_streams_of_a_full_connection_wait_unless_they_are_empty() -> None:
    options = TransportOptions(stream_queue_bytes_max=10_000, connection_queue_bytes_max=15_000)
    peer = Peer(options, settings=CLOSED)
    first, second, third = opened(peer, 1, 3, 5)
    for token in (first, second):
        for _ in range(7):
            assert peer.transport.send(token, b"x" * 995) is Sent.TAKEN
    assert peer.transport.send(first, b"x" * 995) is Sent.TAKEN
    assert peer.transport.send(first, b"x") is Sent.FULL
    assert peer.transport.send(third, b"x") is Sent.TAKEN
    # New calls are refused: their answers would wait as well.
    peer.send(call(7))
    assert peer.status(7) == (8, "too many answers wait to be read")
    peer.open_window(1, 8000)
    peer.take()
    assert Writable(first) in peer.events()


def test_the_connection_with_the_most_pays_when_all_is_full() -> None:
    options = TransportOptions(process_queue_bytes_max=100_000)
    greedy = Peer(options, settings=CLOSED)
    modest = Peer(transport=greedy.transport, settings=CLOSED)
    tokens = opened(greedy, *range(1, 21, 2))
    (other,) = opened(modest, 1)
    assert greedy.transport.send(other, b"x" * 20_000) is Sent.TAKEN
    for token in tokens:
        assert greedy.transport.send(token, b"x" * 15_000) is Sent.TAKEN
    goaway = greedy.goaway()
    assert goaway is not None
    assert goaway[2] == "too much waits to be read"
    assert greedy.transport.queued_bytes_total == 20_005
    assert modest.goaway() is None


def test_a_call_that_is_gone_takes_nothing() -> None:
    peer = Peer(settings=CLOSED)
    (token,) = opened(peer, 1)
    peer.transport.send(token, b"x" * 1000)
    peer.send(pack_rst_stream(1, 8))
    assert peer.transport.send(token, b"x") is Sent.GONE
    assert peer.transport.begin_message(token, 5) is Sent.GONE
    assert peer.transport.send_part(token, b"x") is Sent.GONE
    assert peer.transport.queued_bytes_total == 0
    peer.transport.finish(token)
    peer.transport.send_headers(token)
    peer.transport.hold(token)
    peer.transport.release(token)


def test_parts_make_one_message() -> None:
    peer = Peer(settings=WIDE)
    peer.open_window(0, 2**30)
    (token,) = opened(peer, 1, path=UNARY.path)
    transport = peer.transport
    assert transport.begin_message(token, 300_000) is Sent.TAKEN
    for _ in range(3):
        assert transport.send_part(token, b"x" * 100_000) is Sent.TAKEN
    transport.finish(token)
    assert peer.body(1) == message(b"x" * 300_000)
    (token,) = opened(peer, 3)
    transport.begin_message(token, 1)
    with pytest.raises(AssertionError, match="more octets"):
        transport.send_part(token, b"xx")


def test_a_turn_writes_no_more_than_its_share() -> None:
    peer = Peer(TransportOptions(turn_bytes_max=50_000), settings=WIDE)
    peer.open_window(0, 2**30)
    (token,) = opened(peer, 1, path=UNARY.path)
    peer.transport.answer(token, b"x" * 500_000)
    pieces = []
    while peer.transport.has_output:
        pieces += [len(output.octets) for output in peer.transport.take_output()]
    assert max(pieces) < 50_000 + 17_000
    assert len(pieces) >= 8


def test_a_held_stream_gets_no_window_until_it_is_released() -> None:
    peer = Peer(TransportOptions(stream_window_bytes=65_536))
    peer.send(headers(1, header_block(BIDI.path)))
    (event,) = peer.events()
    peer.transport.hold(event.token)
    peer.send(data(1, message(b"x" * 59_995)))
    assert 1 not in [frame.stream_id for frame in peer.take()]
    peer.transport.release(event.token)
    (update,) = [frame for frame in peer.take() if frame.stream_id == 1]
    assert int.from_bytes(update.payload, "big") == 60_000


def test_figures_count_calls_and_messages() -> None:
    peer = Peer()
    tokens = opened(peer, 1, 3, 5, path=UNARY.path)
    peer.transport.answer(tokens[0], b"")
    peer.transport.finish(tokens[1], Status(Code.NOT_FOUND))
    peer.send(pack_rst_stream(5, 8))
    figures = peer.transport.methods[0].figures
    assert (figures.started, figures.messages_received, figures.messages_sent) == (3, 3, 1)
    assert (figures.handled[0], figures.handled[5], figures.handled[1]) == (1, 1, 1)
    assert sum(figures.handled) == 3


def test_times_of_calls_are_measured_where_that_is_asked_for() -> None:
    peer, clock = Peer(), ManualClock()
    figures = peer.transport.methods[0].figures
    figures.times = HandlingTimes(clock.now)
    tokens = opened(peer, 1, 3, 5, 7, path=UNARY.path)
    clock.advance(0.2)
    peer.transport.answer(tokens[0], b"")
    peer.transport.finish(tokens[1], Status(Code.NOT_FOUND))
    peer.send(pack_rst_stream(5, 8))
    clock.advance(2)
    peer.transport.lost(peer.number)
    histogram = figures.times.histogram
    assert histogram.sum == pytest.approx(3 * 0.2 + 2.2)
    assert sum(histogram.counts) == sum(figures.handled) == figures.started == 4
