"""Responsible for the state of one member, its changes of role, its clock, and who handles what.

The rules themselves are free functions over `Raft`, one module for each family of messages. None of
them sends or stores anything: they append to the outboxes of `Raft`, which `RawNode.ready` empties.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar, cast

from zetcd.messages.node import Role
from zetcd.messages.raft import (
    Append,
    AppendResp,
    ForwardProposal,
    ForwardReadIndex,
    ForwardTransfer,
    Heartbeat,
    HeartbeatResp,
    InstallSnapshot,
    PeerMessage,
    PreVote,
    PreVoteResp,
    ReadIndexResp,
    SnapshotFailed,
    StorageAppendResp,
    TimeoutNow,
    Vote,
    VoteResp,
)
from zetcd.raft import (
    election,
    fitness,
    follower,
    heartbeat,
    persistence,
    proposal,
    read_only,
    replication,
)
from zetcd.raft.applying import Applying
from zetcd.raft.fitness import Fitness
from zetcd.raft.inflights import Inflights
from zetcd.raft.log import RaftLog
from zetcd.raft.persistence import Persistence
from zetcd.raft.progress import Progress
from zetcd.raft.read_only import ReadOnly

if TYPE_CHECKING:
    from collections.abc import Callable

    from zetcd.messages.raft import ConfState, SnapshotMetadata
    from zetcd.messages.storage import LogRead
    from zetcd.raft.options import RaftOptions, RaftStart, RandomSource, Trace
    from zetcd.raft.ready import ReadState, Refusal, RefusedRead
    from zetcd.scalars import Index, NodeID, Term, Ticks

    Handler = Callable[["Raft", PeerMessage], None]

M = TypeVar("M", bound=PeerMessage)


class Raft:
    """The whole state of one member.

    Invariants:
        * ``term`` never decreases; ``vote`` changes from 0 to a candidate once in a term (Raft
          §5.2).
        * ``leader`` is set at most once in a term, though it may be forgotten.
        * ``progress`` has an entry for each *other* member while leader, and is empty otherwise.
        * Whatever is in ``messages`` depends only on what is durable; see `persistence`.
    """

    __slots__ = (
        "applying",
        "conf",
        "conf_index",
        "deference",
        "dropped",
        "election_elapsed",
        "election_timeout",
        "fitness",
        "heartbeat_elapsed",
        "is_awaited",
        "leader",
        "log",
        "log_reads",
        "lost_index",
        "messages",
        "node_id",
        "options",
        "pending_conf_index",
        "persistence",
        "progress",
        "read_only",
        "read_states",
        "refused_reads",
        "rng",
        "role",
        "snapshot",
        "term",
        "trace",
        "transferee",
        "vote",
        "votes",
    )  # fmt: skip

    def __init__(
        self, options: RaftOptions, start: RaftStart, rng: RandomSource, trace: Trace | None
    ) -> None:
        """Build the follower that every member starts as."""
        self.node_id: NodeID = options.node_id
        self.options = options
        self.rng = rng
        self.trace = trace

        # --- the state of Raft, Figure 2 ---
        #: Latest term seen; durable before any answer that depends on it leaves.
        self.term: Term = start.hard_state.term
        #: Candidate voted for in ``term``; 0 = none. As durable as ``term``.
        self.vote: NodeID = start.hard_state.vote
        self.role = Role.FOLLOWER
        #: Leader of ``term``; 0 = not known.
        self.leader: NodeID = 0
        self.log = RaftLog(start, tail_bytes_max=options.log_tail_bytes_max)
        self.persistence = Persistence(start.hard_state)

        # --- membership ---
        #: The members, as of ``conf_index``.
        self.conf: ConfState = start.conf_state
        #: Configuration changes up to here are part of ``conf``.
        self.conf_index: Index = start.applied_index
        #: Leader only: no configuration change is accepted until this index is handed to apply.
        self.pending_conf_index: Index = 0

        # --- clock ---
        #: Follower, candidate: ticks since the leader was heard, or a vote given. Leader: since the
        #: quorum was last checked, or a transfer began.
        self.election_elapsed: Ticks = options.initial_election_elapsed
        self.heartbeat_elapsed: Ticks = 0
        #: Drawn anew at every change of role or term, so that split votes do not repeat (§5.2).
        self.election_timeout: Ticks = self._draw_election_timeout()
        #: Waited beyond ``election_timeout``, for a member that has the better log; see `election`.
        self.deference: Ticks = 0

        # --- candidate ---
        #: Answers so far, the own one included once it counts.
        self.votes: dict[NodeID, bool] = {}

        # --- leader ---
        self.progress: dict[NodeID, Progress] = {}
        #: Member that leadership is being handed to; 0 = none.
        self.transferee: NodeID = 0
        #: Newest snapshot that can be sent; None = none yet.
        self.snapshot: SnapshotMetadata | None = start.snapshot if start.snapshot.index else None

        #: What apply was given, and what it is to be given first.
        self.applying = Applying()
        if start.applied_index < self.log.snapshot_index:
            # What apply lacks is compacted. (A log that reaches back far enough needs no snapshot.)
            self.applying.snapshot_to_load = snapshot = start.snapshot
            self.conf, self.conf_index = snapshot.conf_state, snapshot.index
        #: The leader counts on entries up to here that this disk acknowledged and does not have; 0 =
        #: none. Nothing repairs that: whoever sees it must end this member.
        self.lost_index: Index = 0
        self.read_only = ReadOnly(options.read_round_seed)
        self.fitness = Fitness()
        #: Clients of this node wait for every commit; the leader is told with each heartbeat.
        self.is_awaited = False

        # --- outboxes, emptied by RawNode.ready ---
        #: To peers, at once.
        self.messages: list[PeerMessage] = []
        self.log_reads: list[LogRead] = []
        self.read_states: list[ReadState] = []
        self.refused_reads: list[RefusedRead] = []
        self.dropped: dict[Refusal, int] = {}

    # --- views ----------------------------------------------------------------------------------

    @property
    def is_leader(self) -> bool:
        """Whether this member leads ``term``."""
        return self.role is Role.LEADER

    @property
    def is_learner(self) -> bool:
        """Whether this member receives the log without a vote."""
        return self.node_id in self.conf.learners

    @property
    def is_voter(self) -> bool:
        """Whether this member counts in quorums."""
        return self.node_id in self.conf.voters

    @property
    def is_alone(self) -> bool:
        """Whether this member is the only voter: there is nobody whose silence could mean anything."""
        return self.conf.voters == (self.node_id,)

    # --- changes of role ------------------------------------------------------------------------

    def _reset(self, term: Term) -> None:
        """Forget what belongs to the old role, and to the old term if ``term`` is newer."""
        if term != self.term:
            assert term > self.term, "terms never decrease"
            self.term = term
            self.vote = 0
            self.deference = 0
        self.set_leader(0)
        self.election_elapsed = 0
        self.heartbeat_elapsed = 0
        self.election_timeout = self._draw_election_timeout()
        self.votes = {}
        self.progress = {}
        self.transferee = 0
        self.pending_conf_index = 0

    def set_leader(self, leader: NodeID) -> None:
        """Note who leads; reads that wait for another leader's word are refused."""
        if leader != self.leader:
            read_only.refuse_all(self)
            self.leader = leader
            self.log.agreed = 0
            if leader:
                self.fitness.held_back = 0
                self.deference = 0
                self.say(f"leader is {leader:x}")

    def become_follower(self, term: Term, leader: NodeID) -> None:
        """Follow ``leader`` (0 = not known yet) in ``term``."""
        if self.role is Role.FOLLOWER and term == self.term:
            self.set_leader(leader)
            return
        self._reset(term)
        self.role = Role.FOLLOWER
        self.say("became follower")
        self.set_leader(leader)

    def become_pre_candidate(self) -> None:
        """Ask whether an election could be won; keeps term and vote (thesis §9.6)."""
        assert self.role is not Role.LEADER
        self.role = Role.PRE_CANDIDATE
        self.votes = {}
        self.set_leader(0)
        self.say("became pre-candidate")

    def become_candidate(self) -> None:
        """Ask for votes in the next term, giving oneself the first (Raft §5.2)."""
        assert self.role is not Role.LEADER
        self._reset(self.term + 1)
        self.role = Role.CANDIDATE
        self.vote = self.node_id
        self.say("became candidate")

    def become_leader(self) -> None:
        """Lead ``term``, knowing nothing yet of the other members' logs."""
        assert self.role in (Role.CANDIDATE, Role.PRE_CANDIDATE)
        self._reset(self.term)
        self.role = Role.LEADER
        self.say("became leader")
        self.set_leader(self.node_id)
        for peer in sorted((*self.conf.voters, *self.conf.learners)):
            if peer != self.node_id:
                self.progress[peer] = self.new_progress(is_learner=peer in self.conf.learners)

    def new_progress(self, *, is_learner: bool) -> Progress:
        """Return the progress of a peer whose log is not known."""
        options = self.options
        window = Inflights(
            messages_max=options.inflight_messages_max, bytes_max=options.inflight_bytes_max
        )
        return Progress(next_index=self.log.last_index + 1, is_learner=is_learner, inflights=window)

    def _draw_election_timeout(self) -> Ticks:
        """Return a timeout in ``[election_ticks, 2 * election_ticks)`` (Raft §5.2)."""
        ticks = self.options.election_ticks
        return self.rng.randint(ticks, 2 * ticks - 1)

    # --- outboxes -------------------------------------------------------------------------------

    def drop(self, reason: Refusal) -> None:
        """Count a proposal of a follower that could not be taken."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def say(self, text: str) -> None:
        """Report a rare event."""
        if self.trace is not None:
            self.trace(f"{self.node_id:x} at term {self.term}: {text}")

    def check(self) -> None:
        """Assert every invariant."""
        self.log.check()
        self.persistence.check(self)
        self.read_only.check(self)
        self.fitness.check()
        assert self.vote == 0 or self.term > 0
        assert self.role is not Role.LEADER or self.leader == self.node_id
        assert self.role is Role.LEADER or self.leader != self.node_id
        assert (
            self.options.election_ticks <= self.election_timeout < 2 * self.options.election_ticks
        )
        assert self.deference == 0 or self.leader == 0, "who has a leader leaves nothing to others"
        self.applying.check()
        assert not set(self.conf.voters) & set(self.conf.learners), "a learner is not a voter"
        if self.role is Role.LEADER:
            members = sorted({*self.conf.voters, *self.conf.learners} - {self.node_id})
            assert sorted(self.progress) == members
            assert self.is_voter, "only voters lead"
        else:
            assert not self.progress
            assert self.transferee == 0
        for progress in self.progress.values():
            progress.check()
            assert progress.match_index <= self.log.last_index
            assert progress.next_index <= self.log.last_index + 1


# --- clock --------------------------------------------------------------------------------------


def tick(r: Raft) -> None:
    """Advance the logical clock by one tick."""
    read_only.tick(r)
    fitness.tick(r)
    r.election_elapsed += 1
    if r.role is Role.LEADER:
        replication.tick(r)
        r.heartbeat_elapsed += 1
        if r.election_elapsed >= r.options.election_ticks:
            r.election_elapsed = 0
            election.tick_leader_period(r)
        if r.is_leader and r.heartbeat_elapsed >= r.options.heartbeat_ticks:
            r.heartbeat_elapsed = 0
            heartbeat.broadcast_heartbeat(r)
            election.hand_over_if_unfit(r)
    elif r.election_elapsed >= r.election_timeout + r.deference or r.is_alone:
        if election.awaits_own_vote(r):
            # Counts on: as long again is what the other disks are given, see `election`.
            return
        # Reset even if not allowed to campaign, so that the next try is a whole timeout away.
        r.election_elapsed = 0
        r.deference = 0
        if not fitness.holds_back(r) and r.persistence.is_state_durable(r):
            election.campaign_by_timeout(r)
        if r.role is Role.FOLLOWER:
            # Not allowed to, or held back. A leader that was not heard for so long is not protected
            # any more from those who may: this vote may be the one that they need.
            r.set_leader(0)


# --- dispatch -----------------------------------------------------------------------------------


def _row(kind: type[M], handler: Callable[[Raft, M], None]) -> tuple[type, Handler]:
    """Return one row of the table; the only place that trusts kind and handler to fit."""
    return kind, cast("Handler", handler)


#: Who handles what, once the term has been dealt with. Every `PeerMessage` has a row.
HANDLERS: Final[dict[type, Handler]] = dict(
    (
        _row(PreVote, election.handle_pre_vote),
        _row(PreVoteResp, election.handle_pre_vote_resp),
        _row(Vote, election.handle_vote),
        _row(VoteResp, election.handle_vote_resp),
        _row(TimeoutNow, election.handle_timeout_now),
        _row(ForwardTransfer, election.handle_forward_transfer),
        _row(Append, follower.handle_append),
        _row(Heartbeat, follower.handle_heartbeat),
        _row(InstallSnapshot, follower.handle_install_snapshot),
        _row(AppendResp, replication.handle_append_resp),
        _row(HeartbeatResp, replication.handle_heartbeat_resp),
        _row(SnapshotFailed, replication.handle_snapshot_failed),
        _row(ForwardProposal, proposal.handle_forward_proposal),
        _row(ForwardReadIndex, read_only.handle_forward_read_index),
        _row(ReadIndexResp, read_only.handle_read_index_resp),
        _row(StorageAppendResp, persistence.handle_storage_append_resp),
    )
)

#: Messages that only the leader of their term sends.
_FROM_LEADER: Final = frozenset({Append, Heartbeat, InstallSnapshot})


def step(r: Raft, message: PeerMessage) -> None:
    """Consume one message: first its term (Raft §5.1), then what it says."""
    if message.to != r.node_id:
        return
    kind = type(message)
    if kind is not StorageAppendResp and message.term != r.term:
        if message.term > r.term:
            if not _admit_newer_term(r, message):
                return
        elif not _admit_older_term(r, message):
            return
    HANDLERS[kind](r, message)


def _admit_newer_term(r: Raft, message: PeerMessage) -> bool:
    """Deal with a message of a newer term; return whether it is to be handled."""
    if isinstance(message, (Vote, PreVote)) and election.is_protected_by_lease(r, message):
        return False
    if isinstance(message, PreVote):
        # Only asks about a future term (thesis §9.6): joining it now would disturb the leader.
        return True
    if isinstance(message, PreVoteResp) and not message.rejected:
        # Echoes the future term that was asked about.
        return True
    r.become_follower(message.term, message.sender if type(message) in _FROM_LEADER else 0)
    return True


def _admit_older_term(r: Raft, message: PeerMessage) -> bool:
    """Deal with a message of an older term; return whether it is to be handled nevertheless."""
    kind = type(message)
    if kind is ForwardProposal:
        # A proposal does not depend on the term its proposer knows.
        return True
    options = r.options
    if kind in (Append, Heartbeat) and (options.check_quorum or options.pre_vote):
        # A leader that is behind. With check-quorum the others ignore our candidacy as long as they
        # hear it, so we could never come back: tell it our term, so that it steps down and a new
        # election brings everybody to one term.
        answer = AppendResp(r.node_id, message.sender, r.term, 0)
        persistence.send_answer(r, answer)
    elif isinstance(message, PreVote):
        # So that a candidate with an old term but a long log learns of the newer term (it could not
        # win, and would ask forever).
        persistence.send_answer(r, election.refuse_pre_vote(r, message))
    elif isinstance(message, Vote):
        # So that its next term is not behind again (Raft §5.1, RequestVote 1): who has the longer log
        # could otherwise run after the terms of one that cannot win, and does not ask it, for ever.
        persistence.send_answer(r, election.refuse_vote(r, message))
    return False
