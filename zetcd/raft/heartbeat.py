"""Responsible for the leader's heartbeats, which keep it in office and wait for no disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zetcd.messages.raft import Heartbeat

if TYPE_CHECKING:
    from zetcd.raft.raft import Raft
    from zetcd.scalars import NodeID


def broadcast_heartbeat(r: Raft) -> None:
    """Send every peer a heartbeat, which also repeats the ReadIndex round under way."""
    for peer in r.progress:
        send_heartbeat(r, peer)


def send_heartbeat(r: Raft, peer: NodeID) -> None:
    """Send one heartbeat."""
    progress = r.progress[peer]
    # Never beyond what the peer certainly has: a heartbeat may overtake the entries.
    commit = min(progress.match_index, r.log.committed)
    r.messages.append(Heartbeat(r.node_id, peer, r.term, commit, r.read_only.round_id))
    progress.sent_commit = max(progress.sent_commit, commit)
