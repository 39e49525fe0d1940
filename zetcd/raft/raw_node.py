"""Responsible for the face of the core: the verbs an actor calls, and `Ready` as the only output.

Nothing here waits, and nothing takes effect outside the core before `ready` is called. One caller,
one thread: feed any number of inputs, then call `ready` once and carry out what it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from zetcd.raft import (
    applying,
    election,
    fitness,
    follower,
    log_hold,
    persistence,
    proposal,
    read_only,
    replication,
)
from zetcd.raft.raft import Raft, step, tick
from zetcd.raft.ready import Ready, Refusal, SoftState
from zetcd.raft.status import PeerStatus, Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zetcd.messages.node import Role
    from zetcd.messages.raft import EntryType, InstallSnapshot, PeerMessage, SnapshotMetadata
    from zetcd.messages.storage import ApplyState, LogReadResp
    from zetcd.raft.options import RaftOptions, RaftStart, RandomSource, Trace
    from zetcd.raft.progress import Progress
    from zetcd.scalars import Index, NodeID, Term

T = TypeVar("T")


class RawNode:
    """One member's raft core.

    Invariants:
        * `step` is total: every `PeerMessage`, in any order, any number of times, is safe.
        * Each entry is handed to the wal once and to apply once, in order.
        * What `ready` returned is not returned again.
    """

    __slots__ = ("_raft", "_soft_state")

    def __init__(
        self,
        options: RaftOptions,
        start: RaftStart,
        rng: RandomSource,
        trace: Trace | None = None,
    ) -> None:
        """Build the core from what recovery found; ``rng`` draws the election timeouts."""
        self._raft = Raft(options, start, rng, trace)
        #: As last reported; None makes the first `Ready` report it.
        self._soft_state: SoftState | None = None

    # --- inputs ---------------------------------------------------------------------------------

    def step(self, message: PeerMessage) -> None:
        """Consume a message of a peer, or a response of the own wal addressed to this node."""
        step(self._raft, message)

    def tick(self) -> None:
        """Advance the logical clock by one tick."""
        tick(self._raft)

    def propose(self, proposals: Sequence[tuple[EntryType, bytes]]) -> Refusal | None:
        """Append ``proposals`` to the log, all or none, or forward them to the leader.

        Returns:
            None if taken (which does not promise that they will commit), else why not.
        """
        return proposal.propose(self._raft, proposals)

    def read_index(self, context: int) -> None:
        """Ask for an index that makes a read linearizable once it is applied (Raft §8).

        ``context`` is unique for this core; it comes back in `Ready.read_states` or
        `Ready.refused_reads`.
        """
        read_only.read_index(self._raft, context)

    def transfer_leader(self, target: NodeID = 0) -> None:
        """Hand leadership to ``target`` (0 = the most up-to-date voter), or ask the leader to.

        Ignored if there is no leader, or ``target`` is not a voter or already leads.
        """
        election.request_transfer(self._raft, target)

    def set_awaited(self, *, is_awaited: bool) -> None:
        """Say whether clients of this node wait for every commit, so that the leader does not defer it."""
        self._raft.is_awaited = is_awaited

    def set_fit(self, *, is_fit: bool) -> None:
        """Say whether the other actors of this node do their work, so that it could lead (`fitness`)."""
        self._raft.fitness.is_able = is_fit

    def campaign(self) -> None:
        """Start an election now instead of at the election timeout; ignored if not allowed to."""
        election.campaign_by_timeout(self._raft)

    def applied(self, index: Index) -> None:
        """Note that apply has applied everything up to ``index``."""
        applying.note_applied(self._raft, index)

    def resume_apply(self, state: ApplyState) -> None:
        """Note that apply was restarted and is at ``state``: hand out again what follows."""
        applying.resume(self._raft, state)

    def log_read(self, response: LogReadResp) -> None:
        """Consume the wal's answer to one of `Ready.log_reads`."""
        if response.target == 0:
            applying.handle_log_read(self._raft, response)
        else:
            replication.handle_log_read(self._raft, response)

    def report_unreachable(self, peer: NodeID) -> None:
        """Note that messages to ``peer`` were probably lost: probe it before streaming on."""
        replication.report_unreachable(self._raft, peer)

    def needs_snapshot(self, snapshot: SnapshotMetadata) -> bool:
        """Whether the bytes of ``snapshot`` must be at hand before its `InstallSnapshot` is stepped."""
        return follower.needs_snapshot(self._raft, snapshot)

    def report_snapshot(self, peer: NodeID, *, is_ok: bool) -> None:
        """Note how the transfer of a snapshot to ``peer`` ended."""
        replication.report_snapshot(self._raft, peer, is_ok=is_ok)

    def snapshot_failed(self, offer: InstallSnapshot) -> None:
        """Note that an offered snapshot could not be had: the leader hears of it."""
        follower.refuse_snapshot(self._raft, offer)

    def snapshot_available(self, snapshot: SnapshotMetadata) -> None:
        """Note that ``snapshot`` is durable and can be sent in place of compacted entries."""
        replication.note_snapshot(self._raft, snapshot)

    def compact(self, index: Index) -> Index:
        """Forget the log up to ``index``, as far as it is applied and covered by a known snapshot.

        Returns:
            Up to where the log is forgotten now.
        """
        return replication.compact_log(self._raft, index)

    def release_index(self) -> Index:
        """Return up to where the log may be released on disk, and then be compacted (`log_hold`)."""
        return log_hold.release_index(self._raft)

    # --- outputs --------------------------------------------------------------------------------

    def has_ready(self) -> bool:
        """Whether `ready` would return anything."""
        r = self._raft
        return (
            bool(r.messages)
            or bool(r.read_states)
            or bool(r.refused_reads)
            or bool(r.dropped)
            or bool(r.log_reads)
            or persistence.has_storage_append(r)
            or applying.has_storage_apply(r)
            or read_only.has_round_to_start(r)
            or replication.has_appends_to_send(r)
            or self._changed_soft_state() is not None
        )

    def ready(self) -> Ready:
        """Return everything to persist, send, apply and report since the last call.

        What exceeds a limit of the turn (`RaftOptions.apply_bytes_max`) is left for the next call:
        call again if `Ready.has_more`. With nothing to do it returns an empty `Ready`.
        """
        r = self._raft
        # Applying a configuration change may make a quorum smaller and so commit more, start
        # probing a new peer or end this leader: it comes before the messages of the turn are made.
        apply, snapshot = applying.take_storage_apply(r)
        read_only.start_round(r)
        replication.send_appends(r)
        # Last: it takes the entries, the hard state and the responses that all of the above made.
        append = persistence.take_storage_append(r)
        soft_state = self._changed_soft_state()
        if soft_state is not None:
            self._soft_state = soft_state
        return Ready(
            soft_state,
            _drain(r.messages) if r.messages else (),
            append,
            snapshot,
            apply,
            _drain(r.log_reads) if r.log_reads else (),
            _drain(r.read_states) if r.read_states else (),
            _drain(r.refused_reads) if r.refused_reads else (),
            _drain_counts(r.dropped) if r.dropped else (),
            apply is not None and applying.has_storage_apply(r),
        )

    def _changed_soft_state(self) -> SoftState | None:
        """Return the soft state if it differs from what was last reported."""
        r = self._raft
        old = self._soft_state
        is_learner = r.is_learner
        if (
            old is not None
            and old.term == r.term
            and old.leader == r.leader
            and old.role == r.role
            and old.is_learner == is_learner
        ):
            return None
        return SoftState(r.term, r.leader, r.role, is_learner)

    # --- views ----------------------------------------------------------------------------------

    @property
    def node_id(self) -> NodeID:
        """The own id."""
        return self._raft.node_id

    @property
    def term(self) -> Term:
        """The current term."""
        return self._raft.term

    @property
    def leader(self) -> NodeID:
        """The leader of the current term; 0 = not known."""
        return self._raft.leader

    @property
    def role(self) -> Role:
        """The own role."""
        return self._raft.role

    @property
    def is_leader(self) -> bool:
        """Whether this member leads its term."""
        return self._raft.is_leader

    @property
    def is_fit(self) -> bool:
        """Whether this member could do a leader's work (`fitness`)."""
        return fitness.is_fit(self._raft)

    def unfit_reason(self) -> str:
        """Return what of the core's own figures speaks against it; empty = nothing."""
        return fitness.reason(self._raft)

    @property
    def committed(self) -> Index:
        """The highest index known to be committed."""
        return self._raft.log.committed

    @property
    def lost_index(self) -> Index:
        """Up to where this disk acknowledged entries that it does not have; 0 = it has them all."""
        return self._raft.lost_index

    @property
    def is_conf_settled(self) -> bool:
        """Whether apply has applied every configuration change that this member knows to be proposed.

        Of a leader: there is none on its way, not even one of a leader before it.
        """
        r = self._raft
        return max(r.conf_index, r.pending_conf_index) <= r.log.applied

    def status(self) -> Status:
        """Return a picture of the whole core."""
        r = self._raft
        log = r.log
        return Status(
            node_id=r.node_id,
            term=r.term,
            vote=r.vote,
            leader=r.leader,
            role=r.role,
            first_index=log.first_index,
            last_index=log.last_index,
            durable_index=log.durable,
            committed=log.committed,
            applying=log.applying,
            applied=log.applied,
            voters=r.conf.voters,
            learners=r.conf.learners,
            is_learner=r.is_learner,
            is_member=r.is_voter or r.is_learner,
            transferee=r.transferee,
            pending_conf_index=r.pending_conf_index,
            unstable_bytes=log.unstable_bytes,
            uncommitted_bytes=log.uncommitted_bytes,
            tail_bytes=log.tail.bytes_total,
            unstable_ticks=fitness.unstable_ticks(r),
            is_storage_stalled=fitness.is_storage_stalled(r),
            is_fit=fitness.is_fit(r),
            progress=tuple(_peer_status(peer, p) for peer, p in r.progress.items()),
        )

    def check(self) -> None:
        """Assert every invariant of the core; linear in the size of the log tail."""
        self._raft.check()


def _drain(outbox: list[T]) -> tuple[T, ...]:
    """Return what is in ``outbox`` and empty it."""
    taken = tuple(outbox)
    outbox.clear()
    return taken


def _drain_counts(counts: dict[Refusal, int]) -> tuple[tuple[Refusal, int], ...]:
    """Return ``counts`` and empty it."""
    taken = tuple(counts.items())
    counts.clear()
    return taken


def _peer_status(peer: NodeID, progress: Progress) -> PeerStatus:
    """Return a picture of one peer."""
    return PeerStatus(
        node_id=peer,
        match_index=progress.match_index,
        next_index=progress.next_index,
        state=progress.state,
        recent_active=progress.recent_active,
        is_fit=progress.is_fit,
        is_learner=progress.is_learner,
        is_paused=progress.is_paused,
        inflight_messages=len(progress.inflights),
        inflight_bytes=progress.inflights.bytes_total,
    )
