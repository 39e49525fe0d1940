"""Connections and tokens: who speaks what, who is forgotten when."""

from __future__ import annotations

import doctest

import pytest

import zetcd.gateway.grpc
from tests.unit.gateway.grpc.peer import (
    BIDI,
    UNARY,
    Peer,
    call,
    data,
    header_block,
    headers,
    message,
    methods,
)
from zetcd.gateway.grpc import (
    Call,
    Closed,
    Ending,
    Method,
    Opened,
    Sent,
    StreamMessage,
    Transport,
    TransportOptions,
)
from zetcd.gateway.grpc.frames import (
    DATA,
    END_STREAM,
    HEADERS,
    PREFACE,
    SETTINGS_INITIAL_WINDOW_SIZE,
)
from zetcd.gateway.grpc.preface import Protocol, protocol_of


@pytest.mark.parametrize(
    "request_octets",
    [b"GET / HTTP/1.1\r\n\r\n", b"POST /v3/kv/range HTTP/1.1\r\n", b"PUT", b"\x16\x03\x01", b"PRX"],
)
def test_other_protocols_are_handed_back_with_all_their_octets(request_octets: bytes) -> None:
    for cut in range(len(request_octets)):
        transport = Transport(methods())
        number = transport.connect(0.0)
        assert number is not None
        seen = transport.receive(number, request_octets[:cut], 0.0) if cut else None
        if seen is None:
            seen = transport.receive(number, request_octets[cut:], 0.0)
            assert seen == request_octets
        else:
            assert seen == request_octets[:cut]
        assert transport.connection_count == 0
        assert not transport.has_output


def test_the_preface_may_be_cut_anywhere() -> None:
    for cut in range(len(PREFACE)):
        assert protocol_of(PREFACE[:cut]) is Protocol.UNDECIDED
    peer = Peer(is_started=False)
    for octet in PREFACE:
        assert not peer.frames
        peer.send(bytes((octet,)))
    assert len(peer.take()) == 2


def test_tokens_are_never_used_twice() -> None:
    transport = Transport(methods())
    tokens = []
    for _ in range(3):
        peer = Peer(transport=transport)
        peer.send(call(1), call(3))
        tokens += [event.token for event in peer.events()]
        transport.lost(peer.number)
        transport.take_events()
    assert len(set(tokens)) == 6


def test_a_lost_connection_ends_its_calls_once() -> None:
    peer = Peer()
    peer.send(call(1))
    (event,) = peer.events()
    peer.transport.lost(peer.number)
    peer.transport.lost(peer.number)
    assert peer.events() == [Closed(event.token, Ending.LOST)]
    peer.transport.answer(event.token, b"late")
    assert not peer.transport.has_output
    assert peer.transport.receive(peer.number, b"anything", 0.0) is None
    assert peer.transport.next_timer() is None


def test_too_many_connections_are_not_taken() -> None:
    transport = Transport(methods(), TransportOptions(connections_max=2))
    assert transport.connect(0.0) is not None
    number = transport.connect(0.0)
    assert number is not None
    assert transport.connect(0.0) is None
    transport.lost(number)
    assert transport.connect(0.0) is not None


def test_a_batch_of_answers_goes_to_each_its_own() -> None:
    first = Peer()
    second = Peer(transport=first.transport)
    first.send(call(1, b"a"))
    second.send(call(1, b"b"), call(3, b"c"))
    batch = [(event.token, b"x") for event in first.events()]
    first.transport.answer_all([*batch, (12345, b"nobody")])
    outputs = {output.number: output for output in first.transport.take_output()}
    assert sorted(outputs) == [first.number, second.number]
    assert outputs[second.number].octets.count(message(b"x")) == 2


def test_a_thousand_streams_and_calls_may_be_open_at_once_on_one_connection() -> None:
    peer = Peer(settings={SETTINGS_INITIAL_WINDOW_SIZE: 2**31 - 1})
    stream_ids, call_ids = range(1, 4001, 4), range(3, 4001, 4)
    for stream_id, call_id in zip(stream_ids, call_ids, strict=True):
        peer.send(headers(stream_id, header_block(BIDI.path)), data(stream_id, message(b"s")))
        peer.send(call(call_id, b"c"))
    assert peer.transport.stream_count == 2000
    events = peer.events()
    assert [type(event) for event in events] == [Opened, StreamMessage, Call] * 1000
    for event in events:
        if isinstance(event, StreamMessage):
            assert peer.transport.send(event.token, b"x") is Sent.TAKEN
        elif isinstance(event, Call):
            peer.transport.answer(event.token, b"y")
    answered = peer.take()
    assert [f.stream_id for f in answered if f.kind == DATA] == list(range(1, 4001, 2))
    ended = [f.stream_id for f in answered if f.kind == HEADERS and f.flags & END_STREAM]
    assert ended == list(call_ids)
    assert peer.transport.stream_count == 1000


def test_disconnecting_says_why() -> None:
    peer = Peer()
    peer.transport.disconnect(peer.number, "removed")
    assert peer.goaway() == (0, 0, "removed")
    assert peer.is_closed


def test_two_methods_of_one_path_are_a_defect() -> None:
    with pytest.raises(AssertionError):
        Transport([UNARY, Method(UNARY.path)])


def test_octets_are_counted() -> None:
    peer = Peer()
    before = peer.transport.received_bytes, peer.transport.sent_bytes
    request = call(1, b"hello")
    peer.send(request)
    peer.transport.answer(peer.events()[0].token, b"hello")
    frames = peer.take()
    assert peer.transport.received_bytes - before[0] == len(request)
    assert peer.transport.sent_bytes - before[1] == sum(9 + len(f.payload) for f in frames)


def test_the_example_of_the_package_is_true() -> None:
    failures, tests = doctest.testmod(zetcd.gateway.grpc)
    assert (failures, tests > 5) == (0, True)
