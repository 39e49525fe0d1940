"""Responsible for the network between members: a TCP proxy per member that knows frames of peers.

Every member advertises its proxy's address, so everything that members tell each other comes through
here. A connection's sender is known from the header of its first message; from then on the link
(sender → receiver) decides what becomes of each message. Whole messages are lost, delayed, doubled and
overtaken, as a network would do it to datagrams; a cut link passes nothing at all.
"""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from tests.robustness.loop_thread import LoopThread
from zetcd.messages.codec import UnionDecoder
from zetcd.messages.raft import ForwardProposal, PeerMessage
from zetcd.runtime.peer_socket import KIND_RAFT
from zetcd.scalars import NodeID

#: Bytes that each side of a ZMTP 3 connection begins with.
_GREETING_BYTES: Final = 64
_LONG, _COMMAND = 2, 4
#: Header of a message between members: magic, major, kind, reserved, cluster, sender, receiver.
_PEER_HEADER: Final = struct.Struct(">BBBBQQQ")
_DECODER: Final = UnionDecoder(PeerMessage)
_CHUNK_BYTES: Final = 256 * 1024
#: Seconds by which a re-ordered message comes later than its followers.
_OVERTAKEN_SECONDS: Final = 0.03


#: Serves one connection.
_Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class Link:
    """What happens to messages of one member to another, and what has happened."""

    is_cut: bool = False
    #: Shares of messages, 0..1.
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    #: Share of messages after which the connection is closed.
    close: float = 0.0
    #: Seconds: delay is drawn from mean ± spread; order is kept.
    delay: float = 0.0
    delay_spread: float = 0.0
    #: What one connection carries at most; 0 = no limit.
    bytes_per_second: float = 0.0
    #: How many messages passed, and how many were hurt.
    passed: int = 0
    hurt: int = 0

    def heal(self) -> None:
        """Pass everything at once from now on; the counts stay."""
        self.is_cut = False
        self.drop = self.duplicate = self.reorder = self.close = 0.0
        self.delay = self.delay_spread = self.bytes_per_second = 0.0


class Place(NamedTuple):
    """One member on the network."""

    name: str
    member_id: NodeID
    #: Where the others connect to.
    proxy_host: str
    proxy_port: int
    #: Where the member listens.
    peer_port: int


class Network:
    """The proxies of all members, in a thread of their own."""

    def __init__(self, places: list[Place], seed: int) -> None:
        """Listen for every member."""
        self._places = places
        self._rng = random.Random(seed)
        self._names = {place.member_id: place.name for place in places}
        self._links = {
            (one.name, other.name): Link() for one in places for other in places if one != other
        }
        self._thread = LoopThread("network")
        self._servers: list[asyncio.Server] = []
        self._thread.call(self._listen())

    async def _listen(self) -> None:
        for place in self._places:
            self._servers.append(
                await asyncio.start_server(self._serving(place), place.proxy_host, place.proxy_port)
            )

    def close(self) -> None:
        """Close every connection and stop listening."""

        def shut() -> None:
            for server in self._servers:
                server.close()

        self._thread.do(shut)
        self._thread.close()

    # --- steering -------------------------------------------------------------------------------

    def link(self, sender: str, receiver: str) -> Link:
        """Return one direction between two members."""
        return self._links[sender, receiver]

    def links(self) -> Iterator[Link]:
        """Yield every direction."""
        yield from self._links.values()

    def both(self, one: str, other: str) -> tuple[Link, Link]:
        """Return both directions between two members."""
        return self._links[one, other], self._links[other, one]

    def around(self, name: str) -> Iterator[Link]:
        """Yield every direction that begins or ends at a member."""
        yield from (link for ends, link in self._links.items() if name in ends)

    def heal(self) -> None:
        """Mend every link."""
        for link in self._links.values():
            link.heal()

    @property
    def hurt(self) -> int:
        """How many messages were hurt so far."""
        return sum(link.hurt for link in self._links.values())

    # --- connections ----------------------------------------------------------------------------

    def _serving(self, place: Place) -> _Serve:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                onward = await asyncio.open_connection("127.0.0.1", place.peer_port)
            except OSError:
                writer.close()
                return
            pump = _Pump(self, place.name, reader, onward[1])
            tasks = [
                asyncio.ensure_future(pump.run()),
                asyncio.ensure_future(_copy(onward[0], writer, pump)),
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                writer.close()
                onward[1].close()

        return serve

    def link_of(self, message: bytes, receiver: str) -> Link | None:
        """Return the link that a message between members is on; None if it is no such message."""
        if len(message) < _PEER_HEADER.size:
            return None
        sender = self._names.get(_PEER_HEADER.unpack_from(message)[5], "")
        return self._links.get((sender, receiver))

    def chance(self, share: float) -> bool:
        return share > 0 and self._rng.random() < share

    def delay_of(self, link: Link) -> float:
        return max(0.0, link.delay + self._rng.uniform(-1, 1) * link.delay_spread)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pump: _Pump) -> None:
    """Pass the answers of the receiver on: the handshake, and signs of life."""
    while chunk := await reader.read(_CHUNK_BYTES):
        if not pump.is_cut:
            writer.write(chunk)
            await writer.drain()


def _is_forwarded_proposal(message: bytes) -> bool:
    """Say whether a message may not be doubled: nothing between members does it, TCP least of all."""
    kind, body = _PEER_HEADER.unpack_from(message)[2], message[_PEER_HEADER.size :]
    return kind == KIND_RAFT and type(_DECODER.decode(body)) is ForwardProposal


class _Pump:
    """The direction of one connection that carries messages."""

    def __init__(
        self,
        network: Network,
        receiver: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._network = network
        self._receiver = receiver
        self._reader = reader
        self._writer = writer
        self._link: Link | None = None
        #: When the message before is due: delays keep the order.
        self._due = 0.0

    @property
    def is_cut(self) -> bool:
        return self._link is not None and self._link.is_cut

    async def run(self) -> None:
        """Forward until a side closes, or until the link says so."""
        try:
            left = _GREETING_BYTES
            while left:
                chunk = await self._reader.read(left)
                if not chunk:
                    return
                self._writer.write(chunk)
                left -= len(chunk)
            while await self._forward():
                await self._writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return

    async def _forward(self) -> bool:
        """Forward one frame; False: the connection is to be closed."""
        flags = (await self._reader.readexactly(1))[0]
        size = await self._reader.readexactly(8 if flags & _LONG else 1)
        body = await self._reader.readexactly(int.from_bytes(size, "big"))
        frame = bytes([flags]) + size + body
        if flags & _COMMAND:
            if not self.is_cut:
                self._writer.write(frame)
            return True
        self._link = link = self._network.link_of(body, self._receiver) or self._link
        if link is None:
            self._writer.write(frame)
            return True
        if link.bytes_per_second:
            # The sender waits, as for a narrow line; nothing piles up here.
            link.hurt += 1
            await asyncio.sleep(len(frame) / link.bytes_per_second)
        return self._pass(frame, body, link)

    def _pass(self, frame: bytes, message: bytes, link: Link) -> bool:
        """Do to a message what its link says; False: the connection is to be closed."""
        chance = self._network.chance
        if chance(link.close):
            link.hurt += 1
            return False
        if link.is_cut or chance(link.drop):
            link.hurt += 1
            return True
        link.passed += 1
        is_twice = chance(link.duplicate) and not _is_forwarded_proposal(message)
        for _ in range(1 + is_twice):
            self._send(frame, link)
        return True

    def _send(self, frame: bytes, link: Link) -> None:
        now = asyncio.get_running_loop().time()
        if self._network.chance(link.reorder):
            # Its followers do not wait for it.
            self._later(frame, now + _OVERTAKEN_SECONDS, link)
            return
        due = max(self._due, now + self._network.delay_of(link))
        if due <= now:
            self._writer.write(frame)
            return
        self._due = due
        self._later(frame, due, link)

    def _later(self, frame: bytes, due: float, link: Link) -> None:
        link.hurt += 1

        def write() -> None:
            if not self._writer.is_closing():
                self._writer.write(frame)

        asyncio.get_running_loop().call_at(due, write)
