"""Membership changes between a client, the leader's raft and this member's apply."""

from __future__ import annotations

import pytest

from tests.unit.gateway.stage import MEMBERS, NODE, TERM, Stage
from zetcd.config import member_id_of
from zetcd.errors import (
    MemberBadURLs,
    MemberNotFound,
    NotLeader,
    NotSupportedForLearner,
    PeerURLExist,
    RequestTooManyRequests,
    RetryClass,
    Timeout,
    UnknownOutcome,
)
from zetcd.gateway.member_changes import RETRY_SECONDS
from zetcd.messages.base import Message
from zetcd.messages.cluster import (
    Member,
    MemberAddRequest,
    MemberAddResponse,
    MemberPromoteRequest,
    MemberPromoteResponse,
    MemberRemoveRequest,
    MemberRemoveResponse,
    MemberUpdateRequest,
    MemberUpdateResponse,
)
from zetcd.messages.codec import decoder_of
from zetcd.messages.kv import ResponseHeader
from zetcd.messages.node import (
    ChangeMember,
    ChangeMemberRefused,
    LeaderInfo,
    MemberChanged,
    Origin,
    Role,
)
from zetcd.messages.raft import ConfChangeType

URLS = ("tcp://127.0.0.1:9", "tcp://127.0.0.1:5")


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.hello()
    return stage


def asked(stage: Stage) -> ChangeMember:
    """The one change that raft was asked for."""
    stage.turn()
    (change,) = stage.taken(ChangeMember)
    assert isinstance(change, ChangeMember)
    assert change.change.request_id == change.request_id
    assert decoder_of(Origin).decode(change.change.origin) == change.origin
    assert change.origin.node_id == NODE
    return change


def refuse(stage: Stage, change: ChangeMember, number: int, detail: str = "") -> None:
    stage.step_node(ChangeMemberRefused(change.origin, change.request_id, number, detail))


def test_an_added_member_has_the_id_that_etcd_would_give_it(stage: Stage) -> None:
    request_id = stage.request(MemberAddRequest(URLS, is_learner=True))
    change = asked(stage)
    member = Member(member_id_of(URLS, "", 1_700_000_000), "", tuple(sorted(URLS)), is_learner=True)
    assert change.change.type is ConfChangeType.ADD_LEARNER
    assert change.change.node_id == member.id
    assert decoder_of(Member).decode(change.change.context) == member
    assert not stage.has_answer(request_id)
    stage.step_node(MemberChanged(change.request_id, (*MEMBERS, member)))
    stage.turn()
    header = ResponseHeader(0, TERM)
    assert stage.answer(request_id) == MemberAddResponse(header, member, (*MEMBERS, member))


@pytest.mark.parametrize(
    ("request_", "kind", "response"),
    [
        (MemberRemoveRequest(NODE + 1), ConfChangeType.REMOVE_NODE, MemberRemoveResponse),
        (MemberUpdateRequest(NODE + 1, URLS), ConfChangeType.UPDATE_NODE, MemberUpdateResponse),
        (MemberPromoteRequest(NODE + 1), ConfChangeType.ADD_NODE, MemberPromoteResponse),
    ],
)
def test_other_changes_are_answered_with_the_members(
    stage: Stage,
    request_: Message,
    kind: ConfChangeType,
    response: type[MemberRemoveResponse | MemberUpdateResponse | MemberPromoteResponse],
) -> None:
    request_id = stage.request(request_)
    change = asked(stage)
    assert (change.change.type, change.change.node_id) == (kind, NODE + 1)
    # Only what is added or updated is described: a promotion is told by that.
    assert bool(change.change.context) == (kind is ConfChangeType.UPDATE_NODE)
    stage.step_node(MemberChanged(change.request_id, MEMBERS))
    stage.turn()
    assert stage.answer(request_id) == response(ResponseHeader(0, TERM), MEMBERS)


def test_the_leaders_reason_reaches_the_client(stage: Stage) -> None:
    request_id = stage.request(MemberAddRequest(URLS))
    refuse(stage, asked(stage), PeerURLExist.number, "whose")
    stage.turn()
    error = stage.error(request_id)
    assert (error.number, error.detail) == (PeerURLExist.number, "whose")
    assert not stage.taken(ChangeMember)


@pytest.mark.parametrize("number", [NotLeader.number, RequestTooManyRequests.number])
def test_what_is_over_by_itself_is_asked_again(stage: Stage, number: int) -> None:
    request_id = stage.request(MemberAddRequest(URLS))
    first = asked(stage)
    refuse(stage, first, number)
    stage.turn()
    assert not stage.taken(ChangeMember)
    stage.turn(RETRY_SECONDS)
    (again,) = stage.taken(ChangeMember)
    assert isinstance(again, ChangeMember)
    # The same member under a new name of the question: an old refusal means nothing any more.
    assert again.change.node_id == first.change.node_id
    refuse(stage, first, PeerURLExist.number)
    assert not stage.has_answer(request_id)
    stage.step_node(MemberChanged(again.request_id, MEMBERS))
    stage.turn()
    assert isinstance(stage.answer(request_id), MemberAddResponse)


def test_a_change_that_was_never_taken_may_be_asked_for_again(stage: Stage) -> None:
    request_id = stage.request(MemberAddRequest(URLS))
    refuse(stage, asked(stage), NotLeader.number)
    stage.turn(10.0)
    error = stage.error(request_id)
    assert (error.number, error.retry) == (Timeout.number, int(RetryClass.SAFE))


def test_the_outcome_of_an_unanswered_change_is_not_known(stage: Stage) -> None:
    request_id = stage.request(MemberAddRequest(URLS))
    asked(stage)
    stage.turn(10.0)
    assert stage.error(request_id).retry == int(RetryClass.AMBIGUOUS)


@pytest.mark.parametrize("who", ["raft", "apply"])
def test_a_restart_leaves_the_outcome_of_what_was_asked_for_open(stage: Stage, who: str) -> None:
    out = stage.request(MemberAddRequest(URLS))
    asked(stage)
    waiting = stage.request(MemberRemoveRequest(NODE + 1))
    if who == "raft":
        stage.gateway.raft_restarted(stage.now)
    else:
        stage.gateway.apply_restarted()
    change = asked(stage)
    assert stage.error(out).number == UnknownOutcome.number
    assert not stage.has_answer(waiting)
    assert change.change.type is ConfChangeType.REMOVE_NODE


def test_a_raft_that_cannot_be_reached_is_tried_again(stage: Stage) -> None:
    stage.request(MemberAddRequest(URLS))
    change = asked(stage)
    stage.gateway.refuse_change(change.request_id, stage.now)
    stage.turn(RETRY_SECONDS)
    assert len(stage.taken(ChangeMember)) == 1


@pytest.mark.parametrize(
    "urls",
    [
        (),
        ("",),
        ("tcp://127.0.0.1",),
        ("tcp://127.0.0.1:0",),
        ("ftp://127.0.0.1:1",),
        ("tcp://0.0.0.0:1",),
        ("tcp://a:1/path",),
        ("tcp://a:1", "tcp://a:1"),
        tuple(f"tcp://a:{each}" for each in range(1, 18)),
        (f"tcp://{'a' * 600}:1",),
    ],
)
def test_bad_urls_are_refused(stage: Stage, urls: tuple[str, ...]) -> None:
    for request in (MemberAddRequest(urls), MemberUpdateRequest(NODE + 1, urls)):
        assert stage.error(stage.request_and_turn(request)).number == MemberBadURLs.number
    assert not stage.taken(ChangeMember)


def test_nobody_has_the_id_0(stage: Stage) -> None:
    for request in (MemberRemoveRequest(0), MemberPromoteRequest(0), MemberUpdateRequest(0, URLS)):
        assert stage.error(stage.request_and_turn(request)).number == MemberNotFound.number


def test_a_learner_changes_nothing(stage: Stage) -> None:
    stage.step_node(LeaderInfo(TERM, NODE + 1, Role.FOLLOWER, is_learner=True))
    error = stage.error(stage.request_and_turn(MemberAddRequest(URLS)))
    assert error.number == NotSupportedForLearner.number


def test_a_client_that_left_is_not_asked_for_again(stage: Stage) -> None:
    stage.request(MemberAddRequest(URLS), deadline_ms=10)
    refuse(stage, asked(stage), NotLeader.number)
    stage.turn(1.0)
    stage.turn(1.0)
    assert not stage.taken(ChangeMember)
