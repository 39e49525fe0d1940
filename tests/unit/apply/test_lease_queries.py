"""Keep-alive and time-to-live are answered by the leader of the term, after what came before."""

from __future__ import annotations

import pytest

from tests.unit.apply.machine import Machine
from zetcd.apply import lease_queries
from zetcd.apply.lease_queries import LeaseQueries
from zetcd.errors import BadFrame, LeaderChanged, NotLeader, RequestTooManyRequests
from zetcd.messages.codec import decoder_of, encode
from zetcd.messages.kv import PutRequest, ResponseHeader
from zetcd.messages.lease import (
    LeaseCheckpoint,
    LeaseCheckpointRequest,
    LeaseGrantRequest,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
)
from zetcd.messages.node import ActorRole, LeaderAnswer, LeaderInfo, LeaderQuery, Origin, Role

ORIGIN = Origin(3, ActorRole.GATEWAY, 0, 1)
LEADER = LeaderInfo(1, 1, Role.LEADER)
_BODY = decoder_of(tuple[LeaseKeepAliveResponse | LeaseTimeToLiveResponse, ...])


@pytest.fixture
def machine() -> Machine:
    machine = Machine()
    machine.lessor.promote(0.0, 0.0)
    machine.ask(LeaseGrantRequest(60, 7), PutRequest(b"b", lease=7), PutRequest(b"a", lease=7))
    return machine


@pytest.fixture
def queries(machine: Machine) -> LeaseQueries:
    return LeaseQueries(machine.applier, machine.backend)


def query(
    *questions: LeaseKeepAliveRequest | LeaseTimeToLiveRequest, read_index: int = 0, term: int = 1
) -> LeaderQuery:
    return LeaderQuery(ORIGIN, 5, encode(questions), read_index, term)


def answers_of(
    answers: tuple[LeaderAnswer, ...],
) -> list[LeaseKeepAliveResponse | LeaseTimeToLiveResponse]:
    return [response for answer in answers for response in _BODY.decode(answer.body)]


def test_questions_are_answered_in_order(queries: LeaseQueries) -> None:
    queries.step(
        query(
            LeaseTimeToLiveRequest(7, keys=True),
            LeaseKeepAliveRequest(7),
            LeaseTimeToLiveRequest(7),
            LeaseKeepAliveRequest(8),
            LeaseTimeToLiveRequest(8, keys=True),
        )
    )
    ready = queries.ready(LEADER, 20.0)
    header = ResponseHeader(3, 1)
    assert answers_of(ready.answers) == [
        LeaseTimeToLiveResponse(header, 7, 40, 60, (b"a", b"b")),
        LeaseKeepAliveResponse(header, 7, 60),
        LeaseTimeToLiveResponse(header, 7, 60, 60),
        LeaseKeepAliveResponse(header, 8, 0),
        LeaseTimeToLiveResponse(header, 8, -1),
    ]
    assert (ready.answers[0].origin, ready.answers[0].request_id) == (ORIGIN, 5)
    assert ready.checkpoints == ()
    assert queries.ready(LEADER, 20.0).answers == ()


def test_a_query_waits_until_its_index_is_applied(machine: Machine, queries: LeaseQueries) -> None:
    queries.step(query(LeaseKeepAliveRequest(7), read_index=2))
    assert queries.ready(LEADER, 1.0).answers == ()
    machine.ask(PutRequest(b"c"))
    assert len(queries.ready(LEADER, 1.0).answers) == 1


def test_a_query_of_another_term_is_refused(queries: LeaseQueries) -> None:
    for info, error in (
        (LeaderInfo(2, 1, Role.LEADER), LeaderChanged),
        (LeaderInfo(2, 2, Role.FOLLOWER), LeaderChanged),
        (LeaderInfo(1, 0, Role.FOLLOWER), NotLeader),
    ):
        queries.step(query(LeaseKeepAliveRequest(7)))
        [answer] = queries.ready(info, 1.0).answers
        assert answer == LeaderAnswer(ORIGIN, 5, b"", error.number)


def test_a_query_of_a_term_not_yet_known_waits(queries: LeaseQueries) -> None:
    queries.step(query(LeaseKeepAliveRequest(7), term=2))
    assert queries.ready(LEADER, 1.0).answers == ()
    assert len(queries.ready(LeaderInfo(2, 1, Role.LEADER), 1.0).answers) == 1


def test_a_renewal_waits_until_the_old_checkpoint_is_gone(
    machine: Machine, queries: LeaseQueries
) -> None:
    machine.apply(machine.entry(LeaseCheckpointRequest((LeaseCheckpoint(7, 20),), 1)))
    queries.step(query(LeaseKeepAliveRequest(7)))
    ready = queries.ready(LEADER, 1.0)
    assert ready.answers == ()
    assert ready.checkpoints == (LeaseCheckpoint(7, 0),)
    # It is asked for once.
    assert queries.ready(LEADER, 1.0).checkpoints == ()
    machine.apply(machine.entry(LeaseCheckpointRequest(ready.checkpoints, 1)))
    [answer] = queries.ready(LEADER, 2.0).answers
    assert answers_of((answer,)) == [LeaseKeepAliveResponse(ResponseHeader(3, 1), 7, 60)]


def test_a_renewal_that_waits_is_refused_when_leadership_is_lost(
    machine: Machine, queries: LeaseQueries
) -> None:
    machine.apply(machine.entry(LeaseCheckpointRequest((LeaseCheckpoint(7, 20),), 1)))
    queries.step(query(LeaseKeepAliveRequest(7)))
    queries.ready(LEADER, 1.0)
    [answer] = queries.ready(LeaderInfo(2, 2, Role.FOLLOWER), 2.0).answers
    assert answer.error == LeaderChanged.number
    assert len(queries) == 0


def test_nonsense_is_refused_and_the_rest_goes_on(queries: LeaseQueries) -> None:
    queries.step(LeaderQuery(ORIGIN, 5, b"\xc1", 0, 1))
    queries.step(query(LeaseKeepAliveRequest(7)))
    refused, answered = queries.ready(LEADER, 1.0).answers
    assert {refused.error, answered.error} == {BadFrame.number, 0}


@pytest.mark.interpreted
def test_the_queue_is_bounded(queries: LeaseQueries, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_queries, "QUERIES_MAX", 2)
    for _ in range(3):
        queries.step(query(LeaseKeepAliveRequest(7), read_index=99))
    [refused] = queries.ready(LEADER, 1.0).answers
    assert refused.error == RequestTooManyRequests.number
    assert len(queries) == 2
