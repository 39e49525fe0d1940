"""Responsible for two connections that are joined: what comes in at one end leaves at the other.

Back-pressure goes through: an end that cannot write stops the reading of the other, so that each direction
holds no more than two bounded buffers. The end of one is the end of the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

#: Bytes that wait at an end before the other one is not read any more.
_WRITE_BUFFER_BYTES: Final = 256 * 1024
#: What is written is given so long to leave, once the other end is gone.
_FAREWELL_SECONDS: Final = 5.0


class PipedEnd(asyncio.Protocol):
    """One of the two; it reads nothing until it is asked to, or joined."""

    def __init__(self) -> None:
        """Have no connection yet."""
        self.transport: asyncio.Transport
        self.other: PipedEnd | None = None
        self.bytes_in = 0
        #: This side is the one that ends it.
        self.is_finishing = False
        #: Called with the reason (None = it ended well) when a joined end is lost.
        self.on_lost: Callable[[PipedEnd, Exception | None], None] | None = None
        self._is_lost = False
        #: What came before it was joined.
        self._early: list[bytes] = []
        self._arrival: asyncio.Future[None] | None = None

    # --- before it is joined ----------------------------------------------------------------------

    async def read(self) -> bytes:
        """Return the next octets.

        Raises:
            ConnectionError: it ended.
        """
        if not self._early and not self._is_lost:
            self._arrival = asyncio.get_running_loop().create_future()
            if not self.transport.is_closing():
                self.transport.resume_reading()
            await self._arrival
            self._arrival = None
        if not self._early:
            raise ConnectionResetError("the connection has ended")
        data, self._early = b"".join(self._early), []
        return data

    def join(self, other: PipedEnd) -> None:
        """Join two ends, and let them read."""
        for end, far in ((self, other), (other, self)):
            end.other = far
        for end in (self, other):
            end._begin()
        for end in (self, other):
            if end._is_lost:
                # It could not tell before.
                end.connection_lost(None)

    def _begin(self) -> None:
        early, self._early = self._early, []
        for data in early:
            self.data_received(data)
        if not self._is_lost and not self.transport.is_closing():
            self.transport.resume_reading()

    # --- asyncio.Protocol -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and read nothing."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=_WRITE_BUFFER_BYTES)
        self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Pass on what came, or keep it until there is an other end."""
        if self.other is None:
            self._early.append(data)
            if not self.transport.is_closing():
                self.transport.pause_reading()
            self._wake()
            return
        self.bytes_in += len(data)
        self.other.write(data)

    def write(self, data: bytes) -> None:
        """Send, if there still is anybody to send to."""
        if not self._is_lost and not self.transport.is_closing():
            self.transport.write(data)

    def eof_received(self) -> bool:
        """End: neither TLS nor ZeroMQ goes on in one direction alone."""
        return False

    def pause_writing(self) -> None:
        """Let the other end wait."""
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Let the other end go on."""
        if self.other is not None and not self.other.transport.is_closing():
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the other end too, after what was written there."""
        self._is_lost = True
        self._wake()
        if self.other is not None:
            self.other.finish()
        if self.on_lost is not None:
            self.on_lost(self, exc)

    def _wake(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    # --- the end ----------------------------------------------------------------------------------

    def finish(self) -> None:
        """Close after what was written has left, or at once if it does not leave."""
        if self._is_lost or self.transport.is_closing():
            return
        self.is_finishing = True
        self.transport.close()
        asyncio.get_running_loop().call_later(_FAREWELL_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if not self._is_lost:
            self.transport.abort()
