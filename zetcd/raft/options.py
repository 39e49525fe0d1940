"""Responsible for what a raft core is started with: fixed options, and what its disk remembers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from zetcd.messages.raft import ConfState, HardState, LogEntry, SnapshotMetadata
from zetcd.messages.storage import ApplyState, TermRun, WalState
from zetcd.scalars import Index, NodeID, Term, Ticks

#: Called with one line for each change of role, leader, membership or snapshot; never per message.
Trace: TypeAlias = Callable[[str], None]


class RandomSource(Protocol):
    """Where election timeouts are drawn from; `random.Random` is one."""

    def randint(self, a: int, b: int, /) -> int:
        """Return a number in ``[a, b]``."""
        ...


_KIB = 1024
_MIB = 1024 * _KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftOptions:
    """Identity, timing and limits of one raft core; constant for its lifetime.

    Raises:
        ValueError: an option is outside its range; the text names it.
    """

    #: Own id; never 0.
    node_id: NodeID
    #: A follower that hears no leader for ``[election_ticks, 2 * election_ticks)`` ticks campaigns.
    election_ticks: Ticks = 10
    #: The leader sends heartbeats every so many ticks.
    heartbeat_ticks: Ticks = 1
    #: Ask whether an election could be won before raising the term (thesis §9.6).
    pre_vote: bool = True
    #: A leader that hears no quorum for an election timeout steps down; voters that hear a leader
    #: ignore candidates (thesis §6.2 and §4.2.3).
    check_quorum: bool = True
    #: Start value of ``election_elapsed``: a restarted member need not wait the whole timeout.
    initial_election_elapsed: Ticks = 0
    #: Start value of the ids of ReadIndex rounds, for example ``incarnation << 32``: an id is never
    #: used twice by one node, not even across restarts, so that late answers confirm nothing.
    read_round_seed: int = 0
    #: Bytes of entries in one `Append`; at least one entry goes whatever its size.
    append_bytes_max: int = 1 * _MIB
    #: `Append` messages with entries that one peer may leave unanswered.
    inflight_messages_max: int = 256
    #: Messages that a peer, or writes that the own wal, has not answered, from which on entries leave
    #: only once a tick: fewer and larger, and fewer answers at once when a disk wakes up.
    paced_messages_min: int = 1024
    #: Bytes of entries that one peer may leave unanswered; also bounds a follower's unstable log.
    inflight_bytes_max: int = 16 * _MIB
    #: Bytes of entries in one `StorageApply`; at least one entry goes whatever its size.
    apply_bytes_max: int = 4 * _MIB
    #: Bytes of entries handed to apply and not yet reported as applied.
    applying_bytes_max: int = 32 * _MIB
    #: Bytes of entries the leader accepts before they are committed; beyond it proposals are
    #: refused.
    uncommitted_bytes_max: int = 64 * _MIB
    #: Bytes of entries of the leader not yet durable on its own disk; beyond it proposals are
    #: refused and leadership is handed over.
    unstable_bytes_max: int = 64 * _MIB
    #: Writes handed to the own wal and not confirmed; beyond it, as for bytes.
    unstable_writes_max: int = 8192
    #: How long a write may wait for the own disk; beyond it leadership is handed over.
    unstable_ticks_max: Ticks = 100
    #: Bytes of durable and committed entries kept in memory; older ones are read by `LogRead`.
    log_tail_bytes_max: int = 32 * _MIB
    #: Entries between committed and applied beyond which the leader refuses proposals (as etcd
    #: does).
    apply_lag_entries_max: int = 5000
    #: ReadIndex requests, own and forwarded, that may wait for their answer.
    reads_waiting_max: int = 4096
    #: News of a commit wait for the next entries, or the next tick, unless somebody at the peer waits
    #: for them: spares every idle follower a turn for each commit.
    defers_news: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        rules = (
            ("node_id must not be 0", self.node_id > 0),
            ("heartbeat_ticks must be at least 1", self.heartbeat_ticks >= 1),
            ("election_ticks must exceed heartbeat_ticks", self.election_ticks >
            self.heartbeat_ticks), ("initial_election_elapsed must not be negative",
            self.initial_election_elapsed >= 0), ("read_round_seed must not be negative",
            self.read_round_seed >= 0), ("append_bytes_max must be positive", self.append_bytes_max
            > 0), ("inflight_messages_max must be positive", self.inflight_messages_max > 0),
            ("paced_messages_min must be positive", self.paced_messages_min > 0),
            ("inflight_bytes_max must be at least append_bytes_max",
             self.inflight_bytes_max >= self.append_bytes_max),
            ("apply_bytes_max must be positive", self.apply_bytes_max > 0),
            ("applying_bytes_max must be at least apply_bytes_max",
             self.applying_bytes_max >= self.apply_bytes_max),
            ("uncommitted_bytes_max must be positive", self.uncommitted_bytes_max > 0),
            ("unstable_bytes_max must be positive", self.unstable_bytes_max > 0),
            ("unstable_writes_max must be positive", self.unstable_writes_max > 0),
            ("unstable_ticks_max must be positive", self.unstable_ticks_max > 0),
            ("log_tail_bytes_max must not be negative", self.log_tail_bytes_max >= 0),
            ("apply_lag_entries_max must be positive", self.apply_lag_entries_max > 0),
            ("reads_waiting_max must be positive", self.reads_waiting_max > 0),
        )  # fmt: skip
        broken = [text for text, holds in rules if not holds]
        if broken:
            raise ValueError("; ".join(broken))


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftStart:
    """What recovery found, from which a core is built; `of` joins the two halves."""

    hard_state: HardState = field(default_factory=HardState)
    #: The newest checkpoint that the log has marked; index 0 = none, the log is whole.
    snapshot: SnapshotMetadata = field(default_factory=lambda: SnapshotMetadata(0, 0, ConfState()))
    #: Last index of the durable log; ``snapshot.index`` if it has no entries.
    last_index: Index = 0
    #: First index of the durable log: at or below ``snapshot.index + 1``, which 0 stands for. The
    #: entries below the snapshot are for followers that are a little behind.
    first_index: Index = 0
    #: Term of the entry before ``first_index``; only with a ``first_index``.
    previous_term: Term = 0
    #: The terms of the log from its first index to ``last_index``, ascending.
    term_runs: tuple[TermRun, ...] = ()
    #: The newest entries; ends with ``last_index``. May be empty: entries are then read by
    #: `LogRead`.
    tail: tuple[LogEntry, ...] = ()
    #: How far the state machine is. May be *ahead* of the log: entries may be applied, because a
    #: quorum has them, before this node's own disk has taken them.
    applied_index: Index = 0
    applied_term: Term = 0
    #: The membership at ``applied_index``.
    conf_state: ConfState = field(default_factory=ConfState)

    @staticmethod
    def of(wal: WalState, apply: ApplyState) -> RaftStart:
        """Return the start that ``wal`` and ``apply`` describe in their resync handshakes."""
        return RaftStart(
            hard_state=wal.hard_state,
            snapshot=wal.snapshot,
            last_index=wal.last_index,
            first_index=wal.first_index,
            previous_term=wal.previous_term,
            term_runs=wal.term_runs,
            tail=wal.tail,
            applied_index=apply.applied_index,
            applied_term=apply.applied_term,
            conf_state=apply.conf_state,
        )
