"""From octets to calls: what is served, what is refused, and what it may cost."""

from __future__ import annotations

import pytest

from tests.unit.gateway.http.browser import Browser, chunk, endings, request_of
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.gateway.grpc import Call, Ending, HalfClosed, Opened, StreamMessage
from zetcd.gateway.http import Answer, HttpRequest, Surface

ANSWER = Answer(200, "text/plain", b"fine")


def test_a_call_is_protobuf_by_the_time_it_is_heard_of() -> None:
    call = Browser().call("/v3/kv/put", '{"key":"YQ==","value":"Yg=="}')
    assert call.head.method.path == "/etcdserverpb.KV/Put"
    assert call.message == pb.PutRequest(key=b"a", value=b"b").SerializeToString()
    assert call.deadline is None


def test_octets_may_be_cut_anywhere() -> None:
    browser = Browser()
    text = request_of("POST", "/v3/kv/put", '{"key":"YQ=="}').encode()
    events = [event for octet in text for event in browser.say(bytes((octet,)))]
    assert [type(event) for event in events] == [Call]


def test_bodies_may_be_chunked() -> None:
    browser = Browser()
    head = "POST /v3/kv/put HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    (call,) = browser.say(head + chunk('{"key":') + chunk('"YQ=="}') + "0\r\n\r\n")
    assert isinstance(call, Call)
    assert call.message == pb.PutRequest(key=b"a").SerializeToString()


def test_the_old_name_of_the_gateway() -> None:
    assert Browser().call("/v3beta/kv/range").head.method.path == "/etcdserverpb.KV/Range"


def test_a_time_out_of_the_client() -> None:
    browser = Browser()
    call = browser.call("/v3/kv/range", headers={"Grpc-Timeout": "500m"})
    assert call.deadline == pytest.approx(0.5)
    (closed,) = endings(browser.wait(0.6))
    assert (closed.token, closed.ending) == (call.token, Ending.DEADLINE)
    assert browser.answer()[0] == 504


def test_endpoints_are_told_their_query() -> None:
    asked = Browser().get("/health?exclude=NOSPACE&exclude=&exclude=CORRUPT&verbose")
    assert asked.request.query_values("exclude") == ("NOSPACE", "CORRUPT")
    assert asked.request.has_query("verbose")
    assert not asked.request.has_query("serializable")


def test_a_proxy_s_form_of_the_target() -> None:
    assert Browser().get("http://a:2379/health?x=1").request.path == "/health"


@pytest.mark.parametrize(
    ("request_text", "status", "body"),
    [
        (request_of("GET", "/v3/kv/put"), 501, b'"code":12,"message":"Method Not Allowed"'),
        (request_of("PUT", "/v3/kv/put", "{}"), 501, b"Method Not Allowed"),
        (request_of("POST", "/v3/kv/nothing", "{}"), 404, b'"code":5,"message":"Not Found"'),
        (request_of("POST", "/v3/kv/put", "{"), 400, b'"code":3,"message":"invalid JSON'),
        (request_of("POST", "/v3/kv/put", '{"key":"?"}'), 400, b"key: is '?', must be base64"),
        (request_of("GET", "/nowhere"), 404, b"404 page not found\n"),
        (request_of("GET", "/debug/pprof/"), 404, b"404 page not found\n"),
        (request_of("GET", "/debug/vars"), 404, b"404 page not found\n"),
        (request_of("POST", "/v3/kv/put", "{}", {"Grpc-Timeout": "x"}), 400, b"grpc-timeout"),
    ],
)
def test_what_cannot_be_served(request_text: str, status: int, body: bytes) -> None:
    browser = Browser()
    assert browser.say(request_text) == []
    answer = browser.answer()
    assert answer[0] == status
    assert body in answer[2]
    # The connection is as good as before.
    browser.get("/health")


REDIRECTION = b'<a href="/v3/">Temporary Redirect</a>.\n\n'


@pytest.mark.parametrize(
    ("method", "target", "location", "body"),
    [
        ("GET", "/v3", "/v3/", REDIRECTION),
        ("HEAD", "/v3", "/v3/", b""),
        ("POST", "/v3", "/v3/", b""),
        ("DELETE", "/v%33?a=%62&c", "/v3/?a=%62&c", b""),
        (
            "GET",
            "/v3?a=b&c=<'",
            "/v3/?a=b&c=<'",
            b'<a href="/v3/?a=b&amp;c=&lt;&#39;">Temporary Redirect</a>.\n\n',
        ),
    ],
)
def test_the_gateway_without_its_slash_is_elsewhere(
    method: str, target: str, location: str, body: bytes
) -> None:
    """As Go's ServeMux: who repeats the request there is told that nothing is found."""
    browser = Browser()
    assert browser.say(request_of(method, target)) == []
    status, headers, told = browser.answer()
    assert (status, headers["location"], told) == (307, location, body)
    html = "text/html; charset=utf-8" if method in ("GET", "HEAD") else None
    assert headers.get("content-type") == html


def test_no_gateway_is_nowhere_else() -> None:
    for browser in (Browser(has_json_gateway=False), Browser(Surface.METRICS)):
        browser.say(request_of("GET", "/v3"))
        assert browser.status() == 404


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (b"hello\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n", 400),
        (b"GET /hea\xfflth HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET health HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 20_000, 431),
    ],
)
def test_what_is_not_http(octets: bytes, status: int) -> None:
    browser = Browser()
    assert browser.say(octets) == []
    assert browser.status() == status
    assert browser.transport.stream_count == 0


def test_what_is_not_http_ends_the_connection() -> None:
    browser = Browser()
    browser.say(b"hello\r\n\r\n")
    assert not browser.is_closed, "the answer would be destroyed"
    assert browser.say(request_of("GET", "/health")) == []
    browser.wait(3)
    assert browser.is_closed


def test_a_body_that_is_announced_as_too_large_is_not_waited_for() -> None:
    browser = Browser()
    head = "POST /v3/kv/put HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n"
    assert browser.say(head + "{") == []
    status, headers, body = browser.answer()
    assert status == 413
    assert b'"message":"http: request body too large"' in body
    assert headers["connection"] == "close"
    assert browser.say("x" * 100_000) == []
    browser.wait(3)
    assert browser.is_closed


def test_a_body_that_grows_too_large() -> None:
    browser = Browser(message_bytes_max=1000)
    head = "POST /v3/kv/put HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    limit = browser.transport.options.body_bytes_max
    browser.say(head + chunk(" " * limit))
    assert browser.heard == b""
    browser.say(chunk("  "))
    assert browser.status() == 413


def test_a_message_that_is_too_large_for_a_call() -> None:
    browser = Browser(message_bytes_max=1000)
    body = '{"key":"' + "A" * 1400 + '"}'
    assert browser.say(request_of("POST", "/v3/kv/put", body)) == []
    status, _, answer = browser.answer()
    assert status == 429
    assert b"grpc: received message larger than max (1053 vs. 1000)" in answer


def test_bodies_of_all_connections_have_a_limit() -> None:
    browser = Browser(process_body_bytes_max=100)
    head = "POST /v3/kv/put HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
    browser.say(head + " " * 100)
    assert browser.heard == b""
    browser.say(" ")
    assert browser.status() == 429
    assert browser.transport._shared.body_bytes == 0


def test_messages_without_end_count_among_the_bodies_of_all_connections() -> None:
    browser = Browser(process_body_bytes_max=100)
    browser.open("/v3/watch")
    browser.say(chunk('{"x":"' + "y" * 90))
    assert browser.heard == b""
    browser.say(chunk("y" * 10))
    assert browser.status() == 429
    assert browser.transport._shared.body_bytes == 0


def test_messages_that_have_ended_are_not_kept() -> None:
    browser = Browser(process_body_bytes_max=100)
    browser.open("/v3/watch")
    for _ in range(100):
        browser.say(chunk('{"create_request":{"key":"Zm9v"}}{"create'))
        browser.say(chunk('_request":{}}'))
    assert browser.heard == b""
    browser.say(chunk('{"create'))
    browser.transport.lost(browser.number)
    assert browser.transport._shared.body_bytes == 0


def test_endpoints_want_no_body() -> None:
    browser = Browser()
    head = "GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"
    browser.say(head + "x" * 70_000)
    assert browser.status() == 413


def test_a_client_that_asks_first_whether_to_go_on() -> None:
    browser = Browser()
    head = "HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
    assert browser.say(f"POST /v3/kv/put {head}Content-Length: 2\r\n\r\n") == []
    assert browser.heard.startswith(b"HTTP/1.1 100 ")
    assert [type(event) for event in browser.say("{}")] == [Call]


@pytest.mark.parametrize(
    ("path", "length", "status"), [("/v3/nowhere", 2, 404), ("/v3/kv/put", 99_999_999, 413)]
)
def test_a_client_that_asks_first_and_had_better_not(path: str, length: int, status: int) -> None:
    browser = Browser()
    head = f"HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
    assert browser.say(f"POST {path} {head}") == []
    assert browser.status() == status


def test_requests_behind_each_other_are_served_one_after_the_other() -> None:
    browser = Browser()
    (first,) = browser.say(request_of("GET", "/health") * 2)
    assert isinstance(first, HttpRequest)
    browser.transport.respond(first.token, ANSWER)
    (second,) = browser.listen()
    assert isinstance(second, HttpRequest)
    assert second.token != first.token


def test_thousands_of_refused_requests_at_once() -> None:
    browser = Browser()
    assert browser.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 5000) == []
    assert browser.heard.count(b"HTTP/1.1 404 ") == 5000


def test_there_is_a_little_room_for_requests_before_the_answer() -> None:
    browser = Browser()
    browser.call("/v3/kv/range")
    assert browser.say("x" * 60_000) == []
    assert not browser.is_closed
    (closed,) = endings(browser.say("x" * 10_000))
    assert closed.ending is Ending.REFUSED
    assert browser.status() == 400


def test_the_metrics_listener_has_no_gateway() -> None:
    browser = Browser(Surface.METRICS)
    assert browser.say(request_of("POST", "/v3/kv/put", "{}")) == []
    assert browser.answer()[0] == 404
    assert browser.say(request_of("GET", "/version")) == []
    assert browser.answer()[0] == 404
    assert browser.get("/health").surface is Surface.METRICS


def test_a_gateway_that_is_turned_off() -> None:
    browser = Browser(has_json_gateway=False)
    assert browser.say(request_of("POST", "/v3/kv/put", "{}")) == []
    assert browser.answer()[::2] == (404, b"404 page not found\n")


# --- streams -----------------------------------------------------------------------------------


def messages(events: list[object]) -> list[bytes]:
    return [event.message for event in events if isinstance(event, StreamMessage)]


def test_messages_of_a_stream_are_heard_of_as_they_come() -> None:
    browser = Browser()
    opened = browser.open("/v3/lease/keepalive")
    first = browser.say(chunk('{"ID":1} {"ID"'))
    assert messages(list(first)) == [pb.LeaseKeepAliveRequest(ID=1).SerializeToString()]
    second = browser.say(chunk(":2}") + "0\r\n\r\n")
    assert messages(list(second)) == [pb.LeaseKeepAliveRequest(ID=2).SerializeToString()]
    assert second[-1] == HalfClosed(opened.token)


def test_a_stream_in_one_body() -> None:
    browser = Browser()
    body = '{"create_request":{"key":"YQ=="}}\n{"progress_request":{}}\n'
    opened, first, second, end = browser.say(request_of("POST", "/v3/watch", body))
    assert isinstance(opened, Opened)
    assert opened.head.method.path == "/etcdserverpb.Watch/Watch"
    assert isinstance(first, StreamMessage)
    assert isinstance(second, StreamMessage)
    assert end == HalfClosed(opened.token)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("[]", b"must begin here"), ('{"ID":"x"}', b"ID: is 'x'"), ("{" * 99, None)],
)
def test_a_stream_that_goes_wrong(text: str, wrong: bytes | None) -> None:
    browser = Browser()
    opened = browser.open("/v3/lease/keepalive")
    events = browser.say(chunk(text) + "0\r\n\r\n")
    (closed,) = endings(events)
    assert (closed.token, closed.ending) == (opened.token, Ending.REFUSED)
    status, _, body = browser.answer()
    assert status == 400
    assert body.startswith(b'{"error":{"code":3,')
    assert wrong is None or wrong in body


def test_a_stream_that_nobody_takes_is_kept_a_little() -> None:
    browser = Browser(held_bytes_max=1000)
    opened = browser.open("/v3/lease/keepalive")
    browser.transport.hold(opened.token)
    assert browser.say(chunk('{"ID":1}' * 2)) == []
    browser.transport.release(opened.token)
    assert len(messages(list(browser.listen()))) == 2
    browser.transport.hold(opened.token)
    (closed,) = endings(browser.say(chunk('{"ID":1}' * 100)))
    assert closed.ending is Ending.REFUSED
    assert browser.status() == 429


def test_the_end_of_a_stream_waits_behind_what_nobody_takes() -> None:
    browser = Browser()
    opened = browser.open("/v3/lease/keepalive")
    browser.transport.hold(opened.token)
    assert browser.say(chunk('{"ID":1}') + "0\r\n\r\n") == []
    browser.transport.release(opened.token)
    assert [type(event) for event in browser.listen()] == [StreamMessage, HalfClosed]
