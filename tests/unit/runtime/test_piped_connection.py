"""Two ends that are joined, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from zetcd.runtime.piped_connection import PipedEnd

_SECONDS = 20.0


class Pair:
    """Two joined ends, and the sockets of those who talk through them."""

    def __init__(self) -> None:
        self.left, self._left = socket.socketpair()
        self.right, self._right = socket.socketpair()
        self.ends = (PipedEnd(), PipedEnd())
        for each in (self.left, self.right):
            each.setblocking(False)

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        for end, sock in zip(self.ends, (self._left, self._right), strict=True):
            await loop.create_connection(lambda end=end: end, sock=sock)  # type: ignore[misc]

    def join(self) -> None:
        self.ends[0].join(self.ends[1])

    def close(self) -> None:
        self.left.close()
        self.right.close()


def run(test: Callable[[Pair], Awaitable[None]]) -> None:
    async def play() -> None:
        pair = Pair()
        await pair.open()
        try:
            async with asyncio.timeout(_SECONDS):
                await test(pair)
        finally:
            pair.close()
            for end in pair.ends:
                end.transport.abort()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())


async def fill(sock: socket.socket, piece: bytes) -> int:
    """Send until nothing moves any more: all buffers on the way are full; return the pieces sent whole."""
    sent = 0
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(0.5):
                await asyncio.get_running_loop().sock_sendall(sock, piece)
            sent += 1
    return sent


async def receive(sock: socket.socket, count: int) -> bytes:
    loop, data = asyncio.get_running_loop(), b""
    while len(data) < count:
        piece = await loop.sock_recv(sock, count - len(data))
        if not piece:
            break
        data += piece
    return data


def test_octets_go_both_ways() -> None:
    async def play(pair: Pair) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(pair.left, b"early")
        pair.join()
        await loop.sock_sendall(pair.right, b"back")
        assert await receive(pair.right, 5) == b"early"
        assert await receive(pair.left, 4) == b"back"
        assert pair.ends[0].bytes_in == 5

    run(play)


def test_what_was_read_before_they_are_joined_is_not_passed_on() -> None:
    async def play(pair: Pair) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(pair.left, b"request")
        assert await pair.ends[0].read() == b"request"
        await loop.sock_sendall(pair.left, b"rest")
        pair.join()
        assert await receive(pair.right, 4) == b"rest"

    run(play)


def test_whoever_does_not_read_stops_the_other_one_and_loses_nothing() -> None:
    async def play(pair: Pair) -> None:
        piece = bytes(range(256)) * 256
        pair.join()
        sent = await fill(pair.left, piece)
        assert sent < 256
        assert pair.ends[1].transport.get_write_buffer_size() < 2 * 1024 * 1024
        assert await receive(pair.right, sent * len(piece)) == piece * sent

    run(play)


def test_the_end_of_one_is_the_end_of_the_other_after_what_was_written() -> None:
    async def play(pair: Pair) -> None:
        lost: asyncio.Future[PipedEnd] = asyncio.get_running_loop().create_future()
        pair.ends[1].on_lost = lambda end, _: lost.set_result(end)
        pair.join()
        await asyncio.get_running_loop().sock_sendall(pair.left, b"last")
        pair.left.close()
        assert await receive(pair.right, 100) == b"last"
        assert await lost is pair.ends[1]
        assert pair.ends[1].is_finishing
        assert not pair.ends[0].is_finishing

    run(play)


def test_an_end_that_was_lost_before_it_was_joined_ends_the_other() -> None:
    async def play(pair: Pair) -> None:
        pair.left.close()
        with pytest.raises(ConnectionResetError):
            await pair.ends[0].read()
        lost: list[PipedEnd] = []
        pair.ends[0].on_lost = lambda end, _: lost.append(end)
        pair.join()
        assert lost == [pair.ends[0]]
        assert await receive(pair.right, 1) == b""

    run(play)
