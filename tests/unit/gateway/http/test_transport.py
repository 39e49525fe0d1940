"""Connections: how many, how long, and their ends."""

from __future__ import annotations

import pytest

from tests.unit.gateway.http.browser import Browser, chunk, endings, request_of
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.gateway.grpc import Ending, HandlingTimes
from zetcd.gateway.http import Answer
from zetcd.runtime.clock import ManualClock


def test_there_is_room_for_so_many() -> None:
    browser = Browser(connections_max=2)
    transport = browser.transport
    assert transport.connect(0.0) is not None
    assert transport.connect(0.0) is None
    transport.lost(browser.number)
    assert transport.connect(0.0) is not None
    assert transport.connection_count == 2


def test_a_connection_that_says_nothing() -> None:
    browser = Browser()
    browser.wait(9)
    assert not browser.is_closed
    browser.wait(2)
    assert browser.is_closed


def test_a_head_that_does_not_end() -> None:
    browser = Browser()
    for _ in range(9):
        browser.wait(1)
        browser.say("GET /health HTTP/1.1\r\n" if browser.now == 1 else "X: y\r\n")
    browser.wait(2)
    assert browser.is_closed


def test_a_body_that_does_not_end() -> None:
    browser = Browser()
    browser.say("POST /v3/kv/put HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
    for _ in range(62):
        browser.wait(1)
        browser.say(" ")
    assert browser.is_closed
    assert browser.transport._shared.body_bytes == 0


def test_silence_after_an_answer() -> None:
    browser = Browser()
    asked = browser.get("/health")
    browser.wait(1000)
    assert not browser.is_closed, "a request that is served has its own time-out"
    browser.transport.respond(asked.token, Answer(200, "text/plain", b""))
    browser.listen()
    browser.wait(119)
    assert not browser.is_closed
    browser.wait(2)
    assert browser.is_closed


def test_streams_may_be_silent() -> None:
    browser = Browser()
    browser.open("/v3/watch")
    browser.say(chunk("{}"))
    browser.wait(100_000)
    assert not browser.is_closed


def test_a_peer_that_reads_nothing() -> None:
    browser = Browser()
    opened = browser.open("/v3/watch")
    browser.transport.pause(browser.number, 0.0)
    browser.transport.send(opened.token, b"")
    assert endings(browser.wait(59)) == []
    (closed,) = endings(browser.wait(2))
    assert closed.ending is Ending.LOST
    assert browser.is_closed
    assert browser.transport.queued_bytes_total == 0


def test_a_client_that_leaves() -> None:
    browser = Browser()
    call = browser.call("/v3/kv/range")
    browser.transport.lost(browser.number)
    (closed,) = endings(browser.listen())
    assert (closed.token, closed.ending) == (call.token, Ending.LOST)
    assert browser.transport.connection_count == 0
    assert browser.transport.stream_count == 0


def test_when_too_much_waits_the_largest_goes() -> None:
    browser = Browser(process_queue_bytes_max=1000)
    opened = browser.open("/v3/watch")
    browser.transport.pause(browser.number, 0.0)
    browser.transport.send(
        opened.token, pb.WatchResponse(cancel_reason="x" * 2000).SerializeToString()
    )
    (closed,) = endings(browser.listen())
    assert closed.ending is Ending.LOST
    assert browser.is_closed


def test_farewell() -> None:
    browser = Browser()
    call = browser.call("/v3/kv/range")
    idle = browser.transport.connect(0.0)
    browser.transport.drain(0.0, 1.0)
    outputs = browser.transport.take_output()
    assert [(output.number, output.is_last) for output in outputs] == [(idle, True)]
    browser.transport.answer(call.token, b"")
    browser.listen()
    assert browser.is_closed
    assert browser.answer()[1]["connection"] == "close"


def test_octets_are_counted() -> None:
    browser = Browser()
    text = request_of("GET", "/nowhere")
    browser.say(text)
    assert browser.transport.received_bytes == len(text)
    assert browser.transport.sent_bytes == len(browser.heard)


def test_times_of_calls_are_measured_where_that_is_asked_for() -> None:
    browser, clock = Browser(), ManualClock()
    call = browser.call("/v3/kv/range")
    figures = call.head.method.figures
    figures.times = HandlingTimes(clock.now)
    browser.transport.answer(call.token, b"")
    call = browser.call("/v3/kv/range")
    clock.advance(0.2)
    browser.transport.answer(call.token, b"")
    browser.call("/v3/kv/range")
    clock.advance(1)
    browser.transport.lost(browser.number)
    assert figures.times.histogram.sum == pytest.approx(1.2)
    assert sum(figures.handled) == figures.started == 3
