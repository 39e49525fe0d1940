"""Responsible for the connections on which snapshots travel: a TCP proxy per member that hurts streams.

A member tells the others the host that it advertises and the port of its snapshots. So a member that
advertises another loopback address than it listens on is fetched from through here.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

from tests.robustness.loop_thread import LoopThread

#: Where proxies listen; members themselves listen on 127.0.0.1.
PROXY_HOST: Final = "127.0.0.2"
_CHUNK_BYTES: Final = 16 * 1024
#: A stream is hurt before so many bytes of it have passed.
_HURT_WITHIN_BYTES: Final = 96 * 1024


class SnapshotProxy:
    """What stands before one member's snapshots, in a thread of its own."""

    def __init__(self, port: int, rng: random.Random) -> None:
        """Pass everything to ``port`` of this machine, for now."""
        self._port = port
        self._rng = rng
        self._flips = False
        #: Streams still to be hurt.
        self._left = 0
        #: Streams that were hurt.
        self.hurt = 0
        self._thread = LoopThread(f"snapshots {port}")
        self._server = self._thread.call(asyncio.start_server(self._serve, PROXY_HOST, port))

    def hurt_streams(self, count: int, *, flips: bool) -> None:
        """Flip a bit of each of the next ``count`` streams, or cut it, anywhere in its beginning."""

        def begin() -> None:
            self._left, self._flips = count, flips

        self._thread.do(begin)

    def heal(self) -> None:
        """Hurt no more."""
        self._thread.do(lambda: setattr(self, "_left", 0))

    def close(self) -> None:
        """Close every connection and stop listening."""
        self._thread.do(self._server.close)
        self._thread.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            snapshots, requests = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        tasks = [
            asyncio.ensure_future(_copy(reader, requests)),
            asyncio.ensure_future(self._pass(snapshots, writer)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            writer.close()
            requests.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass a stream on, up to the byte at which it is hurt; then cut it, or go on."""
        hurt_at = self._rng.randrange(_HURT_WITHIN_BYTES)
        passed = 0
        while chunk := bytearray(await reader.read(_CHUNK_BYTES)):
            offset = hurt_at - passed
            passed += len(chunk)
            if self._left and 0 <= offset < len(chunk):
                self._left -= 1
                self.hurt += 1
                if not self._flips:
                    writer.write(chunk[:offset])
                    return
                chunk[offset] ^= 1 << self._rng.randrange(8)
            writer.write(chunk)
            await writer.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()
