"""A client of the HTTP transport without sockets, and calls to answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from zetcd.gateway.etcd.json_paths import bindings
from zetcd.gateway.etcd.methods import etcd_methods
from zetcd.gateway.grpc import Call, Closed, Opened
from zetcd.gateway.http import HttpEvent, HttpOptions, HttpRequest, HttpTransport, Surface

ENDPOINTS = {
    Surface.CLIENT: frozenset({"/health", "/version"}),
    Surface.METRICS: frozenset({"/health"}),
}


class Browser:
    """One connection; what the server says collects in `heard`."""

    def __init__(self, surface: Surface = Surface.CLIENT, **options: object) -> None:
        limits = replace(HttpOptions(), **options)  # type: ignore[arg-type]
        self.transport = HttpTransport(bindings(etcd_methods()), ENDPOINTS, limits)
        self.now = 0.0
        number = self.transport.connect(self.now, surface)
        assert number is not None
        self.number = number
        self.heard = b""
        self.is_closed = False

    def say(self, octets: bytes | str) -> list[HttpEvent]:
        """Send octets; return what the application hears."""
        octets = octets.encode() if isinstance(octets, str) else octets
        self.transport.receive(self.number, octets, self.now)
        return self.listen()

    def listen(self) -> list[HttpEvent]:
        """Take what the server says; return what the application hears."""
        events = self.transport.take_events()
        for output in self.transport.take_output():
            self.heard += output.octets
            self.is_closed = self.is_closed or output.is_last
        return events + self.transport.take_events()

    def wait(self, seconds: float) -> list[HttpEvent]:
        """Let time pass."""
        self.now += seconds
        self.transport.handle_timer(self.now)
        return self.listen()

    def post(self, path: str, body: str, headers: Mapping[str, str] | None = None) -> HttpEvent:
        """Send a call; return the event."""
        (event,) = self.say(request_of("POST", path, body, headers))
        return event

    def call(self, path: str, body: str = "{}", headers: Mapping[str, str] | None = None) -> Call:
        """Send a call of one message."""
        event = self.post(path, body, headers)
        assert isinstance(event, Call)
        return event

    def open(self, path: str) -> Opened:
        """Begin a call of many messages."""
        (event,) = self.say(
            f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        assert isinstance(event, Opened)
        return event

    def get(self, target: str, headers: Mapping[str, str] | None = None) -> HttpRequest:
        """Ask for an endpoint."""
        (event,) = self.say(request_of("GET", target, "", headers))
        assert isinstance(event, HttpRequest)
        return event

    def status(self) -> int:
        """Take the status of the next answer."""
        return int(self.heard.split(b" ", 2)[1])

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Take the whole of what was heard as one answer."""
        head, _, body = self.heard.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.heard = b""
        headers = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        if headers.get("transfer-encoding") == "chunked":
            body = unchunk(body)
        return int(first.split(" ")[1]), headers, body


def request_of(
    method: str, target: str, body: str = "", headers: Mapping[str, str] | None = None
) -> str:
    given = {"Host": "a"} | dict(headers or {})
    if body:
        given["Content-Length"] = str(len(body.encode()))
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n{body}"


def chunk(text: str) -> str:
    return f"{len(text):x}\r\n{text}\r\n"


def unchunk(body: bytes) -> bytes:
    plain = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        plain += rest[:length]
        body = rest[length + 2 :]
    return plain


def endings(events: list[HttpEvent]) -> list[Closed]:
    return [event for event in events if isinstance(event, Closed)]


def masked(opcode: int, payload: bytes, *, is_final: bool = True, mask: bytes = b"mask") -> bytes:
    """Return a frame of a WebSocket's client."""
    size = len(payload)
    first = bytes((opcode | (0x80 if is_final else 0),))
    if size < 126:
        head = first + bytes((0x80 | size,))
    elif size < 1 << 16:
        head = first + b"\xfe" + size.to_bytes(2, "big")
    else:
        head = first + b"\xff" + size.to_bytes(8, "big")
    hidden = bytes(each ^ mask[at % 4] for at, each in enumerate(payload))
    return head + mask + hidden
