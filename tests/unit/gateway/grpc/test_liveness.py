"""Pings of both sides, time-outs, and farewells; time is what the test says it is."""

from __future__ import annotations

from tests.unit.gateway.grpc.peer import BIDI, Peer, call, header_block, headers, message, parse
from zetcd.gateway.grpc import Closed, Ending, ErrorCode, TransportOptions
from zetcd.gateway.grpc.frames import (
    ACK,
    DATA,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    SETTINGS,
    SETTINGS_INITIAL_WINDOW_SIZE,
    WINDOW_UPDATE,
    pack_frame,
    pack_settings,
)
from zetcd.gateway.grpc.liveness import ACK_HOLD_SECONDS

CLIENT_PING = pack_frame(PING, 0, 0, b"12345678")


def pass_time(peer: Peer, seconds: float) -> None:
    """Let time go by, with every timer that falls due."""
    until = peer.now + seconds
    while (due := peer.transport.next_timer()) is not None and due <= until:
        peer.now = due
        peer.transport.handle_timer(due)
    peer.now = until


def open_stream(peer: Peer) -> int:
    peer.send(headers(1, header_block(BIDI.path)))
    return peer.events()[0].token


# --- pings of the client ---------------------------------------------------------------------


def test_pings_are_answered_with_what_they_carry() -> None:
    peer = Peer()
    peer.send(CLIENT_PING)
    (pong,) = peer.take()
    assert (pong.kind, pong.flags, pong.payload) == (PING, ACK, b"12345678")


def test_the_answer_to_a_ping_leaves_with_the_answer_to_the_call() -> None:
    peer = Peer()
    peer.send(CLIENT_PING, call(1))
    assert not peer.take()
    peer.transport.answer(peer.events()[0].token, b"x")
    (output,) = peer.transport.take_output()
    kinds = [frame.kind for frame in parse(output.octets)]
    assert kinds == [HEADERS, DATA, HEADERS, PING]


def test_the_answer_to_a_ping_waits_for_a_slow_call_only_a_moment() -> None:
    peer = Peer()
    peer.send(CLIENT_PING, call(1))
    pass_time(peer, ACK_HOLD_SECONDS / 2)
    peer.send(CLIENT_PING)
    assert not peer.take()
    pass_time(peer, ACK_HOLD_SECONDS / 2)
    assert [(frame.kind, frame.flags) for frame in peer.take()] == [(PING, ACK)] * 2


def test_a_connection_that_is_lost_with_a_ping_unanswered_leaves_nothing() -> None:
    peer = Peer()
    peer.send(CLIENT_PING, call(1))
    peer.transport.lost(peer.number)
    assert not peer.take()
    assert peer.transport.next_timer() is None


def test_pings_are_answered_before_the_goodbye() -> None:
    peer = Peer()
    peer.send(CLIENT_PING, call(1))
    peer.transport.disconnect(peer.number, "enough")
    assert [frame.kind for frame in peer.take()] == [PING, GOAWAY]
    assert peer.goaway() == (1, ErrorCode.NO_ERROR, "enough")


def test_settings_are_what_the_server_says_first() -> None:
    """RFC 9113 §3.4, also when a PING has come before the server said anything."""
    peer = Peer(is_started=False)
    peer.send(PREFACE, pack_settings({}), CLIENT_PING)
    assert [frame.kind for frame in peer.take()] == [SETTINGS, WINDOW_UPDATE, SETTINGS, PING]


def test_only_some_answers_to_pings_wait() -> None:
    peer = Peer(TransportOptions(ping_strikes_max=1000))
    peer.send(call(1), CLIENT_PING * 8)
    assert not peer.take()
    peer.send(CLIENT_PING)
    assert [frame.kind for frame in peer.take()] == [PING] * 9


def test_pings_every_five_seconds_are_welcome_during_a_call() -> None:
    peer = Peer()
    open_stream(peer)
    for _ in range(100):
        peer.send(CLIENT_PING)
        pass_time(peer, 5.0)
    assert peer.goaway() is None


def test_pings_too_often_end_the_connection() -> None:
    peer = Peer()
    token = open_stream(peer)
    for _ in range(3):
        peer.send(CLIENT_PING)
        pass_time(peer, 4.9)
    assert peer.goaway() is None
    peer.send(CLIENT_PING)
    assert peer.goaway() == (1, ErrorCode.ENHANCE_YOUR_CALM, "too_many_pings")
    assert peer.is_closed
    assert peer.events() == [Closed(token, Ending.LOST)]


def test_pings_without_a_call_are_not_welcome_unless_permitted() -> None:
    strict = Peer()
    lenient = Peer(TransportOptions(may_ping_without_stream=True))
    for peer in (strict, lenient):
        for _ in range(5):
            peer.send(CLIENT_PING)
            pass_time(peer, 10.0)
    assert strict.goaway() is not None
    assert lenient.goaway() is None


def test_answers_forgive_strikes() -> None:
    peer = Peer()
    token = open_stream(peer)
    for _ in range(50):
        peer.send(CLIENT_PING)
        peer.send(CLIENT_PING)
        peer.transport.send(token, b"event")
        peer.take()
    assert peer.goaway() is None


# --- pings of the server ---------------------------------------------------------------------


def test_a_silent_client_is_pinged_and_given_up() -> None:
    peer = Peer(TransportOptions(keepalive_interval=60.0, keepalive_timeout=20.0))
    token = open_stream(peer)
    pass_time(peer, 59.0)
    assert not peer.take()
    pass_time(peer, 1.2)
    (ping,) = peer.take()
    assert (ping.kind, ping.flags) == (PING, 0)
    pass_time(peer, 21.0)
    assert peer.goaway() == (1, ErrorCode.NO_ERROR, "keepalive timed out")
    assert peer.events() == [Closed(token, Ending.LOST)]


def test_a_client_that_answers_stays() -> None:
    peer = Peer(TransportOptions(keepalive_interval=60.0, keepalive_timeout=20.0))
    for _ in range(10):
        pass_time(peer, 61.5)
        (ping,) = peer.take()
        peer.send(pack_frame(PING, ACK, 0, ping.payload))
    pass_time(peer, 59.0)
    assert peer.goaway() is None


def test_a_client_that_speaks_is_not_pinged() -> None:
    peer = Peer(TransportOptions(keepalive_interval=60.0))
    for stream_id in range(1, 41, 2):
        peer.send(call(stream_id))
        pass_time(peer, 55.0)
    assert not peer.take()


# --- time-outs -------------------------------------------------------------------------------


def test_the_handshake_has_its_time() -> None:
    silent = Peer(is_started=False)
    slow = Peer(is_started=False, transport=silent.transport)
    slow.send(PREFACE)
    pass_time(silent, 9.9)
    assert silent.transport.connection_count == 2
    pass_time(silent, 1.0)
    assert slow.goaway() == (0, ErrorCode.SETTINGS_TIMEOUT, "handshake timed out")
    assert silent.transport.connection_count == 0


def test_a_deadline_ends_its_call() -> None:
    peer = Peer()
    block = header_block(BIDI.path, (b"grpc-timeout", b"500m"))
    peer.send(headers(1, block), headers(3, header_block(BIDI.path)))
    first, _ = peer.events()
    pass_time(peer, 0.4)
    assert not peer.events()
    pass_time(peer, 0.2)
    assert peer.events() == [Closed(first.token, Ending.DEADLINE)]
    assert peer.status(1) == (4, "context deadline exceeded")
    assert peer.transport.stream_count == 1


def test_a_deadline_ends_what_never_found_a_window() -> None:
    peer = Peer(settings={SETTINGS_INITIAL_WINDOW_SIZE: 0})
    peer.send(headers(1, header_block(BIDI.path, (b"grpc-timeout", b"500m"))))
    (event,) = peer.events()
    peer.transport.answer(event.token, b"x" * 1000)
    pass_time(peer, 1.0)
    assert peer.resets() == {1: ErrorCode.CANCEL}
    assert not peer.events(), "the application had finished"
    assert peer.transport.queued_bytes_total == 0


def test_answered_calls_leave_no_deadline() -> None:
    peer = Peer()
    for stream_id in range(1, 2001, 2):
        peer.send(headers(stream_id, header_block(BIDI.path, (b"grpc-timeout", b"10S"))))
        (event,) = peer.events()
        peer.transport.answer(event.token, b"")
        peer.take()
    assert sum(len(slot) for slot in peer.transport._shared.deadlines._slots.values()) == 0


def test_a_peer_that_does_not_read_is_given_up() -> None:
    peer = Peer()
    token = open_stream(peer)
    peer.transport.pause(peer.number, peer.now)
    peer.transport.send(token, b"event")
    peer.transport.send(token, b"x" * 100_000)
    assert not peer.take(), "the socket is full"
    pass_time(peer, 59.0)
    assert not peer.events()
    pass_time(peer, 2.0)
    assert peer.events() == [Closed(token, Ending.LOST)]
    peer.take()
    assert peer.is_closed
    assert peer.transport.queued_bytes_total == 0


def test_a_peer_that_reads_on_gets_the_rest() -> None:
    peer = Peer()
    token = open_stream(peer)
    peer.transport.pause(peer.number, peer.now)
    peer.transport.send(token, b"event")
    pass_time(peer, 59.0)
    peer.transport.resume(peer.number)
    assert [frame.kind for frame in peer.take()] == [HEADERS, DATA]
    pass_time(peer, 100.0)
    assert peer.body(1) == message(b"event")


def test_a_peer_that_asks_and_does_not_read_is_given_up() -> None:
    peer = Peer(TransportOptions(control_bytes_max=1000))
    peer.transport.pause(peer.number, peer.now)
    for stream_id in range(1, 101, 2):
        peer.send(call(stream_id, b"", "/t.T/Missing"))
    peer.take()
    assert peer.is_closed


# --- farewell --------------------------------------------------------------------------------


def test_a_farewell_lets_calls_end_and_those_on_their_way_begin() -> None:
    peer = Peer()
    token = open_stream(peer)
    peer.transport.drain(peer.now, 10.0)
    goaway, ping = peer.take()
    assert (goaway.kind, goaway.payload[:4]) == (GOAWAY, b"\x7f\xff\xff\xff")
    peer.send(call(3, b"on its way"))
    (late,) = peer.events()
    peer.send(pack_frame(PING, ACK, 0, ping.payload))
    assert peer.goaway() == (3, ErrorCode.NO_ERROR, "graceful_stop")
    # What comes now was sent by a client that had been told; it is ignored, the table kept in step.
    peer.send(call(5))
    assert not peer.events()
    peer.transport.answer(late.token, b"")
    assert peer.transport.connection_count == 1
    peer.transport.finish(token)
    assert peer.status(1) == (0, "")
    assert peer.is_closed
    assert peer.transport.connection_count == 0


def test_a_farewell_ends_with_its_grace() -> None:
    peer = Peer()
    token = open_stream(peer)
    peer.transport.drain(peer.now, 5.0)
    pass_time(peer, 4.9)
    assert not peer.events()
    pass_time(peer, 0.3)
    assert peer.events() == [Closed(token, Ending.LOST)]
    peer.take()
    assert peer.is_closed


def test_idle_clients_are_gone_after_one_round_trip() -> None:
    peer = Peer()
    peer.transport.drain(peer.now, 100.0)
    _, ping = peer.take()
    peer.send(pack_frame(PING, ACK, 0, ping.payload))
    peer.take()
    assert peer.is_closed


def test_a_client_that_answers_no_ping_is_told_all_the_same() -> None:
    peer = Peer()
    peer.transport.drain(peer.now, 100.0)
    peer.take()
    pass_time(peer, 1.5)
    peer.take()
    assert peer.is_closed
