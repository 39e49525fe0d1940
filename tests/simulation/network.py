"""Responsible for the network between nodes: loses, delays, duplicates, re-orders, and is cut.

Each direction between two nodes has its own state, so that a partition can be one-way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from tests.simulation.link import Link
from tests.simulation.snapshot_network import SnapshotNetwork
from tests.simulation.world import World
from zetcd.messages.codec import UnionDecoder
from zetcd.messages.raft import ForwardProposal, PeerMessage
from zetcd.runtime.peer_socket import KIND_RAFT, PeerFrame
from zetcd.scalars import NodeID

_PEER: Final = UnionDecoder(PeerMessage)
#: Sees every raft message that a node sends, before the network has its way with it.
Tap = Callable[[NodeID, PeerMessage], None]
#: Sees the same; returns whether it has seen enough.
Snare = Callable[[NodeID, PeerMessage], bool]


class Network:
    """All links, and who listens at their ends."""

    def __init__(self, world: World, node_ids: list[NodeID], tap: Tap) -> None:
        self._world = world
        self._rng = world.rng("network")
        self._tap = tap
        self.node_ids = sorted(node_ids)
        self.links = {
            (sender, to): Link() for sender in self.node_ids for to in self.node_ids if sender != to
        }
        self._ends: dict[NodeID, SimulatedLinks] = {}
        self.snares: list[Snare] = []
        self.snapshots = SnapshotNetwork(world, lambda sender, to: self.links[sender, to])

    def attach(self, node_id: NodeID, end: SimulatedLinks) -> None:
        self._ends[node_id] = end

    def detach(self, node_id: NodeID, end: SimulatedLinks) -> None:
        if self._ends.get(node_id) is end:
            del self._ends[node_id]

    def transmit(self, sender: NodeID, to: NodeID, kind: int, body: bytes) -> bool:
        """Send a frame on its way; False: the sender can tell that nobody is there."""
        message = _PEER.decode(body) if kind == KIND_RAFT else None
        if message is not None:
            self._tap(sender, message)
            self.snares = [snare for snare in self.snares if not snare(sender, message)]
        link, rng = self.links[sender, to], self._rng
        if to not in self._ends and rng.random() < 0.5:
            return False
        if link.is_cut or rng.random() < link.loss:
            self._world.counts["lost"] = self._world.counts.get("lost", 0) + 1
            return True
        # Links over TCP never duplicate anything; for this message it would matter.
        is_twice = rng.random() < link.duplication and type(message) is not ForwardProposal
        copies = 2 if is_twice else 1
        for _ in range(copies):
            delay = rng.uniform(link.delay_min, link.delay_max)
            self._world.after(delay, lambda: self._arrive(sender, to, kind, body))
        return True

    def _arrive(self, sender: NodeID, to: NodeID, kind: int, body: bytes) -> None:
        end = self._ends.get(to)
        if end is not None and not self.links[sender, to].is_cut:
            self._world.note_bytes(body)
            end.frames.append(PeerFrame(sender, kind, memoryview(body)))
            end.wake()

    def heal(self) -> None:
        """Make every link a good one."""
        for key in self.links:
            self.links[key] = Link()


class SimulatedSender:
    """The `PeerSender` of one incarnation of a wal actor.

    It finds everybody: the members in a log that is behind are those of long ago.
    """

    def __init__(
        self, network: Network, node_id: NodeID, known_peers: dict[NodeID, tuple[str, ...]]
    ) -> None:
        self._network = network
        self._node_id = node_id
        self._known_peers = known_peers
        self._peers = known_peers

    def set_peers(self, peers: dict[NodeID, tuple[str, ...]]) -> None:
        peers = {**self._known_peers, **peers}
        self._peers = {key: urls for key, urls in peers.items() if key != self._node_id and urls}

    def send(
        self, to: NodeID, body: bytes, *, kind: int = KIND_RAFT, is_urgent: bool = True
    ) -> bool:
        if to not in self._peers:
            return False
        return self._network.transmit(self._node_id, to, kind, body)

    def send_once(self, urls: tuple[str, ...], to: NodeID, body: bytes, *, kind: int) -> None:
        if urls:
            self._network.transmit(self._node_id, to, kind, body)

    def close(self) -> None:
        """Do nothing: what was sent is on its way."""


class SimulatedLinks(SimulatedSender):
    """The `PeerLinks` of one incarnation of a raft actor."""

    def __init__(
        self,
        network: Network,
        node_id: NodeID,
        known_peers: dict[NodeID, tuple[str, ...]],
        wake: Callable[[], None],
    ) -> None:
        super().__init__(network, node_id, known_peers)
        self.frames: deque[PeerFrame] = deque()
        self.wake = wake
        network.attach(node_id, self)

    def receive(self, limit: int) -> list[PeerFrame]:
        return [self.frames.popleft() for _ in range(min(limit, len(self.frames)))]

    def rejections(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        self._network.detach(self._node_id, self)
