"""Responsible for what raft says to wal and apply, and what they answer.

The shape is etcd-raft's asynchronous storage: raft names what must become durable and attaches the
answers that may leave only then. Messages to the same target are handled in order and never dropped;
messages to different targets may overtake each other.
"""

from __future__ import annotations

from zetcd.messages.base import Message
from zetcd.messages.raft import ConfState, HardState, LogEntry, PeerMessage, SnapshotMetadata
from zetcd.scalars import Index, NodeID, Term


class StorageAppend(Message, frozen=True, tag=150):
    """raft → wal: make this durable with one fdatasync, then release ``responses`` without understanding them."""

    #: Consecutive; the first may overwrite (truncate) an older suffix of the log.
    entries: tuple[LogEntry, ...] = ()
    #: None = unchanged.
    hard_state: HardState | None = None
    #: None = no snapshot to install.
    snapshot: SnapshotMetadata | None = None
    #: For peers, or for raft itself (``to`` = own id).
    responses: tuple[PeerMessage, ...] = ()


class Appended(Message, frozen=True, tag=151):
    """wal → raft: everything up to here is durable; these are the attached responses of one fdatasync."""

    responses: tuple[PeerMessage, ...]
    #: Time the fdatasync took, in microseconds (for status and metrics).
    fsync_us: int = 0
    #: Entries that this one fdatasync made durable (group commit size).
    entries_count: int = 0


class StorageApply(Message, frozen=True, tag=152):
    """raft → apply: these entries are committed; consecutive, in log order."""

    entries: tuple[LogEntry, ...]
    #: Committed index as raft knows it, for the apply lag.
    committed: Index


class Applied(Message, frozen=True, tag=153):
    """apply → raft: everything up to ``index`` is applied and visible in LMDB."""

    index: Index


class LogRead(Message, frozen=True, tag=154):
    """raft → wal: read entries ``[low, high)`` that raft no longer holds in memory."""

    #: Echoed in the answer: the peer that needs the entries, or 0 for apply.
    target: NodeID
    low: Index
    high: Index
    #: At least one entry is returned whatever its size.
    bytes_max: int


class LogReadResp(Message, frozen=True, tag=155):
    """wal → raft: the entries, possibly fewer than asked; empty = they are compacted or were overwritten."""

    target: NodeID
    low: Index
    entries: tuple[LogEntry, ...]


class LivenessQuery(Message, frozen=True, tag=158):
    """raft → wal, apply: are you there? Asked only of one that has said nothing for a while, once.

    Lost: whoever is not there does not answer, and a new incarnation is asked again.
    """


class LivenessAnswer(Message, frozen=True, tag=159):
    """wal, apply → raft: answers `LivenessQuery`, in the turn in which it was read."""

    #: The process that answers; whether the kernel has stopped it shows there.
    pid: int


class TermRun(Message, frozen=True):
    """Entries from ``first_index`` up to the next run have this ``term``."""

    first_index: Index
    term: Term


class WalState(Message, frozen=True, tag=156):
    """wal → raft, the resync handshake: what recovery found. raft builds its core from this and `ApplyState`."""

    hard_state: HardState
    #: The newest checkpoint that the log has marked (0, 0 without one).
    snapshot: SnapshotMetadata
    last_index: Index
    #: The terms of the whole log, first to last; empty = empty log.
    term_runs: tuple[TermRun, ...]
    #: The newest entries, at most the configured tail; the older ones are read by `LogRead`.
    tail: tuple[LogEntry, ...]
    #: First index that can be read; may lie below the mark, for followers that are a little behind.
    #: 0 = the one behind the mark.
    first_index: Index = 0
    #: Term of the entry before ``first_index``.
    previous_term: Term = 0


class ApplyState(Message, frozen=True, tag=157):
    """apply → raft, the resync handshake: how far the state machine is and the membership at that point."""

    applied_index: Index
    applied_term: Term
    conf_state: ConfState
