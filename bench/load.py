"""A closed-loop load generator over the native protocol: many clients, few sockets, one thread.

Each virtual client has one request in flight and sends its next as soon as the answer is there. The
clients of one socket are pipelined on it, as those of one application process would be. It speaks the
wire format directly: what it measures is the server, not a client library.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import zmq

from zetcd.messages.client import (
    HEADER_BYTES,
    ClientHello,
    ErrorBody,
    FrameType,
    pack_frame,
    unpack_header,
)
from zetcd.messages.codec import decoder_of, encode

_ERROR = decoder_of(ErrorBody)

#: Makes the body of request number ``n`` of virtual client ``c``.
MakeBody = Callable[[int, int], bytes]


@dataclass(slots=True)
class LoadResult:
    """What one run gave."""

    seconds: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    #: Answers of the whole run, warm-up included.
    operations: int = 0

    @property
    def rate(self) -> float:
        """Return answers per second."""
        return len(self.latencies_ms) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Return the latency in ms that ``share`` of the requests did not exceed."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


class LoadSocket:
    """One session with the virtual clients that share it."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], endpoint: str) -> None:
        self.socket = context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.set_hwm(100_000)
        self.socket.connect(endpoint)
        self.socket.send(pack_frame(FrameType.HELLO, 0, encode(ClientHello(client="bench"))))
        if not self.socket.poll(10_000):
            raise TimeoutError(f"{endpoint} does not answer")
        header = unpack_header(self.socket.recv())
        assert header.type == FrameType.WELCOME, f"{endpoint} answered {header}"
        #: request id → (virtual client, send time)
        self.inflight: dict[int, tuple[int, float]] = {}
        self.next_id = 1


def run_load(
    endpoints: Sequence[str],
    *,
    clients: int,
    seconds: float,
    make_body: MakeBody,
    warmup_seconds: float = 0.5,
) -> LoadResult:
    """Run ``clients`` closed loops for ``seconds``, spread over one socket per endpoint."""
    context = zmq.Context()
    try:
        sockets = [LoadSocket(context, endpoint) for endpoint in endpoints[: max(1, clients)]]
        return _Loop(sockets, clients, make_body).run(warmup_seconds, seconds)
    finally:
        context.destroy(linger=0)


class _Loop:
    """The closed loops of one run."""

    def __init__(self, sockets: list[LoadSocket], clients: int, make_body: MakeBody) -> None:
        self.sockets = sockets
        self.clients = clients
        self.make_body = make_body
        self.result = LoadResult()
        self.count = 0
        self.measure_from = 0.0
        self.send_until = 0.0

    def run(self, warmup_seconds: float, seconds: float) -> LoadResult:
        poller = zmq.Poller()
        by_socket = {each.socket: each for each in self.sockets}
        for each in self.sockets:
            poller.register(each.socket, zmq.POLLIN)
        now = time.monotonic()
        self.measure_from = now + warmup_seconds
        self.send_until = self.measure_from + seconds
        for client in range(self.clients):
            self._send(self.sockets[client % len(self.sockets)], client)
        give_up = self.send_until + 10
        while any(each.inflight for each in self.sockets) and time.monotonic() < give_up:
            for socket, _ in poller.poll(100):
                self._drain(by_socket[socket])
        self.result.seconds = seconds
        lost = sum(len(each.inflight) for each in self.sockets)
        if lost:
            self.result.errors["no answer"] = lost
        return self.result

    def _send(self, load: LoadSocket, client: int) -> None:
        request_id = load.next_id
        load.next_id = request_id + 1
        self.count += 1
        body = self.make_body(client, self.count)
        load.inflight[request_id] = (client, time.monotonic())
        load.socket.send(pack_frame(FrameType.REQ, request_id, body))

    def _drain(self, load: LoadSocket) -> None:
        receive = load.socket.recv
        while True:
            try:
                frame = receive(zmq.NOBLOCK)
            except zmq.Again:
                return
            now = time.monotonic()
            header = unpack_header(frame)
            if header.type == FrameType.PING:
                load.socket.send(pack_frame(FrameType.PONG, header.request_id))
                continue
            if header.type not in (FrameType.RES, FrameType.ERR):
                continue
            client, sent = load.inflight.pop(header.request_id)
            if header.type == FrameType.ERR:
                error = _ERROR.decode(frame[HEADER_BYTES:])
                self.result.errors[error.text] = self.result.errors.get(error.text, 0) + 1
            self.result.operations += 1
            if header.type == FrameType.RES and self.measure_from <= now <= self.send_until:
                self.result.latencies_ms.append((now - sent) * 1000)
            if now < self.send_until:
                self._send(load, client)
