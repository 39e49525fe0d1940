"""A generic echo service on the gRPC transport, for clients of every kind.

    python -m tests.integration.grpc_transport.echo [--port 0]

Prints its port and serves until its input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import ssl
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Final, Self

import uvloop

from zetcd.errors import Code
from zetcd.gateway.grpc import (
    Call,
    Closed,
    Event,
    HalfClosed,
    Head,
    Method,
    Opened,
    Sent,
    Status,
    StreamMessage,
    Transport,
    TransportOptions,
    Writable,
)
from zetcd.gateway.grpc_server import GrpcServer, TakeOver

UNARY: Final = Method("/echo.Echo/Unary")
#: Ends with the status of ``code:text``.
FAIL: Final = Method("/echo.Echo/Fail")
#: Answers with the metadata it got, a line each.
METADATA: Final = Method("/echo.Echo/Metadata")
#: Never answers.
NEVER: Final = Method("/echo.Echo/Never")
#: Sends ``count size``: so many messages of such a size.
SERVER_STREAM: Final = Method("/echo.Echo/ServerStream", server_streams=True)
#: Sends one message of ``size`` octets, in parts.
HUGE: Final = Method("/echo.Echo/Huge")
#: Answers with ``count octets``.
CLIENT_STREAM: Final = Method("/echo.Echo/ClientStream", client_streams=True)
BIDI: Final = Method("/echo.Echo/Bidi", client_streams=True, server_streams=True)
#: Answers with how many calls have ended without an answer of the service: ``CANCELLED=1 …``.
ENDINGS: Final = Method("/echo.Echo/Endings")

METHODS: Final = (
    *(UNARY, FAIL, METADATA, NEVER, SERVER_STREAM, HUGE, CLIENT_STREAM, BIDI, ENDINGS),
)
PART_BYTES: Final = 64 * 1024


class Echo:
    """The service; keeps what each call still has to send as an iterator."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.endings: dict[str, int] = {}
        self.methods: dict[int, Method] = {}
        self.counts: dict[int, list[int]] = {}
        #: Calls that stream: messages to come, and the one that found no room.
        self.sources: dict[int, Iterator[bytes]] = {}
        self.waiting: dict[int, bytes] = {}

    def handle(self, events: Sequence[Event], now: float) -> None:
        for event in events:
            match event:
                case Call():
                    self.call(event.token, event.head, event.message)
                case Opened():
                    self.methods[event.token] = event.head.method
                    self.counts[event.token] = [0, 0]
                case StreamMessage():
                    self.message(event.token, event.message)
                case HalfClosed():
                    self.half_closed(event.token)
                case Closed():
                    name = event.ending.name
                    self.endings[name] = self.endings.get(name, 0) + 1
                    self.forget(event.token)
                case Writable():
                    self.go_on(event.token)

    def call(self, token: int, head: Head, message: bytes) -> None:
        answer = self.transport.answer
        if head.method is UNARY:
            answer(token, message)
        elif head.method is FAIL:
            code, _, text = message.decode().partition(":")
            self.transport.finish(token, Status(Code(int(code)), text, rpc_status(int(code), text)))
        elif head.method is METADATA:
            lines = [f"{name}={value}" for name, value in head.metadata]
            binary = head.get_binary("some-bin")
            answer(token, "\n".join([*lines, repr(binary)]).encode())
        elif head.method is ENDINGS:
            answer(token, " ".join(f"{k}={v}" for k, v in sorted(self.endings.items())).encode())
        elif head.method is SERVER_STREAM:
            count, size = map(int, message.split())
            self.sources[token] = iter([b"x" * size] * count)
            self.go_on(token)
        elif head.method is HUGE:
            size = int(message)
            assert self.transport.begin_message(token, size) is Sent.TAKEN
            full, rest = divmod(size, PART_BYTES)
            self.sources[token] = iter([b"x" * PART_BYTES] * full + [b"x" * rest])
            self.methods[token] = HUGE
            self.go_on(token)

    def message(self, token: int, message: bytes) -> None:
        method = self.methods[token]
        if method is CLIENT_STREAM:
            self.counts[token][0] += 1
            self.counts[token][1] += len(message)
        elif token in self.waiting:
            # Held back as long as the client does not read: its window bounds what comes here.
            self.waiting[token] += b"|" + message
        elif self.transport.send(token, message) is Sent.FULL:
            self.waiting[token] = message
            self.transport.hold(token)

    def half_closed(self, token: int) -> None:
        if self.methods[token] is CLIENT_STREAM:
            count, size = self.counts[token]
            self.transport.answer(token, b"%d %d" % (count, size))
            self.forget(token)
        elif token not in self.waiting:
            self.transport.finish(token)
            self.forget(token)
        else:
            self.sources[token] = iter(())

    def go_on(self, token: int) -> None:
        """Send what a call has to send, as far as there is room."""
        is_huge = self.methods.get(token) is HUGE
        send = self.transport.send_part if is_huge else self.transport.send
        part = self.waiting.pop(token, None)
        source = self.sources.get(token)
        while True:
            if part is None:
                if source is None:
                    self.transport.release(token)
                    return
                part = next(source, None)
            if part is None:
                self.transport.finish(token)
                self.forget(token)
                return
            if send(token, part) is Sent.FULL:
                self.waiting[token] = part
                return
            part = None

    def forget(self, token: int) -> None:
        self.methods.pop(token, None)
        self.counts.pop(token, None)
        self.sources.pop(token, None)
        self.waiting.pop(token, None)


def rpc_status(code: int, text: str) -> bytes:
    """Return a ``google.rpc.Status`` with one detail of the type ``x``."""
    message = text.encode()
    assert len(message) < 128
    return bytes((0x08, code, 0x12, len(message))) + message + b"\x1a\x03\x0a\x01x"


def bound_socket(port: int = 0) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


class EchoThread:
    """An echo server on a loop of its own thread; `run` lets its core be looked at."""

    def __init__(
        self,
        options: TransportOptions | None = None,
        *,
        take_over: TakeOver | None = None,
        context: ssl.SSLContext | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self.options = options
        self.take_over = take_over
        self.context = context
        self.listener = listener or bound_socket()
        self.port: int = 0 if listener else self.listener.getsockname()[1]
        self.loop = uvloop.new_event_loop()
        self.server: GrpcServer
        self.echo: Echo
        self._thread = threading.Thread(target=self._run)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        ready: Future[None] = Future()
        self.loop.call_soon(lambda: self.loop.create_task(self._start(ready)))
        self._thread.start()
        ready.result(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(0.0)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def stop(self, grace_seconds: float) -> None:
        asyncio.run_coroutine_threadsafe(self.server.stop(grace_seconds), self.loop).result(60)

    async def _start(self, ready: Future[None]) -> None:
        self.echo, self.server = make_server(self.loop, self.options, self.take_over)
        await self.server.listen(self.listener, self.context)
        ready.set_result(None)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


def make_server(
    loop: asyncio.AbstractEventLoop,
    options: TransportOptions | None = None,
    take_over: TakeOver | None = None,
) -> tuple[Echo, GrpcServer]:
    transport = Transport(METHODS, options)
    echo = Echo(transport)
    return echo, GrpcServer(transport, echo, loop=loop, take_over=take_over)


async def serve(port: int) -> None:
    """Serve until the input ends."""
    loop = asyncio.get_running_loop()
    _, server = make_server(loop)
    listener = bound_socket(port)
    await server.listen(listener)
    print(listener.getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    await server.stop(0.0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(serve(parser.parse_args().port))
