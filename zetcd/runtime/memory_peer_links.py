"""Responsible for peer links in memory: the promises of `zetcd.runtime.peer_socket` without sockets.

For tests and simulation. What is sent stays in `MemoryNetwork.in_flight` until its owner delivers it,
so the owner decides about order, delay, loss and duplication. Frames are handed over as bytes: what
is decoded is what a wire would carry.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from zetcd.runtime.peer_socket import KIND_RAFT, PeerFrame
from zetcd.scalars import NodeID

#: Frames that wait between two members; past it a sender is refused, as by a full pipe.
_FRAMES_MAX: Final = 4_096


class FrameInFlight(NamedTuple):
    """A frame on its way."""

    sender: NodeID
    to: NodeID
    kind: int
    body: bytes
    #: The lane it was sent on: frames of one lane arrive in order, those of two may overtake.
    is_urgent: bool


class MemoryNetwork:
    """Every frame between the members of one cluster.

    Invariant: ``in_flight`` holds frames in the order in which they were sent, apart from what the
    owner changes in it.
    """

    def __init__(self) -> None:
        """Start without members."""
        #: The owner may remove, repeat and re-order frames.
        self.in_flight: deque[FrameInFlight] = deque()
        self._links: dict[NodeID, MemoryPeerLinks] = {}

    def attach(self, node_id: NodeID, links: MemoryPeerLinks) -> None:
        """Let ``node_id`` be reached; a new incarnation takes the place of the old one."""
        self._links[node_id] = links

    def detach(self, node_id: NodeID, links: MemoryPeerLinks) -> None:
        """Forget a member that died, unless another incarnation is in its place already."""
        if self._links.get(node_id) is links:
            del self._links[node_id]

    def send(self, frame: FrameInFlight) -> bool:
        """Take a frame; False: its receiver is not there, or too much waits for it."""
        if frame.to not in self._links or self._is_full(frame):
            return False
        self.in_flight.append(frame)
        return True

    def _is_full(self, frame: FrameInFlight) -> bool:
        # Counted, not kept: the owner may change what is in flight.
        if len(self.in_flight) < _FRAMES_MAX:
            return False
        return sum(each[:2] == frame[:2] for each in self.in_flight) >= _FRAMES_MAX

    def deliver(self, frame: FrameInFlight) -> bool:
        """Hand one frame to its receiver now; False: it is lost, because nobody is there."""
        links = self._links.get(frame.to)
        if links is None:
            return False
        links.arrived.append(PeerFrame(frame.sender, frame.kind, memoryview(frame.body)))
        return True

    def deliver_all(self) -> int:
        """Deliver everything in flight, in order; return how many frames arrived."""
        return sum(self.deliver(self.in_flight.popleft()) for _ in range(len(self.in_flight)))

    def lose(self, node_id: NodeID) -> int:
        """Drop what is in flight to or from ``node_id``; return how many frames were lost."""
        kept = [frame for frame in self.in_flight if node_id not in frame[:2]]
        lost = len(self.in_flight) - len(kept)
        self.in_flight = deque(kept)
        return lost


class MemoryPeerSender:
    """The sending half; implements `zetcd.runtime.peer_socket.PeerSender`."""

    def __init__(self, network: MemoryNetwork, node_id: NodeID) -> None:
        """Send through ``network`` in the name of ``node_id``."""
        self._network = network
        self._node_id = node_id
        #: Where the peers are, as last told; frames to anybody else are refused.
        self.peers: dict[NodeID, tuple[str, ...]] = {}

    def set_peers(self, peers: dict[NodeID, tuple[str, ...]]) -> None:
        """Know exactly these peers."""
        self.peers = {
            each: urls for each, urls in sorted(peers.items()) if each != self._node_id and urls
        }

    def send(
        self, to: NodeID, body: bytes, *, kind: int = KIND_RAFT, is_urgent: bool = True
    ) -> bool:
        """Send without waiting; False: the frame is lost."""
        if to not in self.peers:
            return False
        return self._network.send(FrameInFlight(self._node_id, to, kind, body, is_urgent))

    def send_once(self, urls: tuple[str, ...], to: NodeID, body: bytes, *, kind: int) -> None:
        """Send one frame to somebody who is no peer; in memory ids are enough to be found."""
        if urls:
            self._network.send(FrameInFlight(self._node_id, to, kind, body, True))

    def close(self) -> None:
        """Do nothing: what was sent is on its way."""


class MemoryPeerLinks(MemoryPeerSender):
    """The links of one member; implements `zetcd.runtime.peer_socket.PeerLinks`."""

    def __init__(self, network: MemoryNetwork, node_id: NodeID) -> None:
        """Attach to ``network`` as ``node_id``."""
        super().__init__(network, node_id)
        #: Delivered and not yet received.
        self.arrived: deque[PeerFrame] = deque()
        network.attach(node_id, self)

    def receive(self, limit: int) -> list[PeerFrame]:
        """Return at most ``limit`` frames."""
        return [self.arrived.popleft() for _ in range(min(limit, len(self.arrived)))]

    def rejections(self) -> tuple[str, ...]:
        """Return nothing: frames in memory are never another cluster's."""
        return ()

    def close(self) -> None:
        """Leave the network; what is on its way to this member is lost."""
        self.arrived.clear()
        self._network.detach(self._node_id, self)
