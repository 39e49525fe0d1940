"""Responsible for what raft adds to /metrics: counted on the path of heartbeats, so cheaply."""

from __future__ import annotations

from zetcd.messages.base import Message
from zetcd.messages.node import Figure, LeaderInfo, Role
from zetcd.messages.raft import Heartbeat, HeartbeatResp
from zetcd.metrics import Histogram, figure, histogram_figure
from zetcd.raft.status import Status
from zetcd.scalars import NodeID

_ROUND_TRIP = "etcd_network_peer_round_trip_time_seconds"
_LATENESS = "zetcd_raft_tick_lateness_seconds"


class _Peer:
    """What went to one peer and came from it."""

    __slots__ = ("failures", "heard_at", "heartbeat_at", "received", "round_trip", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0
        self.failures = 0
        self.heard_at = float("-inf")
        #: When the heartbeat left that is not answered yet; 0 = none.
        self.heartbeat_at = 0.0
        self.round_trip = Histogram.of(_ROUND_TRIP)


class RaftFigures:
    """Counts of one raft actor."""

    def __init__(self, node_id: NodeID, active_seconds: float) -> None:
        """Start at 0; a peer is active for ``active_seconds`` after it was heard."""
        self._node_id = node_id
        self._active_seconds = active_seconds
        self._peers: dict[NodeID, _Peer] = {}
        self._members: tuple[NodeID, ...] = ()
        self._leader_changes = 0
        self._heartbeat_failures = 0
        self._reads_failed = 0
        self._lateness = Histogram.of(_LATENESS)

    def _peer(self, node_id: NodeID) -> _Peer:
        peer = self._peers.get(node_id)
        if peer is None:
            peer = self._peers[node_id] = _Peer()
        return peer

    def sent(self, message: Message, to: NodeID, size: int, now: float, *, is_sent: bool) -> None:
        """Count a message to a peer."""
        peer = self._peer(to)
        if not is_sent:
            peer.failures += 1
            self._heartbeat_failures += type(message) is Heartbeat
            return
        peer.sent += size
        if type(message) is Heartbeat:
            peer.heartbeat_at = now

    def received(self, sender: NodeID, size: int, now: float) -> None:
        """Count a frame from a peer."""
        peer = self._peer(sender)
        peer.received += size
        peer.heard_at = now

    def answered(self, message: Message, sender: NodeID, now: float) -> None:
        """Measure the way of a heartbeat there and back."""
        if type(message) is HeartbeatResp:
            peer = self._peer(sender)
            if peer.heartbeat_at:
                peer.round_trip.observe(now - peer.heartbeat_at)
                peer.heartbeat_at = 0.0

    def led(self, before: LeaderInfo, after: LeaderInfo) -> None:
        """Count a new leader; as in etcd, the one that is found first counts too."""
        if after.leader and after.leader != before.leader:
            self._leader_changes += 1

    def ticked(self, late_seconds: float) -> None:
        """Count a tick."""
        self._lateness.observe(max(0.0, late_seconds))

    def read_failed(self) -> None:
        """Count a read whose round failed."""
        self._reads_failed += 1

    def set_members(self, node_ids: tuple[NodeID, ...]) -> None:
        """Note who the peers are; figures of others are dropped."""
        self._members = node_ids
        self._peers = {each: peer for each, peer in self._peers.items() if each in node_ids}

    def figures(self, status: Status, now: float) -> tuple[Figure, ...]:
        """Return everything counted."""
        return (
            figure("etcd_server_has_leader", status.leader != 0),
            figure("etcd_server_is_leader", status.role is Role.LEADER),
            figure("etcd_server_is_learner", status.is_learner),
            figure("etcd_server_leader_changes_seen_total", self._leader_changes),
            figure("etcd_server_proposals_committed_total", status.committed),
            figure("etcd_server_heartbeat_send_failures_total", self._heartbeat_failures),
            figure("etcd_server_read_indexes_failed_total", self._reads_failed),
            figure("zetcd_raft_fit_to_lead", status.is_fit),
            histogram_figure(_LATENESS, self._lateness),
            # As in etcd, a member knows itself.
            *(
                figure("etcd_network_known_peers", 1, f"{self._node_id:x}", f"{member:x}")
                for member in self._members
            ),
            *(
                each
                for member in self._members
                if member != self._node_id
                for each in self._peer_figures(member, now)
            ),
        )

    def _peer_figures(self, node_id: NodeID, now: float) -> tuple[Figure, ...]:
        peer = self._peer(node_id)
        own, other = f"{self._node_id:x}", f"{node_id:x}"
        is_active = now - peer.heard_at <= self._active_seconds
        return (
            figure("etcd_network_active_peers", is_active, own, other),
            figure("etcd_network_peer_sent_bytes_total", peer.sent, other),
            figure("etcd_network_peer_received_bytes_total", peer.received, other),
            figure("etcd_network_peer_sent_failures_total", peer.failures, other),
            histogram_figure(_ROUND_TRIP, peer.round_trip, other),
        )
