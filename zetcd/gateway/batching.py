"""Responsible for turning many mutations into few proposals, and one answer back into many.

Requests collect until `ProposalQueue.take` is called, once per turn of the actor. While fewer than
``batches_inflight_max`` proposals are unanswered, whatever has collected leaves at once, or as soon
as those are there who usually follow the last answers (`Company`); then it waits and the batches
grow: the slower the cluster, the larger the batch.

With nobody to lead, requests of the native protocol are refused: its clients ask another member. Those of etcd's
do not repeat what writes, so it waits here, as in etcd, until somebody leads or its time is up.

Invariants
    - A request is in exactly one batch, and a batch is proposed once: a proposal that may have been
      accepted is never repeated.
    - Whoever cannot know the outcome is told so (`Timeout`, `UnknownOutcome`: AMBIGUOUS); a refusal
      before the proposal was accepted anywhere is SAFE.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, cast

from zetcd.errors import NoLeader, RequestTooManyRequests, ZetcdError, error_of
from zetcd.gateway.company import Company
from zetcd.gateway.options import GatewayOptions
from zetcd.gateway.pending import Pending, Replies, begun_nothing
from zetcd.messages.codec import encode
from zetcd.messages.node import (
    ApplyResults,
    Origin,
    Proposal,
    ProposalBatch,
    Propose,
    ProposeRefused,
)
from zetcd.scalars import Term

#: Bytes of requests that may wait to be proposed; their number is bounded by
#: ``pending_requests_max``.
QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024
#: How long after a refusal for want of a leader the same is proposed again: a leader may be known and not take it yet.
AGAIN_SECONDS: Final = 0.05
#: Bytes that a request costs in a queue beside its body.
_REQUEST_OVERHEAD_BYTES: Final = 64


@dataclass(slots=True)
class _Batch:
    """A proposal without an answer."""

    pendings: list[Pending]
    #: Term in which it was proposed.
    term: Term
    #: Everybody in it has timed out by then.
    expires: float
    #: Whether it counts towards ``batches_inflight_max``.
    holds_slot: bool = True


class ProposalQueue:
    """The mutations of one gateway on their way into the log."""

    def __init__(
        self, options: GatewayOptions, replies: Replies, *, awaits_leader: bool = False
    ) -> None:
        """Start empty.

        Args:
            options: of the gateway.
            replies: take what became of each request.
            awaits_leader: let requests wait until somebody leads, as etcd does, instead of refusing them.
        """
        self._replies = replies
        self._origin = Origin(options.node_id, options.role, options.instance, options.incarnation)
        self._batch_requests_max = options.limits.batch_requests_max
        self._batch_bytes_max = options.limits.batch_bytes_max
        self._batches_inflight_max = options.limits.batches_inflight_max
        self._waiting: deque[tuple[Pending, int]] = deque()
        self._waiting_bytes = 0
        self._batches: dict[int, _Batch] = {}
        self._slots_used = 0
        self._company = Company()
        self._awaits_leader = awaits_leader
        self._has_leader = False
        #: Monotonic seconds until which nothing is proposed, 0 = it may be at once.
        self._again_at = 0.0
        self._last_batch_id = 0
        self._term: Term = 0
        #: Figures for status.
        self.batches_count = 0
        self.requests_count = 0
        self.failed_count = 0

    def add(self, pending: Pending, body_bytes: int) -> None:
        """Queue a checked mutation.

        Raises:
            RequestTooManyRequests: the queue is full.
        """
        if self._waiting_bytes >= QUEUE_BYTES_MAX:
            raise RequestTooManyRequests(f"{self._waiting_bytes} bytes wait to be proposed")
        size = body_bytes + _REQUEST_OVERHEAD_BYTES
        self._waiting.append((pending, size))
        self._waiting_bytes += size
        self._company.arrived()

    def take(self, now: float) -> list[Propose]:
        """Return the proposals that may leave at ``now``, in monotonic seconds."""
        proposals: list[Propose] = []
        if self._is_held(now):
            return proposals
        self._again_at = 0.0
        if self._company.is_expected(len(self._waiting), now) and not self._is_full():
            return proposals
        while self._waiting and self._slots_used < self._batches_inflight_max:
            pendings = self._take_batch()
            if pendings:
                proposals.append(self._propose(pendings))
        return proposals

    def _is_held(self, now: float) -> bool:
        """Whether nothing may leave, because nobody would take it."""
        return self._awaits_leader and (not self._has_leader or now < self._again_at)

    def _is_full(self) -> bool:
        """Whether what waits fills a batch."""
        return (
            len(self._waiting) >= self._batch_requests_max
            or self._waiting_bytes >= self._batch_bytes_max
        )

    def wake_at(self) -> float:
        """Return when `take` has something to do, infinity = never without input."""
        if self._awaits_leader and not self._has_leader:
            return float("inf")
        if not self._waiting or self._slots_used >= self._batches_inflight_max:
            return float("inf")
        if self._again_at or self._is_full():
            return self._again_at
        return self._company.leave_at(len(self._waiting))

    def _take_batch(self) -> list[Pending]:
        """Take as many requests as fit in one batch; those cancelled meanwhile are left out."""
        pendings: list[Pending] = []
        waiting, size_total = self._waiting, 0
        while waiting and len(pendings) < self._batch_requests_max:
            pending, size = waiting[0]
            if pendings and size_total + size > self._batch_bytes_max:
                break
            waiting.popleft()
            self._waiting_bytes -= size
            if pending.is_open:
                pending.is_proposed = True
                pendings.append(pending)
                size_total += size
        return pendings

    def _propose(self, pendings: list[Pending]) -> Propose:
        self._last_batch_id += 1
        batch_id = self._last_batch_id
        # Encoded anew from the decoded requests rather than spliced from the clients' bytes: it
        # costs the same (one encoder call for the batch), and what every member will decode is then
        # canonical: no unknown trailing fields, no nesting that this member could decode and
        # another one could not.
        requests = cast(tuple[Proposal, ...], tuple([pending.request for pending in pendings]))
        data = encode(ProposalBatch(self._origin, batch_id, requests))
        expires = max([pending.deadline for pending in pendings])
        self._batches[batch_id] = _Batch(pendings, self._term, expires)
        self._slots_used += 1
        self.batches_count += 1
        self.requests_count += len(pendings)
        return Propose(batch_id, data)

    def propose_alone(self, request: Proposal) -> Propose:
        """Return a proposal of the gateway itself: nobody waits for its result, and it holds no slot."""
        self._last_batch_id += 1
        batch = ProposalBatch(self._origin, self._last_batch_id, (request,))
        return Propose(self._last_batch_id, encode(batch))

    def _remove(self, batch_id: int) -> list[Pending]:
        """Forget a batch and return who waits for it; nobody, if it is not (any more) known."""
        batch = self._batches.pop(batch_id, None)
        if batch is None:
            return []
        if batch.holds_slot:
            self._slots_used -= 1
        return batch.pendings

    def results(self, results: ApplyResults) -> None:
        """Hand the results of a batch to those who wait for them."""
        pendings = self._remove(results.batch_id)
        if not pendings:
            return
        self._company.answered(len(pendings))
        assert len(pendings) == len(results.bodies), "a batch has one result for each request"
        if not results.errors:
            answer = self._replies.answer_encoded
            for pending, body in zip(pendings, results.bodies, strict=True):
                answer(pending, body)
            return
        errors = frozenset(results.errors)
        for position, (pending, body) in enumerate(zip(pendings, results.bodies, strict=True)):
            if position in errors:
                self._replies.fail_encoded(pending, body)
            else:
                self._replies.answer_encoded(pending, body)

    def refused(self, refusal: ProposeRefused, now: float) -> None:
        """Tell everybody in a batch why it was not accepted, or let them wait for a leader."""
        if self._awaits_leader and refusal.error == NoLeader.number:
            self._put_back(refusal.batch_id)
            self._again_at = now + AGAIN_SECONDS
            return
        self.failed_count += refusal.batch_id in self._batches
        error = begun_nothing(error_of(refusal.error))
        for pending in self._remove(refusal.batch_id):
            self._replies.fail(pending, error)

    def _put_back(self, batch_id: int) -> None:
        """Let the requests of a batch, of which nothing was begun, wait again, in their order."""
        for pending in reversed(self._remove(batch_id)):
            pending.is_proposed = False
            size = len(encode(pending.request)) + _REQUEST_OVERHEAD_BYTES
            self._waiting.appendleft((pending, size))
            self._waiting_bytes += size

    def leader_known(self, *, is_known: bool) -> None:
        """Note whether somebody leads."""
        self._has_leader = is_known
        self._again_at = 0.0

    def drain(self) -> None:
        """Wait for no leader any more: who waits without one is told so."""
        is_stuck = self._awaits_leader and not self._has_leader
        self._awaits_leader = False
        if is_stuck:
            error = begun_nothing(NoLeader())
            while self._waiting:
                pending, size = self._waiting.popleft()
                self._waiting_bytes -= size
                self._replies.fail(pending, error)

    def leader_changed(self, term: Term) -> None:
        """Note a new term; what was proposed before may be lost and must not hold up what comes.

        The old batches keep waiting: the new leader may have them in its log.
        """
        self._term = term
        self._slots_used = 0
        for batch in self._batches.values():
            batch.holds_slot = False

    def has_older_than(self, term: Term) -> bool:
        """Whether something proposed before ``term`` has no answer yet."""
        return any(batch.term < term for batch in self._batches.values())

    def fail_older_than(self, term: Term, error: ZetcdError) -> None:
        """Give up what was proposed before ``term``; its outcome is unknown."""
        for batch_id in [key for key, batch in self._batches.items() if batch.term < term]:
            self._fail(batch_id, error)

    def fail_proposed(self, error: ZetcdError) -> None:
        """Give up everything that was proposed; its outcome is unknown. What still waits stays."""
        for batch_id in list(self._batches):
            self._fail(batch_id, error)

    def _fail(self, batch_id: int, error: ZetcdError) -> None:
        self.failed_count += 1
        for pending in self._remove(batch_id):
            self._replies.fail(pending, error)

    def forget_expired(self, now: float) -> None:
        """Forget batches whose requests have all timed out."""
        for batch_id in [key for key, batch in self._batches.items() if batch.expires <= now]:
            self.failed_count += 1
            self._remove(batch_id)
        if self._is_held(now):
            # Nobody takes them from the queue meanwhile.
            self._waiting = deque(each for each in self._waiting if each[0].is_open)
            self._waiting_bytes = sum(size for _, size in self._waiting)

    @property
    def waiting_count(self) -> int:
        """Requests not yet proposed."""
        return len(self._waiting)

    @property
    def inflight_count(self) -> int:
        """Proposals without an answer."""
        return len(self._batches)

    def check(self) -> None:
        """Assert the invariants."""
        holders = sum(batch.holds_slot for batch in self._batches.values())
        assert self._slots_used == holders
        assert self._slots_used <= self._batches_inflight_max
        assert self._waiting_bytes == sum(size for _, size in self._waiting)
