"""CPU of the gRPC transport for each call, with a stub that answers at once; grpc-go is the client.

    python bench/micro/grpc_transport.py [--seconds 3] [--timeout 5s] [--streams]

Prints microseconds of user and system time of the serving process for each call (or for each message
of a bidi stream) at 1 client, 100 clients on 100 connections, and 1,000 clients on 100 connections.
Needs `go`, which builds the client from ``tests/clients/grpc_transport``.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import uvloop

from zetcd.gateway.grpc import Call, Event, Method, StreamMessage, Transport
from zetcd.gateway.grpc_server import GrpcServer

CLIENT = Path(__file__).parents[2] / "tests" / "clients" / "grpc_transport"
METHODS = (
    Method("/echo.Echo/Unary"),
    Method("/echo.Echo/Bidi", client_streams=True, server_streams=True),
)


class Stub:
    """Answers every message with itself."""

    def __init__(self, transport: Transport) -> None:
        """Answer on ``transport``."""
        self._transport = transport
        self.turns = 0

    def handle(self, events: Sequence[Event], now: float) -> None:
        """Answer what came in a turn."""
        self.turns += 1
        for event in events:
            if type(event) is Call:
                self._transport.answer(event.token, event.message)
            elif type(event) is StreamMessage:
                self._transport.send(event.token, event.message)


async def measure(client: Path, clients: int, connections: int, options: list[str]) -> None:
    """Serve one run of the client, and print what it cost."""
    loop = asyncio.get_running_loop()
    transport = Transport(METHODS)
    stub = Stub(transport)
    server = GrpcServer(transport, stub, loop=loop)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    await server.listen(listener)
    before = time.process_time()
    process = await asyncio.create_subprocess_exec(
        *(str(client), "load", "-clients", str(clients), "-connections", str(connections)),
        *(*options, f"127.0.0.1:{listener.getsockname()[1]}"),
        stdout=subprocess.PIPE,
    )
    output, _ = await process.communicate()
    spent = time.process_time() - before
    calls, seconds = output.split()
    count = int(calls)
    await server.stop(0.0)
    print(
        f"{clients:5} clients, {connections:3} connections: {spent / count * 1e6:6.1f} us a call,"
        f" {count / float(seconds):8.0f} calls/s, {count / stub.turns:5.1f} a turn"
    )


async def main() -> None:
    """Build the client, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--timeout", default="0s", help="deadline of each call; 0s: none")
    parser.add_argument("--streams", action="store_true", help="messages of bidi streams")
    arguments = parser.parse_args()
    options = ["-seconds", str(arguments.seconds), "-timeout", arguments.timeout]
    if arguments.streams:
        options.append("-streams")
    with tempfile.TemporaryDirectory() as directory:
        client = Path(directory) / "client"
        subprocess.run(["go", "build", "-o", str(client), "."], cwd=CLIENT, check=True)  # noqa: ASYNC221 - nothing else runs yet
        for clients, connections in ((1, 1), (100, 100), (1000, 100)):
            await measure(client, clients, connections, options)


if __name__ == "__main__":
    uvloop.run(main())
