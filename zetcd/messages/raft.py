"""Responsible for what raft cores say to each other and the log entry they agree on.

Every peer message names its ``sender``, its receiver ``to`` and the sender's ``term``. All of them
may be lost, duplicated or re-ordered; raft tolerates each of these, but for a `ForwardProposal` that
is duplicated: its proposals would be appended twice. Links over TCP lose frames and never repeat one.
"""

from __future__ import annotations

from enum import IntEnum

from zetcd.messages.base import Message
from zetcd.scalars import Index, NodeID, Term


class EntryType(IntEnum):
    """What the data of a log entry means."""

    #: ``data`` is an opaque payload for apply (empty: the entry a new leader commits, Raft §8).
    NORMAL = 0
    #: ``data`` is an encoded `ConfChange`.
    CONF_CHANGE = 1


class LogEntry(Message, frozen=True):
    """One slot of the replicated log."""

    type: EntryType
    term: Term
    index: Index
    #: Opaque to raft. Empty in the no-op entry of a new leader.
    data: bytes = b""


class HardState(Message, frozen=True):
    """Raft state that must be durable before any answer that depends on it leaves (Raft §5, Figure 2)."""

    term: Term = 0
    #: The candidate voted for in ``term``; 0 = none.
    vote: NodeID = 0
    #: Highest index known to be committed; only a hint, safe to lose.
    commit: Index = 0


class ConfState(Message, frozen=True):
    """The membership that the log has produced up to some index; both tuples are sorted."""

    voters: tuple[NodeID, ...] = ()
    learners: tuple[NodeID, ...] = ()


class ConfChangeType(IntEnum):
    """The single-member changes of the Raft thesis, section 4.2."""

    ADD_NODE = 0
    REMOVE_NODE = 1
    UPDATE_NODE = 2
    ADD_LEARNER = 3


class ConfChange(Message, frozen=True):
    """Changes one member; travels as the data of a CONF_CHANGE entry."""

    type: ConfChangeType
    node_id: NodeID
    #: Opaque to raft: an encoded `zetcd.messages.cluster.Member` (apply stores it).
    context: bytes = b""
    #: Identifies the proposal to its proposer; 0 = nobody waits.
    request_id: int = 0
    #: Opaque to raft: the encoded `zetcd.messages.node.Origin` of who waits; empty = nobody.
    origin: bytes = b""


class SnapshotMetadata(Message, frozen=True):
    """Names the point of the log that a snapshot stands for."""

    index: Index
    term: Term
    conf_state: ConfState


class PreVote(Message, frozen=True, tag=131):
    """Asks whether an election at ``term`` could be won (thesis §9.6).

    Does not change the receiver's term. ``term`` is the term the sender *would* campaign in.
    """

    sender: NodeID
    to: NodeID
    term: Term
    last_index: Index
    last_term: Term


class PreVoteResp(Message, frozen=True, tag=132):
    """Answers `PreVote`; granted answers echo the asked term, refusals carry the receiver's own."""

    sender: NodeID
    to: NodeID
    term: Term
    rejected: bool = False
    #: Of a refusal: what the sender knows to be committed, and the term of that entry.
    commit: Index = 0
    commit_term: Term = 0


class Vote(Message, frozen=True, tag=133):
    """Asks for a vote in ``term`` (Raft §5.2)."""

    sender: NodeID
    to: NodeID
    term: Term
    last_index: Index
    last_term: Term
    #: Set in a leadership transfer: the receiver ignores its leader lease (thesis §3.10).
    is_transfer: bool = False


class VoteResp(Message, frozen=True, tag=134):
    """Answers `Vote`; leaves only after the vote is durable."""

    sender: NodeID
    to: NodeID
    term: Term
    rejected: bool = False
    #: Of a refusal: what the sender knows to be committed, and the term of that entry.
    commit: Index = 0
    commit_term: Term = 0


class Append(Message, frozen=True, tag=135):
    """Replicates entries that follow ``(prev_index, prev_term)`` (Raft §5.3); empty = a probe or a commit update."""

    sender: NodeID
    to: NodeID
    term: Term
    prev_index: Index
    prev_term: Term
    commit: Index
    entries: tuple[LogEntry, ...] = ()
    #: Nothing but the news of a commit, to a peer whose answers are not missing: wants no answer, unless
    #: the logs do not agree. Saves the follower's wal and the leader a turn for each commit.
    is_news: bool = False


class AppendResp(Message, frozen=True, tag=136):
    """Answers `Append` and `InstallSnapshot`; leaves only after the entries it accepts are durable."""

    sender: NodeID
    to: NodeID
    term: Term
    #: Accepted: the last index that matches. Rejected: the ``prev_index`` that did not match.
    index: Index
    rejected: bool = False
    #: Rejected: where the follower's log may match, so that whole terms are skipped (Raft §5.3).
    hint_index: Index = 0
    hint_term: Term = 0


class Heartbeat(Message, frozen=True, tag=137):
    """Keeps the leader alive and confirms reads; carries no entries and never waits for a disk."""

    sender: NodeID
    to: NodeID
    term: Term
    #: ``min(match_index, committed)``: safe even when re-ordered with `Append`.
    commit: Index
    #: Newest ReadIndex round that this heartbeat confirms; 0 = none.
    read_context: int = 0


class HeartbeatResp(Message, frozen=True, tag=138):
    """Answers `Heartbeat`, echoing its ``read_context``."""

    sender: NodeID
    to: NodeID
    term: Term
    read_context: int = 0
    #: Clients of the sender wait for what is committed (they watch): tell it at once.
    is_awaited: bool = False
    #: The sender could do a leader's work: its disk and its apply keep up.
    is_fit: bool = True
    #: The log of the sender agrees with the leader's up to here, in memory only: its disk is slow. A
    #: reason to send on, never to commit. 0 = what is acknowledged is all.
    agreed_index: Index = 0


class InstallSnapshot(Message, frozen=True, tag=139):
    """Tells a follower that its next entries are compacted and which snapshot takes their place (Raft §7).

    The bytes travel on a connection of their own; this message names the snapshot only.
    """

    sender: NodeID
    to: NodeID
    term: Term
    snapshot: SnapshotMetadata
    #: Where the bytes can be fetched; the actor that sends this fills it in, the core does not know.
    source_urls: tuple[str, ...] = ()


class TimeoutNow(Message, frozen=True, tag=140):
    """Tells the transferee to campaign at once (thesis §3.10)."""

    sender: NodeID
    to: NodeID
    term: Term


class ForwardProposal(Message, frozen=True, tag=141):
    """A follower hands proposals to the leader; lost = the proposer's deadline decides, outcome unknown."""

    sender: NodeID
    to: NodeID
    term: Term
    #: Pairs of entry type and data, in order.
    proposals: tuple[tuple[EntryType, bytes], ...]


class ForwardReadIndex(Message, frozen=True, tag=142):
    """A follower asks the leader for a read index; ``context`` is unique per (sender, incarnation, round)."""

    sender: NodeID
    to: NodeID
    #: The one that the sender was in when it asked; safety rests on it if ``acknowledges``.
    term: Term
    context: int
    #: Like an answer to a heartbeat: the sender follows this leader after its reads were asked for.
    acknowledges: bool = False


class ReadIndexResp(Message, frozen=True, tag=143):
    """Answers `ForwardReadIndex`; ``rejected`` means: ask again, I could not confirm it."""

    sender: NodeID
    to: NodeID
    term: Term
    context: int
    index: Index
    rejected: bool = False


class ForwardTransfer(Message, frozen=True, tag=144):
    """A follower hands a leadership transfer request to the leader."""

    sender: NodeID
    to: NodeID
    term: Term
    transferee: NodeID


class SnapshotFailed(Message, frozen=True, tag=146):
    """A follower could not get the snapshot at ``index`` that the leader has offered, or it is damaged."""

    sender: NodeID
    to: NodeID
    term: Term
    index: Index


class StorageAppendResp(Message, frozen=True, tag=145):
    """Tells raft that its own log is durable up to ``(index, log_term)``; attached to `StorageAppend`.

    ``log_term`` guards against the ABA race: entries at ``index`` may have been replaced by entries of
    a newer term while the older write was on its way to the disk.
    """

    sender: NodeID
    to: NodeID
    #: The term in which the write was requested.
    term: Term
    #: 0 = no entries in this write.
    index: Index = 0
    log_term: Term = 0
    #: Index of the snapshot this write made durable; 0 = none.
    snapshot_index: Index = 0


#: What one raft core may say to another (or, `StorageAppendResp`, to itself through its wal).
PeerMessage = (
    PreVote
    | PreVoteResp
    | Vote
    | VoteResp
    | Append
    | AppendResp
    | Heartbeat
    | HeartbeatResp
    | InstallSnapshot
    | TimeoutNow
    | ForwardProposal
    | ForwardReadIndex
    | ReadIndexResp
    | ForwardTransfer
    | SnapshotFailed
    | StorageAppendResp
)
