from __future__ import annotations

from tests.unit.gateway.stage import NODE, Stage
from zetcd.errors import UnknownError
from zetcd.gateway.leader_questions import QUESTIONS_PER_MESSAGE_MAX
from zetcd.messages.kv import ResponseHeader
from zetcd.messages.lease import LeaseKeepAliveRequest, LeaseKeepAliveResponse
from zetcd.messages.node import ActorRole, LeaderAnswer, Origin


def test_many_questions_are_divided_among_messages() -> None:
    stage = Stage()
    stage.hello()
    for lease_id in range(1, QUESTIONS_PER_MESSAGE_MAX + 2):
        stage.request(LeaseKeepAliveRequest(lease_id))
    stage.turn()
    assert len(stage.questions()) == 2


def test_an_answer_that_does_not_fit_gives_nobody_a_neighbours_answer() -> None:
    stage = Stage()
    stage.hello()
    ids = [stage.request(LeaseKeepAliveRequest(lease_id)) for lease_id in (1, 2)]
    stage.turn()
    [question] = stage.questions()
    stage.answer_questions(question, LeaseKeepAliveResponse(ResponseHeader(1, 1), 1, 5))
    stage.turn()
    assert [stage.error(each).number for each in ids] == [UnknownError.number] * 2


def test_an_answer_to_nothing_is_ignored() -> None:
    stage = Stage()
    stage.hello()
    origin = Origin(NODE, ActorRole.GATEWAY, 0, 9)
    stage.step_node(LeaderAnswer(origin, 12345, b"\x90"))
    stage.turn()
    assert not stage.received()


def test_cancelled_questions_are_not_asked_again() -> None:
    stage = Stage()
    stage.hello()
    request_id = stage.request(LeaseKeepAliveRequest(1))
    stage.turn()
    stage.questions()
    stage.frame(b"\0\0\0\0\1", b"Z\x01\x07\0" + request_id.to_bytes(8, "big") + bytes(4))
    stage.turn(1.0)
    assert not stage.questions()
