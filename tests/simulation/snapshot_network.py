"""Responsible for the connections on which simulated members send each other checkpoints.

They use the links of the network: cut, lossy and slow as these are. A connection keeps order, as TCP does,
but for links that duplicate: there, frames of one connection overtake each other. What is on its way when
either end goes is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from tests.simulation.link import Link
from tests.simulation.world import World
from zetcd.messages.snapshot import SnapshotChunk, SnapshotRequest
from zetcd.runtime.snapshot_socket import Answer, Asked
from zetcd.scalars import NodeID


@dataclass(slots=True, eq=False)
class Connection:
    """One connection of a fetcher, until it makes the next."""

    name: bytes
    fetcher: SimulatedFetcher
    listener: SimulatedListener
    is_open: bool = True
    #: When the last frame arrives, there and back.
    there_at: float = 0.0
    back_at: float = 0.0


class SnapshotNetwork:
    """Who listens where, and what is on its way."""

    def __init__(self, world: World, links: Callable[[NodeID, NodeID], Link]) -> None:
        self.world = world
        self._rng = world.rng("snapshots")
        self._links = links
        self.listeners: dict[str, SimulatedListener] = {}
        self._connections = 0

    def connect(self, fetcher: SimulatedFetcher, url: str) -> Connection | None:
        """Return a new connection, None if nobody listens there."""
        listener = self.listeners.get(url)
        if listener is None or listener.node_id == fetcher.node_id:
            return None
        self._connections += 1
        connection = Connection(b"%d" % self._connections, fetcher, listener)
        listener.connections[connection.name] = connection
        return connection

    def ask(self, connection: Connection, request: SnapshotRequest) -> None:
        """Send a request on its way."""
        listener = connection.listener
        link = self._links(connection.fetcher.node_id, listener.node_id)

        def arrive() -> None:
            if self._is_whole(connection) and not link.is_cut:
                listener.asked.append(Asked(connection.name, request))
                listener.wake()

        if self._gets_through(link):
            connection.there_at = self._arrival(link, connection.there_at)
            self.world.at(connection.there_at, arrive)

    def answer(self, connection: Connection, answer: Answer) -> None:
        """Send an answer on its way."""
        fetcher = connection.fetcher
        link = self._links(connection.listener.node_id, fetcher.node_id)
        if isinstance(answer, SnapshotChunk):
            self.world.note("chunk", f"{answer.index} {answer.offset}")
            if answer.body and self._rng.random() < link.damage:
                self.world.note("damaged chunk", f"{answer.index} {answer.offset}")
                answer = _damaged(answer, self._rng.randrange(len(answer.body)))

        def arrive() -> None:
            if self._is_whole(connection) and not link.is_cut:
                fetcher.answers.append(answer)
                fetcher.wake()

        if self._gets_through(link):
            connection.back_at = self._arrival(link, connection.back_at)
            self.world.at(connection.back_at, arrive)

    def _gets_through(self, link: Link) -> bool:
        return not link.is_cut and self._rng.random() >= link.loss

    def _arrival(self, link: Link, last: float) -> float:
        """Return when a frame arrives: not before the last one, unless the link mixes them up."""
        time = self.world.now + self._rng.uniform(link.delay_min, link.delay_max)
        return time if link.duplication else max(time, last)

    def _is_whole(self, connection: Connection) -> bool:
        listener = connection.listener
        return connection.is_open and self.listeners.get(listener.url) is listener


def _damaged(chunk: SnapshotChunk, position: int) -> SnapshotChunk:
    body = bytearray(chunk.body)
    body[position] ^= 1
    return replace(chunk, body=bytes(body))


class SimulatedListener:
    """The `SnapshotListener` of one incarnation of a snapshot actor; each has a port of its own."""

    def __init__(
        self,
        network: SnapshotNetwork,
        node_id: NodeID,
        host: str,
        port: int,
        wake: Callable[[], None],
    ) -> None:
        self._network = network
        self.node_id = node_id
        self.url = f"{host}:{port}"
        self.wake = wake
        self.asked: deque[Asked] = deque()
        self.connections: dict[bytes, Connection] = {}
        network.listeners[self.url] = self

    @property
    def urls(self) -> tuple[str, ...]:
        return (self.url,)

    def receive(self, limit: int) -> list[Asked]:
        return [self.asked.popleft() for _ in range(min(limit, len(self.asked)))]

    def send(self, receiver: bytes, answer: Answer) -> bool:
        connection = self.connections[receiver]
        if not connection.is_open:
            return False
        self._network.answer(connection, answer)
        return True

    def close(self) -> None:
        self._network.listeners.pop(self.url, None)


class SimulatedFetcher:
    """The `SnapshotFetcher` of one incarnation of a snapshot actor."""

    def __init__(self, network: SnapshotNetwork, node_id: NodeID, wake: Callable[[], None]) -> None:
        self._network = network
        self.node_id = node_id
        self.wake = wake
        self.answers: deque[Answer] = deque()
        self._connection: Connection | None = None

    def connect(self, url: str) -> None:
        self.close()
        self._connection = self._network.connect(self, url)

    def send(self, request: SnapshotRequest) -> bool:
        if self._connection is not None:
            self._network.ask(self._connection, request)
        return True

    def receive(self, limit: int) -> list[Answer]:
        return [self.answers.popleft() for _ in range(min(limit, len(self.answers)))]

    def close(self) -> None:
        self.answers.clear()
        if self._connection is not None:
            self._connection.is_open = False
            self._connection = None
