"""Responsible for what must be durable before what: hard state, entries, answers that wait.

The rules, from which everything here follows:

1. A granted vote, an accepted append and any other answer that reveals a term leave only when that
   term, the vote and the accepted entries are on the disk (Raft §5, "updated on stable storage
   before responding").
2. So does a *request* for votes: a candidate that forgot its term in a crash could campaign in it a
   second time, with a shorter log, and count votes that were given to the longer one.
3. Everything else leaves at once. `Append` may: a leader's entries count only where they are
   durable, and the leader is one place like any other (thesis §10.2.1). `Heartbeat`, its answer and
   `ForwardReadIndex`, which counts as one, may: they promise nothing about the log, and a vote that
   contradicts them is durable first.
4. That a change of the membership is committed is made durable at once, though nothing waits for it.
   Whoever is removed will be switched off; of two voters, the other one could not find out again.

The wal makes one `StorageAppend` after the other durable and then releases what is attached to it.
Any number may be under way. Each that changes something carries a `StorageAppendResp` to this core,
so counting them tells which are done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zetcd.messages.raft import HardState, StorageAppendResp
from zetcd.messages.storage import StorageAppend
from zetcd.raft import replication

if TYPE_CHECKING:
    from zetcd.messages.raft import AppendResp, PeerMessage, SnapshotMetadata
    from zetcd.raft.raft import Raft
    from zetcd.scalars import Index, NodeID, Term


class Persistence:
    """What the wal was given, what it has confirmed, and what is waiting to go there.

    Invariant: ``confirmed_count <= handed_count``.
    """

    __slots__ = (
        "commit_wanted",
        "confirmed_count",
        "handed_count",
        "handed_state",
        "is_turn_due",
        "responses",
        "snapshot",
        "snapshot_index",
        "state_at_count",
    )

    def __init__(self, durable_state: HardState) -> None:
        """Start with nothing under way."""
        #: Hard state as last handed to the wal.
        self.handed_state = durable_state
        #: `StorageAppend` messages handed to the wal that carry a `StorageAppendResp`, ...
        self.handed_count = 0
        #: ... how many of those came back, ...
        self.confirmed_count = 0
        #: ... and the number of the one with the newest term or vote.
        self.state_at_count = 0
        #: The commit index must become durable, at least this one, even if nothing else is to be written.
        self.commit_wanted: Index = 0
        #: Leader: nothing has been handed to the wal since the last tick.
        self.is_turn_due = False
        #: Answers for the next `StorageAppend`.
        self.responses: list[PeerMessage] = []
        #: Snapshot for the next `StorageAppend`.
        self.snapshot: SnapshotMetadata | None = None
        #: Index of a snapshot that is not yet durable; 0 = none.
        self.snapshot_index: Index = 0

    def has_new_state(self, r: Raft) -> bool:
        """Whether term or vote differ from what the wal was given, or a commit has to be."""
        handed = self.handed_state
        return self._has_new_term(r) or handed.commit < self.commit_wanted

    def _has_new_term(self, r: Raft) -> bool:
        handed = self.handed_state
        return handed.term != r.term or handed.vote != r.vote

    def is_state_durable(self, r: Raft) -> bool:
        """Whether the current term and vote are on the disk."""
        return self.confirmed_count >= self.state_at_count and not self._has_new_term(r)

    def check(self, r: Raft) -> None:
        """Assert the invariants."""
        assert 0 <= self.confirmed_count <= self.handed_count
        assert self.state_at_count <= self.handed_count
        assert self.handed_state.term <= r.term
        assert self.snapshot_index <= r.log.snapshot_index


def send_when_durable(r: Raft, message: PeerMessage) -> None:
    """Let ``message`` leave when everything this core has decided so far is durable."""
    r.persistence.responses.append(message)


def send_answer(r: Raft, message: PeerMessage) -> None:
    """Send an answer that promises nothing but reveals the term: at once if that is durable."""
    if r.persistence.is_state_durable(r):
        r.messages.append(message)
    else:
        send_when_durable(r, message)


def send_accepted(r: Raft, answer: AppendResp) -> None:
    """Send ``answer``, which promises that ``answer.index`` is durable, as soon as that is true."""
    if answer.index <= r.log.durable and r.persistence.is_state_durable(r):
        r.messages.append(answer)
    else:
        send_when_durable(r, answer)


def _is_paced(r: Raft) -> bool:
    """Whether entries wait for the next tick, because so many writes are under way already.

    Only a leader's: nothing waits for its own disk that does not wait for a quorum of others as well.
    """
    disk = r.persistence
    under_way = disk.handed_count - disk.confirmed_count
    is_paced = r.is_leader and under_way >= r.options.paced_messages_min
    return is_paced and not disk.is_turn_due


def has_storage_append(r: Raft) -> bool:
    """Return whether `take_storage_append` would return something."""
    disk = r.persistence
    return (
        (r.log.handed < r.log.last_index and not _is_paced(r))
        or bool(disk.responses)
        or disk.snapshot is not None
        or disk.has_new_state(r)
    )


def take_storage_append(r: Raft) -> StorageAppend | None:
    """Return what the wal has to do next, None if nothing."""
    disk = r.persistence
    log = r.log
    if not disk.responses and not disk.has_new_state(r) and _is_paced(r):
        return None
    disk.is_turn_due = False
    entries = log.take_unhanded()
    snapshot, disk.snapshot = disk.snapshot, None
    hard_state = _take_hard_state(r, has_company=bool(entries) or snapshot is not None)
    is_change = bool(entries) or hard_state is not None or snapshot is not None
    if not is_change and not disk.responses:
        return None
    if is_change:
        # First, so that this core knows what is durable before it steps its own vote.
        disk.responses.insert(0, _confirmation(r, snapshot))
        disk.handed_count += 1
        if hard_state is not None and (hard_state.term, hard_state.vote) != _handed_pair(disk):
            disk.state_at_count = disk.handed_count
    if hard_state is not None:
        disk.handed_state = hard_state
    responses = tuple(disk.responses)
    disk.responses = []
    return StorageAppend(entries, hard_state, snapshot, responses)


def _handed_pair(disk: Persistence) -> tuple[Term, NodeID]:
    """Return term and vote as last handed to the wal."""
    return disk.handed_state.term, disk.handed_state.vote


def _take_hard_state(r: Raft, *, has_company: bool) -> HardState | None:
    """Return the hard state if it has to be written.

    The commit index is a hint that saves some waiting after a restart. It is written beside other
    things, and the reason for an fdatasync of its own only by rule 4. *With entries it must be*: an
    entry that changes the configuration is only ever proposed once the one before it is committed, and
    a member that has the newer entry on disk has to know that after a restart (see `membership`).
    """
    disk = r.persistence
    commit = r.log.committed
    if disk.has_new_state(r) or (has_company and commit != disk.handed_state.commit):
        return HardState(r.term, r.vote, commit)
    return None


def _confirmation(r: Raft, snapshot: SnapshotMetadata | None) -> StorageAppendResp:
    """Return the message by which the wal tells this core that it is done so far."""
    log = r.log
    snapshot_index = snapshot.index if snapshot is not None else 0
    if log.durable == log.last_index:
        return StorageAppendResp(r.node_id, r.node_id, r.term, snapshot_index=snapshot_index)
    # The whole log, not only this message's entries: after a change of term the answers to older
    # messages no longer count, so the first message of the new term speaks for them.
    return StorageAppendResp(
        r.node_id, r.node_id, r.term, log.last_index, log.last_term, snapshot_index
    )


def handle_storage_append_resp(r: Raft, m: StorageAppendResp) -> None:
    """Note that the own disk has taken something; only now a leader counts itself."""
    disk = r.persistence
    if m.sender != r.node_id or disk.confirmed_count >= disk.handed_count:
        return
    disk.confirmed_count += 1
    if m.snapshot_index >= disk.snapshot_index:
        disk.snapshot_index = 0
    # The ABA race: the entry of a write under way may have been replaced, and put back, by leaders
    # of newer terms, while the disk still holds what came between. The term of the entry alone does
    # not tell, so the answer must also have been asked for in the current term: within one term a
    # position is replaced at most once, and then by an entry of another term.
    if m.term == r.term and m.index and r.log.note_durable(m.index, m.log_term) and r.is_leader:
        replication.maybe_commit(r)
