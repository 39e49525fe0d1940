"""Responsible for the links between the raft actors of different nodes; knows frames, not their meaning.

Each node binds one PULL socket per peer listen URL and connects two PUSH sockets to the advertised URL
of every peer: one lane for small urgent messages (heartbeats, votes, answers), one for entries, so that
a heartbeat never queues behind megabytes. A frame is a 28-byte header and a MessagePack body:

    magic(1) major(1) kind(1) reserved(1) cluster id(8) sender(8) receiver(8) | body

A link may lose frames (a full or missing connection refuses them); raft is made for that.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import zmq

from zetcd.config.urls import PEER_SCHEMES, parse_url
from zetcd.runtime.mailbox import has_input
from zetcd.runtime.peer_routes import DIRECT, Channel, PeerRoutes
from zetcd.scalars import NodeID

_HEADER: Final = struct.Struct(">BBBBQQQ")
_MAGIC: Final = 0x70
#: Changes only when old and new cannot talk to each other.
PEER_MAJOR: Final = 1

#: Body is a `PeerMessage` of raft.
KIND_RAFT: Final = 1
#: Body is a `PeerControl` message.
KIND_CONTROL: Final = 2
#: Body is a `PeerJoin` message. The cluster and receiver of the header mean nothing: the sender does not
#: know them yet.
KIND_JOIN: Final = 3

#: Frames that wait in an urgent lane: some seconds of heartbeats and answers.
_URGENT_FRAMES_MAX: Final = 4_096
#: Frames that wait in an entries lane; raft's inflight window bounds their bytes.
_ENTRIES_FRAMES_MAX: Final = 1_024
#: How long a frame for somebody who is no peer may be on its way.
_ONCE_LINGER_MS: Final = 1_000
#: Different reasons kept until they are asked for.
_REJECTIONS_MAX: Final = 16


def pack_join_frame(body: bytes) -> bytes:
    """Return a frame of a node that knows neither its cluster nor itself yet."""
    return _HEADER.pack(_MAGIC, PEER_MAJOR, KIND_JOIN, 0, 0, 0, 0) + body


class PeerFrame(NamedTuple):
    """One frame that passed the header checks."""

    sender: NodeID
    kind: int
    body: memoryview


def unpack_frame(parts: list[bytes]) -> PeerFrame | None:
    """Return a frame of this version of the protocol, whomever it is meant for; None: it is none."""
    frame = parts[0]
    if len(parts) != 1 or len(frame) < _HEADER.size:
        return None
    magic, major, kind, _, _, sender, _ = _HEADER.unpack_from(frame)
    if magic != _MAGIC or major != PEER_MAJOR:
        return None
    return PeerFrame(sender, kind, memoryview(frame)[_HEADER.size :])


class PeerSender(Protocol):
    """What it takes to send to other nodes."""

    def set_peers(self, peers: dict[NodeID, tuple[str, ...]]) -> None:
        """Connect to exactly these peers at their URLs."""
        ...

    def send(
        self, to: NodeID, body: bytes, *, kind: int = KIND_RAFT, is_urgent: bool = True
    ) -> bool:
        """Send without waiting; False: the frame is lost."""
        ...

    def send_once(self, urls: tuple[str, ...], to: NodeID, body: bytes, *, kind: int) -> None:
        """Send one frame to somebody who is no peer, without waiting; it may be lost."""
        ...

    def close(self) -> None:
        """Close every link."""
        ...


class PeerLinks(PeerSender, Protocol):
    """What raft needs to talk to other nodes."""

    def receive(self, limit: int) -> list[PeerFrame]:
        """Return at most ``limit`` frames without waiting."""
        ...

    def rejections(self) -> tuple[str, ...]:
        """Return and forget why frames were rejected since the last call, each reason once."""
        ...


class _Peer:
    """The lanes to one peer: two, or one for a sender that sends no entries."""

    __slots__ = ("entries", "urgent", "urls")

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        urls: tuple[str, ...],
        *,
        has_entries_lane: bool,
        routes: PeerRoutes,
    ) -> None:
        self.urls = urls
        self.urgent = peer_lane(context, urls, _URGENT_FRAMES_MAX, routes=routes)
        self.entries = (
            peer_lane(context, urls, _ENTRIES_FRAMES_MAX, routes=routes)
            if has_entries_lane
            else self.urgent
        )

    def close(self, linger_ms: int) -> None:
        self.urgent.close(linger_ms)
        self.entries.close(linger_ms)


def peer_inbox(context: zmq.Context[zmq.Socket[bytes]], frame_bytes_max: int) -> zmq.Socket[bytes]:
    """Return a socket that receives frames of peers, to be bound."""
    socket = context.socket(zmq.PULL)
    socket.setsockopt(zmq.RCVHWM, _URGENT_FRAMES_MAX)
    socket.setsockopt(zmq.MAXMSGSIZE, frame_bytes_max)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 5_000)
    socket.setsockopt(zmq.LINGER, 0)
    return socket


def peer_lane(
    context: zmq.Context[zmq.Socket[bytes]],
    urls: tuple[str, ...],
    frames_max: int,
    *,
    is_immediate: bool = True,
    routes: PeerRoutes = DIRECT,
) -> zmq.Socket[bytes]:
    """Return a socket that sends frames to one of ``urls``: the first, or the first with TLS."""
    socket = context.socket(zmq.PUSH)
    socket.setsockopt(zmq.SNDHWM, frames_max)
    # Without IMMEDIATE, frames for a dead peer would pile up and reach it long after they made sense.
    socket.setsockopt(zmq.IMMEDIATE, int(is_immediate))
    socket.setsockopt(zmq.RECONNECT_IVL, 50)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1_000)
    # A link that went dead without a word (pulled cable) is torn down and made anew.
    socket.setsockopt(zmq.HEARTBEAT_IVL, 1_000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3_000)
    socket.setsockopt(zmq.CONNECT_TIMEOUT, 3_000)
    socket.setsockopt(zmq.LINGER, 0)
    # One URL is enough: PUSH to several would spread frames over them and lose their order.
    routes.connect(socket, urls)
    return socket


class ZmqPeerSender:
    """The sending half of peer links over ZeroMQ and TCP."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        *,
        cluster_id: int,
        node_id: NodeID,
        has_entries_lane: bool = False,
        routes: PeerRoutes = DIRECT,
    ) -> None:
        """Begin without peers; with an entries lane, frames that are not urgent never hold up others."""
        self._has_entries_lane = has_entries_lane
        self._routes = routes
        self._context = context
        self._cluster_id = cluster_id
        self._node_id = node_id
        self._peers: dict[NodeID, _Peer] = {}
        self._headers: dict[tuple[NodeID, int], bytes] = {}

    def set_peers(self, peers: dict[NodeID, tuple[str, ...]]) -> None:
        """Connect to exactly these peers at their URLs."""
        for node_id, peer in list(self._peers.items()):
            if peers.get(node_id) != peer.urls:
                peer.close(0)
                del self._peers[node_id]
        for node_id, urls in sorted(peers.items()):
            if node_id != self._node_id and node_id not in self._peers and urls:
                self._peers[node_id] = _Peer(
                    self._context,
                    urls,
                    has_entries_lane=self._has_entries_lane,
                    routes=self._routes,
                )

    def send(
        self, to: NodeID, body: bytes, *, kind: int = KIND_RAFT, is_urgent: bool = True
    ) -> bool:
        """Send without waiting; False: the frame is lost."""
        peer = self._peers.get(to)
        if peer is None:
            return False
        header = self._headers.get((to, kind))
        if header is None:
            header = _HEADER.pack(_MAGIC, PEER_MAJOR, kind, 0, self._cluster_id, self._node_id, to)
            self._headers[to, kind] = header
        try:
            (peer.urgent if is_urgent else peer.entries).send(header + body, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def send_once(self, urls: tuple[str, ...], to: NodeID, body: bytes, *, kind: int) -> None:
        """Send one frame to somebody who is no peer, without waiting; it may be lost."""
        header = _HEADER.pack(_MAGIC, PEER_MAJOR, kind, 0, self._cluster_id, self._node_id, to)
        try:
            parse_url(urls[0] if urls else "", PEER_SCHEMES)
            socket = peer_lane(self._context, urls, 1, is_immediate=False, routes=self._routes)
        except (ValueError, zmq.ZMQError):
            # Whoever gave this address is not reached by it.
            return
        with contextlib.suppress(zmq.Again):
            socket.send(header + body, zmq.NOBLOCK)
        # It is connected and sent after the socket was closed, or given up.
        socket.close(_ONCE_LINGER_MS)

    def close(self) -> None:
        """Close every socket, giving what was sent last (a leadership hand-over) a moment to leave."""
        for peer in self._peers.values():
            peer.close(200)


class ZmqPeerLinks(ZmqPeerSender):
    """Peer links over ZeroMQ and TCP."""

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        listen_urls: Sequence[str],
        *,
        cluster_id: int,
        node_id: NodeID,
        frame_bytes_max: int,
        routes: PeerRoutes = DIRECT,
    ) -> None:
        """Bind the listen URLs.

        Raises:
            PortInUse: another process listens on one of them.
            zmq.ZMQError: this machine cannot listen there at all.
        """
        super().__init__(
            context, cluster_id=cluster_id, node_id=node_id, has_entries_lane=True, routes=routes
        )
        self._inbox = peer_inbox(context, frame_bytes_max)
        routes.bind(self._inbox, listen_urls, Channel.RAFT)
        self._rejections: dict[str, None] = {}

    @property
    def inbox(self) -> zmq.Socket[bytes]:
        """The socket to poll for input."""
        return self._inbox

    def receive(self, limit: int) -> list[PeerFrame]:
        """Return at most ``limit`` frames without waiting."""
        frames: list[PeerFrame] = []
        receive = self._inbox.recv_multipart
        for _ in range(limit):
            if not has_input(self._inbox):
                break
            frame = self._check(receive(zmq.NOBLOCK))
            if frame is not None:
                frames.append(frame)
        return frames

    def _check(self, parts: list[bytes]) -> PeerFrame | None:
        """Return the frame if it is meant for this node of this cluster."""
        frame = parts[0]
        if len(parts) != 1 or len(frame) < _HEADER.size:
            self._reject("a peer frame is malformed")
            return None
        magic, major, kind, _, cluster_id, sender, to = _HEADER.unpack_from(frame)
        if magic != _MAGIC or major != PEER_MAJOR:
            self._reject(f"a peer speaks protocol version {major}, this node {PEER_MAJOR}")
        elif kind == KIND_JOIN:
            return PeerFrame(sender, kind, memoryview(frame)[_HEADER.size :])
        elif cluster_id != self._cluster_id:
            self._reject(
                f"cluster ID mismatch: member {sender:016x} belongs to cluster {cluster_id:016x}, "
                f"this node to {self._cluster_id:016x}"
            )
        elif to != self._node_id:
            self._reject(
                f"member {sender:016x} takes this node for {to:016x}; it is {self._node_id:016x}"
            )
        else:
            return PeerFrame(sender, kind, memoryview(frame)[_HEADER.size :])
        return None

    def _reject(self, reason: str) -> None:
        if len(self._rejections) < _REJECTIONS_MAX:
            self._rejections[reason] = None

    def rejections(self) -> tuple[str, ...]:
        """Return and forget why frames were rejected since the last call, each reason once."""
        reasons = tuple(self._rejections)
        self._rejections.clear()
        return reasons

    def close(self) -> None:
        """Close every socket."""
        self._inbox.close(0)
        super().close()
