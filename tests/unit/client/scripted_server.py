"""A peer that speaks the native protocol over a real ROUTER socket and answers as a test scripts it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self, cast

import zmq

from zetcd.messages.base import Message
from zetcd.messages.client import (
    HEADER_BYTES,
    ClientHello,
    ErrorBody,
    FrameType,
    UnaryRequest,
    WatchRequest,
    Welcome,
    pack_frame,
    unpack_header,
)
from zetcd.messages.codec import UnionDecoder, decoder_of, encode
from zetcd.messages.kv import (
    KeyValue,
    PutRequest,
    PutResponse,
    RangeRequest,
    RangeResponse,
    ResponseHeader,
)
from zetcd.messages.watch import WatchCreateRequest, WatchCredit, WatchResponse

PATIENCE_SECONDS = 10.0

_DECODERS = {
    FrameType.HELLO: decoder_of(ClientHello).decode,
    FrameType.REQ: UnionDecoder(UnaryRequest).decode,
    FrameType.WATCH: UnionDecoder(WatchRequest).decode,
    FrameType.CREDIT: decoder_of(WatchCredit).decode,
}


class Received(NamedTuple):
    """One frame of a client."""

    routing_id: bytes
    type: FrameType
    request_id: int
    deadline_ms: int
    body: Message | None


def welcome(**fields: object) -> Welcome:
    """Return a WELCOME with fields that suit most tests."""
    values: dict[str, object] = {
        "minor": 0,
        "features": (),
        "cluster_id": 0xC1,
        "member_id": 0xA1,
        "member_name": "scripted",
        "session_id": 1,
        "server_version": "0.0",
        "request_bytes_max": 1 << 20,
        "txn_ops_max": 128,
        "requests_inflight_max": 4096,
        "ping_interval_ms": 2000,
        "dead_after_ms": 6000,
    }
    return Welcome(**{**values, **fields})  # type: ignore[arg-type]


Answer = Callable[["ScriptedServer", Received], None]


class ScriptedServer:
    """Answers HELLO by itself, and everything else with ``answer``; runs until the block ends."""

    def __init__(
        self, answer: Answer | None = None, *, hello: Welcome | None = None, port: int = 0
    ) -> None:
        self._answer = answer or answer_store
        self._welcome = hello or welcome()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(f"tcp://127.0.0.1:{port or '*'}")
        self.endpoint = (
            cast(bytes, self._socket.getsockopt(zmq.LAST_ENDPOINT)).rstrip(b"\0").decode()
        )
        #: Every frame received, for the test to look at.
        self.received: queue.Queue[Received] = queue.Queue()
        #: For `answer_store`.
        self.store: dict[bytes, KeyValue] = {}
        self.revision = 1
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End at once, as kill -9 would: the kernel closes the connections."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                if self._socket.poll(10):
                    self._step()
        finally:
            self._socket.close(0)
            self._context.term()

    def _step(self) -> None:
        routing_id, frame = self._socket.recv_multipart()
        header = unpack_header(frame)
        kind = FrameType(header.type)
        decode = _DECODERS.get(kind)
        body = None if decode is None else cast(Message, decode(frame[HEADER_BYTES:]))
        received = Received(routing_id, kind, header.request_id, header.deadline_ms, body)
        if kind is FrameType.HELLO:
            self.send(received, FrameType.WELCOME, self._welcome)
        else:
            self._answer(self, received)
        # Last, so that a test that saw the frame finds it answered.
        self.received.put(received)

    def send(self, to: Received, kind: FrameType, body: Message | None = None) -> None:
        """Send a frame to the sender of ``to``, with its request id. For `answer` only."""
        encoded = b"" if body is None else encode(body)
        self._socket.send_multipart([to.routing_id, pack_frame(kind, to.request_id, encoded)])

    def expect(self, kind: FrameType, body: type[Message] | None = None) -> Received:
        """Return the next frame of ``kind`` (and of a ``body``), passing over others."""
        while True:
            received = self.received.get(timeout=PATIENCE_SECONDS)
            if received.type is kind and (body is None or isinstance(received.body, body)):
                return received

    def header(self) -> ResponseHeader:
        """Return a header with the store's revision."""
        return ResponseHeader(self.revision, 2)


def answer_store(server: ScriptedServer, received: Received) -> None:
    """Answer as the simplest store there is: put and get of one key, PING, empty watches."""
    body = received.body
    if isinstance(body, PutRequest):
        server.revision += 1
        server.store[body.key] = KeyValue(body.key, server.revision, server.revision, 1, body.value)
        server.send(received, FrameType.RES, PutResponse(server.header()))
    elif isinstance(body, RangeRequest):
        found = tuple(kv for kv in (server.store.get(body.key),) if kv is not None)
        server.send(
            received, FrameType.RES, RangeResponse(server.header(), found, count=len(found))
        )
    elif isinstance(body, WatchCreateRequest):
        server.send(received, FrameType.WATCH, WatchResponse(server.header(), 1, 0, created=True))
    elif received.type is FrameType.PING:
        server.send(received, FrameType.PONG)


def never_answer(server: ScriptedServer, received: Received) -> None:
    """Swallow everything, as a server that hangs."""


def refuse(error_number: int, code: int, text: str, retry: int) -> Answer:
    """Return an answer that refuses every request."""

    def answer(server: ScriptedServer, received: Received) -> None:
        if received.type is FrameType.REQ:
            server.send(received, FrameType.ERR, ErrorBody(error_number, code, text, retry))

    return answer
