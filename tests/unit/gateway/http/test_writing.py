"""Answers: whole ones, lines, lists in parts."""

from __future__ import annotations

import json

from tests.unit.gateway.http.browser import Browser, chunk, request_of
from zetcd.errors import Code
from zetcd.gateway.etcd.proto import kv_pb2
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.gateway.grpc import Call, Opened, Sent, Status, Writable
from zetcd.gateway.http import Answer, HttpRequest


def test_an_answer_is_json() -> None:
    browser = Browser()
    call = browser.call("/v3/kv/put")
    header = pb.ResponseHeader(cluster_id=1, revision=2)
    browser.transport.answer(call.token, pb.PutResponse(header=header).SerializeToString())
    browser.listen()
    status, headers, body = browser.answer()
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert body == b'{"header":{"cluster_id":"1","revision":"2"}}'
    assert not browser.is_closed
    assert call.head.method.figures.handled[Code.OK] == 1


def test_an_error_is_json() -> None:
    browser = Browser()
    call = browser.call("/v3/lease/revoke")
    status = Status(Code.NOT_FOUND, "etcdserver: requested lease not found")
    browser.transport.finish(call.token, status)
    browser.listen()
    code, headers, body = browser.answer()
    assert code == 404
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {
        "error": status.message,
        "code": 5,
        "message": status.message,
    }
    assert call.head.method.figures.handled[Code.NOT_FOUND] == 1


def test_head_gets_the_head() -> None:
    browser = Browser()
    (asked,) = browser.say(request_of("HEAD", "/health"))
    assert isinstance(asked, HttpRequest)
    browser.transport.respond(asked.token, Answer(200, "text/plain", b"fine"))
    browser.listen()
    _, headers, body = browser.answer()
    assert (headers["content-length"], body) == ("4", b"")


def test_old_clients_are_answered_until_the_end_of_the_connection() -> None:
    browser = Browser()
    (opened, _, _) = browser.say(
        'POST /v3/watch HTTP/1.0\r\nHost: a\r\nContent-Length: 24\r\n\r\n{"progress_request":{}} '
    )
    assert isinstance(opened, Opened)
    browser.transport.send(opened.token, pb.WatchResponse(created=True).SerializeToString())
    browser.transport.finish(opened.token)
    browser.listen()
    assert browser.is_closed
    assert browser.answer()[2] == b'{"result":{"created":true}}\n'


def test_a_stream_is_lines_until_it_ends() -> None:
    browser = Browser()
    opened = browser.open("/v3/watch")
    for watch_id in (0, 1):
        message = pb.WatchResponse(watch_id=watch_id, created=True).SerializeToString()
        assert browser.transport.send(opened.token, message) is Sent.TAKEN
    browser.listen()
    assert b'{"result":{"watch_id":"1","created":true}}\n' in browser.heard
    browser.transport.finish(opened.token, Status(Code.UNAVAILABLE, "etcdserver: no leader"))
    browser.listen()
    status, headers, body = browser.answer()
    assert status == 200
    assert headers["content-type"] == "application/json"
    assert body.splitlines()[-1] == b'{"error":{"code":14,"message":"etcdserver: no leader"}}'


def test_a_stream_that_fails_before_it_begins_says_so_in_its_status() -> None:
    browser = Browser()
    opened = browser.open("/v3/watch")
    browser.transport.finish(opened.token, Status(Code.UNAVAILABLE, "etcdserver: no leader"))
    browser.listen()
    status, _, body = browser.answer()
    assert status == 503
    assert body == b'{"error":{"code":14,"message":"etcdserver: no leader"}}\n'


def test_a_stream_whose_client_goes_on_talking_ends_with_its_connection() -> None:
    browser = Browser()
    opened = browser.open("/v3/watch")
    browser.transport.finish(opened.token)
    assert browser.say(chunk("{}")) == []
    browser.wait(3)
    assert browser.is_closed


def part(*keys: bytes, header: pb.ResponseHeader | None = None, count: int = 0) -> bytes:
    kvs = [kv_pb2.KeyValue(key=key) for key in keys]
    return pb.RangeResponse(header=header, kvs=kvs, count=count).SerializeToString()


def test_a_list_in_parts_is_one_document() -> None:
    browser = Browser()
    call = browser.call("/v3/kv/range")
    header = pb.ResponseHeader(revision=9)
    parts = [part(header=header), part(b"a", b"b"), part(b"c"), part(b"", b"d", count=5)]
    assert browser.transport.begin_message(call.token, sum(map(len, parts))) is Sent.TAKEN
    for each in parts:
        assert browser.transport.send_part(call.token, each) is Sent.TAKEN
    browser.transport.finish(call.token)
    browser.listen()
    _, headers, body = browser.answer()
    assert headers["transfer-encoding"] == "chunked"
    assert body == (
        b'{"header":{"revision":"9"},"kvs":[{"key":"YQ=="},{"key":"Yg=="},{"key":"Yw=="},{},'
        b'{"key":"ZA=="}],"count":"5"}'
    )
    browser.get("/health")


def test_a_list_without_a_key_in_its_last_part() -> None:
    browser = Browser()
    call = browser.call("/v3/kv/range")
    parts = [part(b"a"), part()]
    browser.transport.begin_message(call.token, sum(map(len, parts)))
    for each in parts:
        browser.transport.send_part(call.token, each)
    browser.transport.finish(call.token)
    browser.listen()
    assert browser.answer()[2] == b'{"kvs":[{"key":"YQ=="}]}'


def test_a_list_that_breaks_off_is_seen_to_be_broken() -> None:
    browser = Browser()
    call = browser.call("/v3/kv/range")
    browser.transport.begin_message(call.token, 1000)
    browser.transport.send_part(call.token, part(b"a"))
    browser.transport.finish(call.token, Status(Code.OUT_OF_RANGE, "compacted"))
    browser.listen()
    assert browser.is_closed
    assert not browser.heard.endswith(b"0\r\n\r\n")


def test_a_client_that_does_not_read_is_waited_for() -> None:
    browser = Browser(queue_bytes_max=1000)
    opened = browser.open("/v3/watch")
    transport = browser.transport
    transport.pause(browser.number, 0.0)
    message = pb.WatchResponse(cancel_reason="x" * 600).SerializeToString()
    sent = [transport.send(opened.token, message) for _ in range(3)]
    assert sent == [Sent.TAKEN, Sent.TAKEN, Sent.FULL]
    assert browser.listen() == []
    transport.resume(browser.number)
    assert browser.listen() == [Writable(opened.token)]
    assert transport.send(opened.token, message) is Sent.TAKEN


def test_answers_to_calls_that_are_over_are_dropped() -> None:
    browser = Browser()
    call = browser.call("/v3/kv/range")
    transport = browser.transport
    transport.lost(browser.number)
    transport.take_events()
    transport.answer(call.token, b"")
    transport.finish(call.token)
    transport.respond(call.token, Answer(200, "text/plain", b""))
    transport.hold(call.token)
    transport.release(call.token)
    transport.send_headers(call.token)
    assert transport.send(call.token, b"") is Sent.GONE
    assert transport.begin_message(call.token, 1) is Sent.GONE
    assert transport.send_part(call.token, b"") is Sent.GONE
    assert transport.queued_bytes(call.token) == 0
    assert transport.take_output() == []


def test_a_call_of_a_stream_may_have_one_answer() -> None:
    browser = Browser()
    call = browser.call("/v3/election/observe")
    assert isinstance(call, Call)
    browser.transport.answer(call.token, b"")
    browser.listen()
    assert browser.answer()[2] == b'{"result":{}}\n'
