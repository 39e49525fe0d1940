"""Responsible for linearizable reads without the log: ReadIndex (Raft §8, thesis §6.4).

A read is linearizable if it sees everything that was committed when it was asked for. The leader
notes its commit index, makes sure with one round of heartbeats that no other leader had taken over
by then, and answers with that index; whoever asked waits until it is applied and reads its own
state machine.

* All reads that wait are confirmed by one round. At most one round is under way; what arrives
  meanwhile goes with the next. A follower does the same with what it forwards.
* A follower that forwards reads acknowledges the leader by that: when it was asked, it was still in
  the leader's term. Where it and the leader are a majority, as among three, no round is needed.
  Not before the leader's first heartbeat: with that a member finds out that its log was lost.
* A round has an id that this node never uses again, so that a late answer confirms nothing else.
* A leader that has committed nothing in its term does not know the commit index yet (Raft §8):
  reads wait.
* When the leader or the term changes, every waiting read is refused; nothing is answered across a
  change.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from zetcd.messages.raft import ForwardReadIndex, ReadIndexResp
from zetcd.raft import heartbeat, quorum
from zetcd.raft.ready import ReadState, Refusal, RefusedRead

if TYPE_CHECKING:
    from zetcd.raft.raft import Raft
    from zetcd.scalars import Index, NodeID, Ticks


class ReadRequest(NamedTuple):
    """One read that waits at the leader."""

    #: Who asked; the own id for reads of this node.
    origin: NodeID
    context: int


class ForwardedRound(NamedTuple):
    """Reads that a follower has asked the leader about, together."""

    round_id: int
    contexts: tuple[int, ...]
    deadline: Ticks


class ReadOnly:
    """The reads under way.

    Invariants:
        * ``round_id`` is not 0 exactly while a round is under way, and rises from round to round.
        * A leader forwards nothing; others have no round and no requests.
    """

    __slots__ = (
        "acknowledged",
        "deadline",
        "forwarded",
        "has_heard_leader",
        "index",
        "last_id",
        "now",
        "requests",
        "round_id",
        "to_forward",
        "waiting",
        "waiting_since",
    )

    def __init__(self, round_seed: int) -> None:
        """Start with no reads; the first round has the id ``round_seed + 1``."""
        self.last_id = round_seed
        #: Ticks since the start; measures only how long reads wait.
        self.now: Ticks = 0
        # --- leader ---
        #: For the next round.
        self.waiting: list[ReadRequest] = []
        #: When the oldest of them came.
        self.waiting_since: Ticks = 0
        #: The round under way: id (0 = none), ...
        self.round_id = 0
        #: ... commit index when it began, ...
        self.index: Index = 0
        #: ... what it will answer, who has acknowledged it, and when it is given up.
        self.requests: list[ReadRequest] = []
        self.acknowledged: set[NodeID] = set()
        self.deadline: Ticks = 0
        # --- follower ---
        #: Contexts for the next message to the leader.
        self.to_forward: list[int] = []
        #: Asked, in the order of their ids.
        self.forwarded: deque[ForwardedRound] = deque()
        #: A heartbeat of this leader has come, and the log has what the leader counts on.
        self.has_heard_leader = False

    def next_id(self) -> int:
        """Return an id that was never used before."""
        self.last_id += 1
        return self.last_id

    @property
    def count(self) -> int:
        """Reads that wait, here or at the leader."""
        asked = sum(len(forwarded.contexts) for forwarded in self.forwarded)
        return len(self.waiting) + len(self.requests) + len(self.to_forward) + asked

    def check(self, r: Raft) -> None:
        """Assert the invariants."""
        ids = [forwarded.round_id for forwarded in self.forwarded]
        assert ids == sorted(set(ids)), "ids must ascend"
        assert self.round_id == 0 or self.round_id <= self.last_id
        assert (self.round_id != 0) == bool(self.requests)
        assert self.count <= r.options.reads_waiting_max
        if r.is_leader:
            assert not self.to_forward and not self.forwarded  # noqa: PT018 - one thought
        else:
            assert not self.waiting and not self.requests  # noqa: PT018 - one thought
        assert self.index <= r.log.committed


# --- asking -------------------------------------------------------------------------------------


def read_index(r: Raft, context: int) -> None:
    """Take a read of this node."""
    if r.leader == 0:
        _refuse(r, context, Refusal.NO_LEADER)
    elif r.read_only.count >= r.options.reads_waiting_max:
        _refuse(r, context, Refusal.READS_FULL)
    elif r.is_leader:
        _wait(r, ReadRequest(r.node_id, context))
    else:
        r.read_only.to_forward.append(context)


def handle_forward_read_index(r: Raft, m: ForwardReadIndex) -> None:
    """Take reads of another member; answer them at once if that member and this one are a majority.

    The first leader of a later term had the votes of a majority before it committed anything. One of
    these two would have given one: the other member not before it was asked, or it would not have
    sent this in the present term, and this one not yet. So what was committed before the reads were
    asked for, this leader has committed; see docs/decisions/0092-a-forwarded-read-acknowledges.md.
    """
    progress = r.progress.get(m.sender)
    if progress is not None:
        # It is there, so a probe that is not answered may be lost. Whether it hears us, a question cannot tell.
        progress.is_probe_sent = False
    if r.is_leader and m.acknowledges and _is_confirmed_by(r, m.sender):
        _answer(r, m.sender, m.context, r.log.committed)
    elif r.is_leader and r.read_only.count < r.options.reads_waiting_max:
        _wait(r, ReadRequest(m.sender, m.context))
    else:
        r.messages.append(
            ReadIndexResp(r.node_id, m.sender, r.term, m.context, index=0, rejected=True)
        )


def _is_confirmed_by(r: Raft, peer: NodeID) -> bool:
    """Return whether the commit index is known, and this leader and ``peer`` are a majority."""
    return _knows_commit(r) and quorum.has_majority(r.conf.voters, (r.node_id, peer))


def _wait(r: Raft, request: ReadRequest) -> None:
    """Put a read into the next round."""
    reads = r.read_only
    if not reads.waiting:
        reads.waiting_since = reads.now
    reads.waiting.append(request)


# --- rounds -------------------------------------------------------------------------------------


def has_round_to_start(r: Raft) -> bool:
    """Return whether `start_round` would do anything."""
    reads = r.read_only
    return bool(reads.to_forward) or (
        bool(reads.waiting) and reads.round_id == 0 and _knows_commit(r)
    )


def _knows_commit(r: Raft) -> bool:
    """Return whether this leader has committed in its term, and so knows the commit index."""
    return r.log.term_at(r.log.committed) == r.term


def start_round(r: Raft) -> None:
    """Ask for confirmation of everything that waits."""
    reads = r.read_only
    if not has_round_to_start(r):
        return
    if reads.to_forward:
        round_id = reads.next_id()
        deadline = reads.now + r.options.election_ticks
        reads.forwarded.append(ForwardedRound(round_id, tuple(reads.to_forward), deadline))
        reads.to_forward = []
        acknowledges = reads.has_heard_leader
        r.messages.append(ForwardReadIndex(r.node_id, r.leader, r.term, round_id, acknowledges))
        return
    reads.round_id = reads.next_id()
    reads.index = r.log.committed
    reads.requests, reads.waiting = reads.waiting, []
    reads.acknowledged = {r.node_id}
    reads.deadline = reads.now + r.options.election_ticks
    for peer, progress in r.progress.items():
        if not progress.is_learner:
            heartbeat.send_heartbeat(r, peer)
    # A single voter is its own quorum.
    maybe_finish_round(r)


def note_acknowledged(r: Raft, peer: NodeID, round_id: int) -> None:
    """Note that ``peer`` still followed this leader after the round had begun."""
    reads = r.read_only
    if reads.round_id and round_id == reads.round_id:
        reads.acknowledged.add(peer)
        maybe_finish_round(r)


def maybe_finish_round(r: Raft) -> None:
    """Answer the reads of the round if a majority has acknowledged it."""
    reads = r.read_only
    if not reads.round_id or not quorum.has_majority(r.conf.voters, reads.acknowledged):
        return
    requests, reads.requests, reads.round_id = reads.requests, [], 0
    for origin, context in requests:
        if origin == r.node_id:
            r.read_states.append(ReadState(context, reads.index))
        else:
            _answer(r, origin, context, reads.index)


def _answer(r: Raft, origin: NodeID, context: int, index: Index) -> None:
    """Tell another member the index that its reads must have applied; it may wait for that commit."""
    r.messages.append(ReadIndexResp(r.node_id, origin, r.term, context, index))
    progress = r.progress.get(origin)
    if progress is not None:
        progress.awaited_index = max(progress.awaited_index, index)


def handle_read_index_resp(r: Raft, m: ReadIndexResp) -> None:
    """Hand the leader's answer to the reads that asked for it."""
    forwarded = r.read_only.forwarded
    if m.rejected:
        for asked in [asked for asked in forwarded if asked.round_id == m.context]:
            forwarded.remove(asked)
            for context in asked.contexts:
                _refuse(r, context, Refusal.READ_REJECTED)
        return
    if not any(asked.round_id == m.context for asked in forwarded):
        return
    # What was asked earlier, and whose answer is late or lost, may use the newer index as well.
    while forwarded and forwarded[0].round_id <= m.context:
        for context in forwarded.popleft().contexts:
            r.read_states.append(ReadState(context, m.index))


# --- giving up ----------------------------------------------------------------------------------


def tick(r: Raft) -> None:
    """Give up what was not confirmed within an election timeout."""
    reads = r.read_only
    reads.now += 1
    while reads.forwarded and reads.forwarded[0].deadline <= reads.now:
        for context in reads.forwarded.popleft().contexts:
            _refuse(r, context, Refusal.READ_TIMEOUT)
    if reads.round_id and reads.deadline <= reads.now:
        requests, reads.requests, reads.round_id = reads.requests, [], 0
        _refuse_requests(r, requests, Refusal.READ_TIMEOUT)
    if reads.waiting and reads.waiting_since + r.options.election_ticks <= reads.now:
        requests, reads.waiting = reads.waiting, []
        _refuse_requests(r, requests, Refusal.READ_TIMEOUT)


def refuse_all(r: Raft) -> None:
    """Refuse every read, and begin anew: the leader, or the term, is about to change."""
    reads = r.read_only
    for context in reads.to_forward:
        _refuse(r, context, Refusal.LEADER_CHANGED)
    for asked in reads.forwarded:
        for context in asked.contexts:
            _refuse(r, context, Refusal.LEADER_CHANGED)
    # Other members notice the change by themselves.
    own = [request for request in (*reads.requests, *reads.waiting) if request.origin == r.node_id]
    for request in own:
        _refuse(r, request.context, Refusal.LEADER_CHANGED)
    reads.to_forward = []
    reads.forwarded.clear()
    reads.requests = []
    reads.waiting = []
    reads.round_id = 0
    reads.has_heard_leader = False


def _refuse_requests(r: Raft, requests: list[ReadRequest], reason: Refusal) -> None:
    """Refuse reads that waited at this leader."""
    for origin, context in requests:
        if origin == r.node_id:
            _refuse(r, context, reason)
        else:
            r.messages.append(
                ReadIndexResp(r.node_id, origin, r.term, context, index=0, rejected=True)
            )


def _refuse(r: Raft, context: int, reason: Refusal) -> None:
    """Report that a read of this node is not answered."""
    r.refused_reads.append(RefusedRead(context, reason))
