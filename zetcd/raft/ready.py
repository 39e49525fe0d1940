"""Responsible for the shape of a core's output: everything to persist, send, apply and report.

The effects of one `Ready` may be carried out in any order and concurrently, except that
``snapshot`` is loaded before ``apply`` is applied, that the wal and apply each see their messages
in the order of the `Ready` values, and that what is attached to ``append`` leaves only when it is
durable.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from zetcd.messages.node import Role
from zetcd.messages.raft import PeerMessage, SnapshotMetadata
from zetcd.messages.storage import LogRead, StorageAppend, StorageApply
from zetcd.scalars import Index, NodeID, Term


class Refusal(IntEnum):
    """Why a proposal or a read was not taken; nothing has happened, so trying again is safe."""

    #: No leader is known, or this node is not a member.
    NO_LEADER = 1
    #: Leadership is being handed over.
    TRANSFERRING = 2
    #: ``uncommitted_bytes_max`` would be exceeded: the followers do not keep up.
    UNCOMMITTED_FULL = 3
    #: ``unstable_bytes_max`` would be exceeded: the leader's disk does not keep up.
    STORAGE_FULL = 4
    #: ``apply_lag_entries_max`` is exceeded: apply does not keep up.
    APPLY_LAGGING = 5
    #: An earlier configuration change is not yet applied (thesis §4.1: one at a time).
    CONF_CHANGE_PENDING = 6
    #: A configuration change that cannot be decoded, or that would remove the last voter.
    CONF_CHANGE_INVALID = 7
    #: ``reads_waiting_max`` is reached.
    READS_FULL = 8
    #: The leader or the term changed before the read was confirmed.
    LEADER_CHANGED = 9
    #: No quorum, or no leader, confirmed the read within an election timeout.
    READ_TIMEOUT = 10
    #: The member that was asked does not lead, or has too many reads waiting.
    READ_REJECTED = 11

    @property
    def is_too_many_requests(self) -> bool:
        """Whether a limit is reached, as opposed to the cluster being unable."""
        return self in _LIMITS


_LIMITS = frozenset(
    {Refusal.UNCOMMITTED_FULL, Refusal.STORAGE_FULL, Refusal.APPLY_LAGGING, Refusal.READS_FULL}
)


class SoftState(msgspec.Struct, frozen=True, gc=False):
    """Volatile state worth reporting when it changes."""

    term: Term
    #: 0 = no leader known.
    leader: NodeID
    role: Role
    is_learner: bool


class ReadState(msgspec.Struct, frozen=True, gc=False):
    """Answers `RawNode.read_index`: a read that waits until ``index`` is applied is linearizable."""

    context: int
    index: Index


class RefusedRead(msgspec.Struct, frozen=True, gc=False):
    """Answers `RawNode.read_index` in the negative; asking again is safe."""

    context: int
    reason: Refusal


class Ready(msgspec.Struct, frozen=True, gc=False):
    """What one turn of the core asks for."""

    #: None = unchanged since the last `Ready`.
    soft_state: SoftState | None = None
    #: To peers, at once; they depend on nothing that is not durable yet.
    messages: tuple[PeerMessage, ...] = ()
    #: To wal; its ``responses`` leave (or, if ``to`` is this node, are stepped) once it is durable.
    append: StorageAppend | None = None
    #: The state machine must become this snapshot before it applies anything after it.
    snapshot: SnapshotMetadata | None = None
    #: To apply.
    apply: StorageApply | None = None
    #: To wal; answered through `RawNode.log_read`.
    log_reads: tuple[LogRead, ...] = ()
    #: Each context given to `RawNode.read_index` comes back once, here or in ``refused_reads``.
    read_states: tuple[ReadState, ...] = ()
    refused_reads: tuple[RefusedRead, ...] = ()
    #: Proposals of followers that this node could not take, counted by reason; for metrics.
    dropped: tuple[tuple[Refusal, int], ...] = ()
    #: A limit of the turn was reached: ask again.
    has_more: bool = False
