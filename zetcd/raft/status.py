"""Responsible for the read-only picture of a core, for status calls, metrics and tests."""

from __future__ import annotations

import msgspec

from zetcd.messages.node import Role
from zetcd.raft.progress import ProgressState
from zetcd.scalars import Index, NodeID, Term, Ticks


class PeerStatus(msgspec.Struct, frozen=True, gc=False):
    """One other member, as the leader sees it."""

    node_id: NodeID
    match_index: Index
    next_index: Index
    state: ProgressState
    #: Heard from within the current check-quorum period.
    recent_active: bool
    #: It says that it could lead.
    is_fit: bool
    is_learner: bool
    #: Nothing is sent until the peer answers, or the wal has read old entries.
    is_paused: bool
    inflight_messages: int
    inflight_bytes: int


class Status(msgspec.Struct, frozen=True, gc=False):
    """One node; `RawNode.status`."""

    node_id: NodeID
    term: Term
    vote: NodeID
    leader: NodeID
    role: Role
    #: Index just before the first entry of the log is ``first_index - 1``.
    first_index: Index
    last_index: Index
    #: The own disk has everything up to here.
    durable_index: Index
    committed: Index
    #: Handed to apply.
    applying: Index
    #: Reported by apply.
    applied: Index
    voters: tuple[NodeID, ...]
    learners: tuple[NodeID, ...]
    is_learner: bool
    #: Whether this node belongs to the membership it knows.
    is_member: bool
    #: Target of a leadership transfer under way; 0 = none.
    transferee: NodeID
    #: Configuration changes are refused until this index is applied.
    pending_conf_index: Index
    #: Bytes of entries not yet durable on the own disk.
    unstable_bytes: int
    #: Bytes of entries not yet committed.
    uncommitted_bytes: int
    #: Bytes of entries in memory.
    tail_bytes: int
    #: How long the oldest write has been waiting for the own disk.
    unstable_ticks: Ticks
    #: Bytes, writes or time exceed their limits: the disk does not keep up.
    is_storage_stalled: bool
    #: This member could do a leader's work.
    is_fit: bool
    #: Other members by id; empty unless leader.
    progress: tuple[PeerStatus, ...] = ()
