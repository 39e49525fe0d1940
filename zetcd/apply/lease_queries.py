"""Responsible for the questions about leases that only the leader's lessor may answer.

A `LeaderQuery` holds keep-alives and time-to-live questions of one gateway of any member. It waits
here

1. until the entries up to its read index are applied, so that revocations of former leaders count;
2. until this member knows that it leads the query's term; another term is refused;
3. if it renewed a lease whose remaining TTL had been checkpointed: until a checkpoint of 0 is
applied.
   Otherwise the next leader would count from the old checkpoint and end the lease earlier than
   the answer promised.

Time does not pass in here: everything is looked at again in each `ready`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec

from zetcd.apply.applier import Applier
from zetcd.errors import (
    BadFrame,
    LeaderChanged,
    NotLeader,
    RequestTooManyRequests,
    ZetcdError,
)
from zetcd.messages.codec import DECODE_ERRORS, decoder_of, encode
from zetcd.messages.kv import ResponseHeader
from zetcd.messages.lease import (
    LeaseCheckpoint,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
)
from zetcd.messages.node import LeaderAnswer, LeaderInfo, LeaderQuery, Role
from zetcd.mvcc.backend import Backend
from zetcd.mvcc.lease_key import places_of_lease
from zetcd.mvcc.store import keys_of_lease
from zetcd.mvcc.view import View
from zetcd.scalars import LeaseID, Term

#: Queries that may wait at once.
QUERIES_MAX: Final = 4096

_QUESTIONS: Final = decoder_of(tuple[LeaseKeepAliveRequest | LeaseTimeToLiveRequest, ...])


class LeaseQueriesReady(NamedTuple):
    """What to do after a turn."""

    answers: tuple[LeaderAnswer, ...]
    #: To be proposed in a `LeaseCheckpointRequest` with the current term.
    checkpoints: tuple[LeaseCheckpoint, ...]


@dataclass(slots=True)
class _Unsettled:
    """An answer that waits for checkpoints of 0."""

    query: LeaderQuery
    body: bytes
    leases: tuple[LeaseID, ...]


class LeaseQueries:
    """The questions that wait on this member.

    Invariants:
        - Every query is answered once, in bounded memory.
        - No answer leaves unless this member led the query's term when it was made.
    """

    def __init__(self, applier: Applier, backend: Backend) -> None:
        """Answer from the lessor and the tables of ``applier``."""
        self._applier = applier
        self._backend = backend
        self._waiting: list[LeaderQuery] = []
        self._unsettled: list[_Unsettled] = []
        self._answers: list[LeaderAnswer] = []

    def __len__(self) -> int:
        return len(self._waiting) + len(self._unsettled)

    def step(self, query: LeaderQuery) -> None:
        """Take a query in."""
        if len(self) >= QUERIES_MAX:
            self._refuse(query, RequestTooManyRequests())
        else:
            self._waiting.append(query)

    def ready(self, leader: LeaderInfo, now: float) -> LeaseQueriesReady:
        """Answer what can be answered.

        Args:
            leader: What raft said last; the lessor has been promoted or demoted accordingly.
            now: Monotonic time in seconds.
        """
        checkpoints: dict[LeaseID, LeaseCheckpoint] = {}
        waiting, self._waiting = self._waiting, []
        for query in waiting:
            self._consider(query, leader, now, checkpoints)
        unsettled, self._unsettled = self._unsettled, []
        for item in unsettled:
            self._settle(item, leader)
        answers, self._answers = tuple(self._answers), []
        return LeaseQueriesReady(answers, tuple(checkpoints.values()))

    def _consider(
        self,
        query: LeaderQuery,
        leader: LeaderInfo,
        now: float,
        checkpoints: dict[LeaseID, LeaseCheckpoint],
    ) -> None:
        """Answer, refuse or keep one query."""
        refusal = _refusal(query.term, leader)
        if refusal is not None:
            self._refuse(query, refusal)
            return
        is_ahead = query.term > leader.term
        if is_ahead or query.read_index > self._applier.state.consistent_index:
            self._waiting.append(query)
            return
        try:
            questions = _QUESTIONS.decode(query.body)
        except DECODE_ERRORS:
            self._refuse(query, BadFrame("question about leases"))
            return
        body, unsettled = self._answer_all(questions, leader.term, now)
        for lease_id in unsettled:
            checkpoints[lease_id] = LeaseCheckpoint(lease_id, 0)
        self._unsettled.append(_Unsettled(query, body, unsettled))

    def _settle(self, item: _Unsettled, leader: LeaderInfo) -> None:
        """Let an answer go once its checkpoints are applied."""
        refusal = _refusal(item.query.term, leader)
        if refusal is not None:
            self._refuse(item.query, refusal)
        elif all(map(self._applier.lessor.is_uncheckpointed, item.leases)):
            query = item.query
            self._answers.append(LeaderAnswer(query.origin, query.request_id, item.body))
        else:
            self._unsettled.append(item)

    def _answer_all(
        self,
        questions: tuple[LeaseKeepAliveRequest | LeaseTimeToLiveRequest, ...],
        term: Term,
        now: float,
    ) -> tuple[bytes, tuple[LeaseID, ...]]:
        """Return the encoded answers, and the leases whose checkpoints must go first."""
        lessor = self._applier.lessor
        header = ResponseHeader(self._applier.state.current_revision, term)
        bodies: list[msgspec.Raw] = []
        unsettled: list[LeaseID] = []
        for question in questions:
            if isinstance(question, LeaseKeepAliveRequest):
                renewal = lessor.renew(question.id, now)
                if renewal.needs_checkpoint:
                    unsettled.append(question.id)
                response = LeaseKeepAliveResponse(header, question.id, renewal.ttl)
                bodies.append(msgspec.Raw(encode(response)))
            else:
                bodies.append(msgspec.Raw(encode(self._time_to_live(question, header, now))))
        return encode(bodies), tuple(unsettled)

    def _time_to_live(
        self, question: LeaseTimeToLiveRequest, header: ResponseHeader, now: float
    ) -> LeaseTimeToLiveResponse:
        """Answer one question about what is left of a lease."""
        left = self._applier.lessor.time_to_live(question.id, now)
        if left.ttl < 0 or not question.keys:
            return LeaseTimeToLiveResponse(header, question.id, left.ttl, left.granted_ttl)
        with self._backend.read() as transaction:
            places = places_of_lease(transaction, question.id)
            keys = keys_of_lease(View(transaction), places)
        return LeaseTimeToLiveResponse(header, question.id, left.ttl, left.granted_ttl, tuple(keys))

    def _refuse(self, query: LeaderQuery, error: ZetcdError) -> None:
        """Answer a whole query with an error."""
        self._answers.append(LeaderAnswer(query.origin, query.request_id, b"", error.number))


def _refusal(term: Term, leader: LeaderInfo) -> ZetcdError | None:
    """Return why a query of ``term`` cannot be answered here any more, or None."""
    if term < leader.term:
        return LeaderChanged()
    if term == leader.term and leader.role is not Role.LEADER:
        return NotLeader()
    return None
