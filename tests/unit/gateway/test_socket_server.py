"""The turns of a server of sockets; what it speaks is HTTP/1.1 here."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence

import uvloop

from zetcd.gateway.http import (
    Answer,
    HttpEvent,
    HttpOptions,
    HttpRequest,
    HttpTransport,
    Surface,
)
from zetcd.gateway.http_server import HttpServer

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWER = Answer(200, "text/plain", b"figures")
PATIENCE_SECONDS = 20.0


class Application:
    """Keeps what it is handed; can fail first."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.has_failed = asyncio.Event()
        self.requests: asyncio.Queue[HttpRequest] = asyncio.Queue()

    def handle(self, events: Sequence[HttpEvent], now: float) -> None:
        del now
        failure, self.failure = self.failure, None
        if failure is not None:
            self.has_failed.set()
            raise failure
        for event in events:
            assert isinstance(event, HttpRequest)
            self.requests.put_nowait(event)


async def started(
    application: Application, options: HttpOptions
) -> tuple[HttpServer, HttpTransport, socket.socket]:
    """Return a server, its transport and its listener."""
    loop = asyncio.get_running_loop()
    # As in the gateway, where a socket's trouble is only its own.
    loop.set_exception_handler(lambda _loop, _context: None)
    transport = HttpTransport({}, {each: frozenset({"/metrics"}) for each in Surface}, options)
    server = HttpServer(transport, application, loop=loop)
    listener = socket.create_server(("127.0.0.1", 0))
    await server.listen_on(listener, Surface.CLIENT)
    return server, transport, listener


async def ask(listener: socket.socket) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send a request on a connection of its own."""
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    writer.write(REQUEST)
    return reader, writer


async def end(server: HttpServer, *writers: asyncio.StreamWriter) -> None:
    """Close everything."""
    for writer in writers:
        writer.close()
        await writer.wait_closed()
    await server.stop(0)


def test_a_failure_of_the_system_in_one_turn_does_not_end_all_turns() -> None:
    async def main() -> bytes:
        application = Application(OSError(24, "Too many open files"))
        server, transport, listener = await started(application, HttpOptions())
        _, unanswered = await ask(listener)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await application.has_failed.wait()
            reader, answered = await ask(listener)
            transport.respond((await application.requests.get()).token, ANSWER)
            server.flush()
            octets = await reader.readuntil(ANSWER.body)
        await end(server, unanswered, answered)
        return octets

    assert uvloop.run(main()).startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_answer_outside_of_a_turn_sets_the_timer_that_it_makes_necessary() -> None:
    async def main() -> bytes:
        application = Application()
        options = HttpOptions(idle_timeout=0.2, handshake_timeout=0.2)
        server, transport, listener = await started(application, options)
        reader, writer = await ask(listener)
        async with asyncio.timeout(PATIENCE_SECONDS):
            request = await application.requests.get()
            # While it waits for its answer nothing is due, so the timer that there was has run out.
            while server._timer is not None:  # noqa: ASYNC110  # timers tell nobody
                await asyncio.sleep(0.01)
            transport.respond(request.token, ANSWER)
            server.flush()
            octets = await reader.read()
        await end(server, writer)
        return octets

    assert uvloop.run(main()).endswith(ANSWER.body)
