"""Streams over WebSocket: a JSON message for each text frame, in both directions."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from tests.unit.gateway.http.browser import Browser, endings, masked, request_of
from zetcd.errors import Code
from zetcd.gateway.etcd.proto import rpc_pb2 as pb
from zetcd.gateway.grpc import Call, Ending, HalfClosed, Opened, Sent, Status, StreamMessage
from zetcd.gateway.http import HttpEvent
from zetcd.gateway.http.frames import BINARY_FRAME, CLOSE, PING, TEXT_FRAME

UPGRADE = {
    "Connection": "keep-alive, Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}
CREATE = b'{"create_request":{"key":"Zm9v"}}'


def asked(browser: Browser, path: str = "/v3/watch", more: Mapping[str, str] | None = None) -> str:
    """Ask for a WebSocket; return the first line of the answer."""
    events = browser.say(request_of("GET", path, "", UPGRADE | dict(more or {})))
    assert not [each for each in events if not isinstance(each, Opened)]
    return browser.heard.partition(b"\r\n")[0].decode()


def switched(browser: Browser, path: str = "/v3/watch") -> list[HttpEvent]:
    """Switch to WebSocket; return what the application hears."""
    events = browser.say(request_of("GET", path, "", UPGRADE))
    head, _, rest = browser.heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    # The example of RFC 6455.
    assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
    browser.heard = rest
    return events


def frames(browser: Browser) -> list[tuple[int, bytes]]:
    """Take the frames that were heard; they are short."""
    heard, browser.heard = browser.heard, b""
    found = []
    while heard:
        size = heard[1]
        assert size < 126
        found.append((heard[0] & 0xF, heard[2 : 2 + size]))
        heard = heard[2 + size :]
    return found


def test_a_watch() -> None:
    browser = Browser()
    (opened,) = switched(browser)
    assert isinstance(opened, Opened)
    (message,) = browser.say(masked(TEXT_FRAME, CREATE))
    assert isinstance(message, StreamMessage)
    assert pb.WatchRequest.FromString(message.message).create_request.key == b"foo"
    created = pb.WatchResponse(created=True, watch_id=7).SerializeToString()
    assert browser.transport.send(opened.token, created) is Sent.TAKEN
    browser.listen()
    ((opcode, text),) = frames(browser)
    assert opcode == TEXT_FRAME
    assert json.loads(text) == {"result": {"created": True, "watch_id": "7"}}
    (again,) = browser.say(masked(BINARY_FRAME, CREATE + b"\n"))
    assert isinstance(again, StreamMessage)


def test_what_comes_with_the_request_is_not_lost() -> None:
    browser = Browser()
    request = request_of("GET", "/v3/watch", "", UPGRADE).encode()
    events = browser.say(request + masked(TEXT_FRAME, CREATE) * 2)
    assert [type(each) for each in events] == [Opened, StreamMessage, StreamMessage]


def test_a_call_with_one_question() -> None:
    browser = Browser()
    assert switched(browser, "/v3/election/observe") == []
    (call,) = browser.say(masked(TEXT_FRAME, b'{"name":"Zm9v"}') * 2)
    assert isinstance(call, Call), "what follows the question is not looked at"
    browser.transport.finish(call.token, Status(Code.UNAVAILABLE, "no"))
    browser.listen()
    (_, error), (end, _) = frames(browser)
    assert json.loads(error) == {"error": {"code": 14, "message": "no"}}
    assert end == CLOSE
    assert call.head.method.figures.handled[Code.UNAVAILABLE] == 1


def test_the_end_of_a_call_ends_the_socket() -> None:
    browser = Browser()
    (opened,) = switched(browser)
    browser.transport.finish(opened.token)
    browser.listen()
    assert frames(browser) == [(CLOSE, b"\x03\xe8")]
    assert not browser.is_closed, "the client may read it first"
    browser.wait(2.5)
    assert browser.is_closed


def test_the_client_closes() -> None:
    browser = Browser()
    (opened,) = switched(browser)
    (closed,) = endings(browser.say(masked(CLOSE, b"\x03\xe9bye") + masked(TEXT_FRAME, CREATE)))
    assert (closed.token, closed.ending) == (opened.token, Ending.CANCELLED)
    assert frames(browser) == [(CLOSE, b"\x03\xe9")]
    assert browser.transport.send(opened.token, b"") is Sent.GONE


def test_pings_are_answered_and_a_flood_of_them_is_not_kept() -> None:
    browser = Browser(queue_bytes_max=100)
    switched(browser)
    assert browser.say(masked(PING, b"are you there")) == []
    assert frames(browser) == [(0xA, b"are you there")]
    (closed,) = endings(browser.say(masked(PING, b"x" * 125) * 10))
    assert closed.ending is Ending.LOST
    assert browser.is_closed


@pytest.mark.parametrize("octets", [b"GET / HTTP/1.1\r\n\r\n", b"\x81\x05Hello"])
def test_what_is_no_frame_ends_the_call(octets: bytes) -> None:
    browser = Browser()
    switched(browser)
    (closed,) = endings(browser.say(octets))
    assert closed.ending is Ending.REFUSED
    ((opcode, payload),) = frames(browser)
    assert (opcode, payload[:2]) == (CLOSE, b"\x03\xea")


def test_what_is_no_json_ends_the_call() -> None:
    browser = Browser()
    switched(browser)
    (closed,) = endings(browser.say(masked(TEXT_FRAME, b"create")))
    assert closed.ending is Ending.REFUSED
    (_, error), _ = frames(browser)
    assert json.loads(error)["error"]["code"] == Code.INVALID_ARGUMENT


def test_a_message_that_does_not_end_is_bounded() -> None:
    browser = Browser(message_bytes_max=1024)
    switched(browser)
    said = masked(TEXT_FRAME, b'{"x":"' + b"y" * 70_000, is_final=False)
    (closed,) = endings(browser.say(said))
    assert closed.ending is Ending.REFUSED


def test_a_client_that_leaves() -> None:
    browser = Browser()
    switched(browser)
    browser.transport.lost(browser.number)
    (closed,) = endings(browser.transport.take_events())
    assert closed.ending is Ending.LOST


def test_silence_is_no_reason_to_end() -> None:
    browser = Browser()
    switched(browser)
    assert browser.wait(10_000.0) == []
    assert not browser.is_closed


def test_a_lease_is_kept_alive_and_the_server_may_slow_its_client_down() -> None:
    browser = Browser(held_bytes_max=200)
    (opened,) = switched(browser, "/v3/lease/keepalive")
    browser.transport.hold(opened.token)
    assert browser.say(masked(TEXT_FRAME, b'{"ID":"5"}')) == []
    browser.transport.release(opened.token)
    (message,) = browser.listen()
    assert isinstance(message, StreamMessage)
    assert pb.LeaseKeepAliveRequest.FromString(message.message).ID == 5
    browser.transport.hold(opened.token)
    (closed,) = endings(browser.say(masked(TEXT_FRAME, b'{"ID":"5"}') * 5))
    assert closed.ending is Ending.REFUSED
    assert not [each for each in browser.listen() if isinstance(each, HalfClosed)]


@pytest.mark.parametrize(
    ("path", "more", "first"),
    [
        ("/v3/watch", {"Sec-WebSocket-Version": "8"}, "HTTP/1.1 426 Upgrade Required"),
        ("/v3/watch", {"Sec-WebSocket-Key": "short"}, "HTTP/1.1 400 Bad Request"),
        ("/v3/watch", {"Upgrade": "h2c"}, "HTTP/1.1 501 Not Implemented"),
        ("/v3/kv/range", {}, "HTTP/1.1 501 Not Implemented"),
        ("/v3/nowhere", {}, "HTTP/1.1 404 Not Found"),
    ],
)
def test_who_gets_none(path: str, more: Mapping[str, str], first: str) -> None:
    browser = Browser()
    assert asked(browser, path, more) == first
    # The connection goes on as it was.
    browser.heard = b""
    assert asked(browser) == "HTTP/1.1 101 Switching Protocols"


def test_a_page_from_elsewhere_gets_none() -> None:
    browser = Browser(cors=("https://good.example",))
    assert asked(browser, more={"Origin": "https://bad.example"}) == "HTTP/1.1 403 Forbidden"
    browser.heard = b""
    good = asked(browser, more={"Origin": "https://good.example"})
    assert good == "HTTP/1.1 101 Switching Protocols"
