"""A dialogue with the session core: what a server would send goes in, what the client sends comes out."""

from __future__ import annotations

import random
from typing import cast

from tests.unit.client.scripted_server import _DECODERS, Received, welcome
from zetcd.client.call import Call
from zetcd.client.options import ClientOptions
from zetcd.client.session import ClientSession
from zetcd.errors import ZetcdError
from zetcd.messages.base import Message
from zetcd.messages.client import (
    HEADER_BYTES,
    ErrorBody,
    FrameType,
    UnaryRequest,
    Welcome,
    pack_frame,
    unpack_header,
)
from zetcd.messages.codec import encode
from zetcd.messages.kv import Event, EventType, KeyValue, ResponseHeader
from zetcd.messages.watch import WatchResponse

ENDPOINTS = ("tcp://a:1", "tcp://b:1", "tcp://c:1")


class Dialogue:
    """One session, a clock that a test moves, and the frames in between."""

    def __init__(self, endpoints: tuple[str, ...] = ENDPOINTS, **options: float) -> None:
        self.now = 100.0
        chosen = ClientOptions(endpoints=endpoints, **options)  # type: ignore[arg-type]
        self.session = ClientSession(chosen, random.Random(1))

    def call(self, request: UnaryRequest, timeout: float = 5.0) -> Call:
        call = Call(request, self.now + timeout)
        self.session.submit(call, self.now)
        self.session.check()
        return call

    def connect(self, hello: Welcome | None = None) -> None:
        """Answer HELLO; the session must be waiting for that."""
        assert self.session.connection is not None
        self.feed(FrameType.WELCOME, 0, hello or welcome())

    def feed(self, kind: FrameType, request_id: int = 0, body: Message | None = None) -> None:
        encoded = b"" if body is None else encode(body)
        self.feed_bytes(pack_frame(kind, request_id, encoded))

    def feed_bytes(self, frame: bytes) -> None:
        self.session.receive(frame, self.now)
        self.session.check()

    def refuse(self, request_id: int, error: ZetcdError) -> None:
        body = ErrorBody(error.number, error.code, error.text, error.retry, error.detail)
        self.feed(FrameType.ERR, request_id, body)

    def sent(self) -> list[Received]:
        """Return what the client has sent since the last look."""
        frames, self.session.outbox = self.session.outbox, []
        received = []
        for frame in frames:
            header = unpack_header(frame)
            kind = FrameType(header.type)
            decode = _DECODERS.get(kind)
            body = None if decode is None else cast(Message, decode(frame[HEADER_BYTES:]))
            received.append(Received(b"", kind, header.request_id, header.deadline_ms, body))
        return received

    def sent_kinds(self) -> list[FrameType]:
        return [each.type for each in self.sent()]

    def lose(self, reason: str = "gone") -> None:
        """Let the current connection break."""
        assert self.session.connection is not None
        self.session.lost(self.session.connection.number, reason, self.now)
        self.session.check()

    def wait(self, seconds: float) -> None:
        """Let time pass, in the steps that the session asks for."""
        until = self.now + seconds
        while self.session.wake_at <= until:
            self.now = max(self.now, self.session.wake_at)
            self.session.handle_timer(self.now)
            self.session.check()
        self.now = until

    @property
    def endpoint(self) -> str:
        connection = self.session.connection
        return connection.endpoint if connection is not None else ""


def put_event(key: bytes, revision: int, value: bytes = b"") -> Event:
    return Event(EventType.PUT, KeyValue(key, revision, revision, 1, value))


def watch_events(
    sequence: int, *events: Event, revision: int = 0, fragment: bool = False
) -> WatchResponse:
    complete = revision or max(event.kv.mod_revision for event in events)
    header = ResponseHeader(complete, 2)
    return WatchResponse(header, sequence, 0, fragment=fragment, events=events)


def watch_created(sequence: int = 1, revision: int = 10) -> WatchResponse:
    return WatchResponse(ResponseHeader(revision, 2), sequence, 0, created=True)
