"""What the leader, raft and the membership answer: leases, status, members, leadership."""

from __future__ import annotations

import pytest

from tests.unit.gateway.stage import ALICE, BOB, MEMBERS, NODE, TERM, Stage
from zetcd.errors import (
    BadLeaderTransferee,
    LeaseNotFound,
    NotLeader,
    TimeoutLeaderTransfer,
)
from zetcd.messages.client import ErrorBody
from zetcd.messages.cluster import (
    MemberListRequest,
    MemberListResponse,
    MoveLeaderRequest,
    MoveLeaderResponse,
    StatusRequest,
    StatusResponse,
)
from zetcd.messages.kv import (
    RangeRequest,
    RangeResponse,
    ResponseHeader,
)
from zetcd.messages.lease import (
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
)
from zetcd.messages.node import (
    LeaderInfo,
    RaftStatus,
    RaftStatusRequest,
    Role,
    TransferLeader,
)

OTHER = NODE + 1
LEARNER = NODE + 2


@pytest.fixture
def stage() -> Stage:
    stage = Stage()
    stage.hello(ALICE)
    stage.hello(BOB)
    return stage


def test_lease_questions_of_a_turn_travel_together(stage: Stage) -> None:
    first = stage.request(LeaseKeepAliveRequest(1), ALICE)
    second = stage.request(LeaseTimeToLiveRequest(2), BOB)
    stage.turn()
    [question] = stage.questions()
    header = ResponseHeader(1, TERM)
    stage.answer_questions(
        question,
        LeaseKeepAliveResponse(header, 1, 30),
        ErrorBody(LeaseNotFound.number, 5, LeaseNotFound.text, 2),
    )
    stage.turn()
    assert stage.answer(first, ALICE) == LeaseKeepAliveResponse(header, 1, 30)
    assert stage.error(second, BOB).number == LeaseNotFound.number


def test_a_lease_question_is_asked_again_until_somebody_answers(stage: Stage) -> None:
    asked = stage.request(LeaseTimeToLiveRequest(2))
    stage.turn()
    [refused] = stage.questions()
    stage.answer_questions(refused, error=NotLeader.number)
    stage.turn(0.06)
    [lost] = stage.questions()
    stage.turn(0.6)
    [repeated] = stage.questions()
    assert len({refused.request_id, lost.request_id, repeated.request_id}) == 3
    header = ResponseHeader(1, TERM)
    stage.answer_questions(lost, LeaseTimeToLiveResponse(header, 2, 11))
    stage.turn()
    assert not stage.has_answer(asked)
    stage.answer_questions(repeated, LeaseTimeToLiveResponse(header, 2, 10, 30))
    stage.turn()
    assert stage.answer(asked) == LeaseTimeToLiveResponse(header, 2, 10, 30)


# --- cluster --------------------------------------------------------------------------------------


def test_the_member_list_waits_for_applys_own_word(stage: Stage) -> None:
    local = stage.request(MemberListRequest(linearizable=False))
    stage.turn()
    answer = stage.answer(local)
    assert isinstance(answer, MemberListResponse)
    assert answer.members == MEMBERS
    request_id = stage.request(MemberListRequest())
    stage.turn()
    stage.confirm_reads()
    stage.turn()
    assert not stage.has_answer(request_id)
    stage.reach()
    stage.turn()
    assert isinstance(stage.answer(request_id), MemberListResponse)


def test_a_member_list_waits_also_beside_reads_that_need_not(stage: Stage) -> None:
    members = stage.request(MemberListRequest())
    read = stage.request(RangeRequest(b"a"))
    stage.turn()
    assert stage.confirm_reads() == 1
    stage.turn()
    assert isinstance(stage.answer(read), RangeResponse)
    assert not stage.has_answer(members)
    stage.reach()
    stage.turn()
    assert isinstance(stage.answer(members), MemberListResponse)


def test_status_is_answered_without_a_leader() -> None:
    stage = Stage(has_leader=False)
    stage.hello()
    ids = [stage.request(StatusRequest()) for _ in range(2)]
    stage.turn()
    [question] = stage.taken(RaftStatusRequest)
    assert isinstance(question, RaftStatusRequest)
    stage.step_node(RaftStatus(question.request_id, NODE, 7, 0, Role.FOLLOWER, 11, 10, 12))
    stage.turn()
    for request_id in ids:
        status = stage.answer(request_id)
        assert isinstance(status, StatusResponse)
        assert (status.leader, status.raft_index, status.raft_applied_index) == (0, 11, 10)
        assert status.errors == ("etcdserver: no leader",)
        assert status.header == ResponseHeader(1, 7)


def test_status_is_asked_again_after_a_restart_of_raft(stage: Stage) -> None:
    stage.request(StatusRequest())
    stage.turn()
    stage.taken(RaftStatusRequest)
    stage.gateway.raft_restarted(stage.now)
    stage.turn()
    assert len(stage.taken(RaftStatusRequest)) == 1


@pytest.mark.parametrize("target", [LEARNER, 404, 0])
def test_leadership_moves_only_to_a_voter(stage: Stage, target: int) -> None:
    request_id = stage.request(MoveLeaderRequest(target))
    stage.turn()
    assert stage.error(request_id).text == BadLeaderTransferee.text
    assert not stage.to_raft


def test_leadership_is_with_the_leader_already(stage: Stage) -> None:
    request_id = stage.request(MoveLeaderRequest(NODE))
    stage.turn()
    assert isinstance(stage.answer(request_id), MoveLeaderResponse)
    assert not stage.to_raft


def test_only_the_leader_moves_leadership(stage: Stage) -> None:
    stage.step_node(LeaderInfo(TERM, OTHER, Role.FOLLOWER))
    request_id = stage.request(MoveLeaderRequest(OTHER))
    stage.turn()
    assert stage.error(request_id).text == NotLeader.text


def test_a_move_is_answered_when_the_target_leads(stage: Stage) -> None:
    request_id = stage.request(MoveLeaderRequest(OTHER))
    stage.turn()
    assert stage.taken(TransferLeader) == [TransferLeader(OTHER)]
    stage.step_node(LeaderInfo(TERM + 1, 0, Role.FOLLOWER))
    stage.turn()
    assert not stage.has_answer(request_id)
    stage.step_node(LeaderInfo(TERM + 1, OTHER, Role.FOLLOWER))
    stage.turn()
    assert isinstance(stage.answer(request_id), MoveLeaderResponse)


def test_a_move_that_takes_too_long_has_a_text_of_its_own(stage: Stage) -> None:
    request_id = stage.request(MoveLeaderRequest(OTHER), deadline_ms=200)
    stage.turn()
    stage.turn(0.3)
    assert stage.error(request_id).text == TimeoutLeaderTransfer.text
