import pytest

from tests.unit.raft.nodes import (
    acknowledge,
    follower_of,
    leader_of,
    node_of,
    of_type,
    persist,
    start_of,
)
from zetcd.messages.raft import (
    Append,
    EntryType,
    ForwardReadIndex,
    Heartbeat,
    HeartbeatResp,
    ReadIndexResp,
)
from zetcd.raft.raw_node import RawNode
from zetcd.raft.ready import ReadState, Refusal, RefusedRead


def reading() -> RawNode:
    """Return a leader that has committed in its term."""
    node = leader_of(read_round_seed=100)
    acknowledge(node, 1, 2, 3)
    persist(node)
    return node


def test_one_round_confirms_all() -> None:
    """A majority of answers, the own included, releases every read of the round."""
    node = reading()
    node.read_index(1)
    node.read_index(2)
    ready = node.ready()
    assert [(m.to, m.read_context) for m in ready.messages if isinstance(m, Heartbeat)] == [
        (2, 101),
        (3, 101),
    ]
    node.step(HeartbeatResp(3, 1, node.term, 101))
    assert node.ready().read_states == (ReadState(1, 1), ReadState(2, 1))


def test_answers_of_another_round_do_not_count() -> None:
    """Older or never asked."""
    node = reading()
    node.read_index(1)
    persist(node)
    for context in (0, 100, 102):
        node.step(HeartbeatResp(2, 1, node.term, context))
    assert not node.has_ready()


def test_index_is_that_of_the_beginning() -> None:
    """What is committed later need not be seen, what was committed before must."""
    node = reading()
    node.read_index(1)
    persist(node)
    node._raft.log.applying = node._raft.log.committed
    node.step(HeartbeatResp(2, 1, node.term, 101))
    assert node.ready().read_states[0].index == 1


def test_reads_wait_for_the_first_commit_of_the_term() -> None:
    """A new leader does not know what is committed."""
    node = leader_of(start_of(1, 1, commit=2))
    node.read_index(1)
    assert persist(node) == []
    acknowledge(node, 3, 2)
    assert len(of_type(persist(node), Heartbeat)) == 2


def test_learners_do_not_confirm() -> None:
    """They cannot know whether another leader was elected."""
    node = leader_of(start_of(voters=(1, 2, 3), learners=(4,)))
    acknowledge(node, 1, 2)
    persist(node)
    node.read_index(1)
    assert [m.to for m in of_type(persist(node), Heartbeat)] == [2, 3]
    node.step(HeartbeatResp(4, 1, node.term, node._raft.read_only.round_id))
    assert not node.ready().read_states


def test_reads_are_refused_when_the_leader_changes() -> None:
    """Waiting, asked and forwarded ones."""
    node = reading()
    node.read_index(1)
    persist(node)
    node.read_index(2)
    node.step(Heartbeat(2, 1, node.term + 1, 0))
    refused = node.ready().refused_reads
    assert refused == tuple(RefusedRead(n, Refusal.LEADER_CHANGED) for n in (1, 2))

    follower = follower_of()
    follower.read_index(3)
    persist(follower)
    follower.read_index(4)
    follower.step(Heartbeat(3, 1, 6, 0))
    assert [one.context for one in follower.ready().refused_reads] == [4, 3]


def test_follower_asks_once_for_all() -> None:
    """And an answer serves what was asked before it as well."""
    node = follower_of(read_round_seed=10)
    node.read_index(1)
    node.read_index(2)
    assert persist(node) == [ForwardReadIndex(1, 2, 5, 11)]
    node.read_index(3)
    assert persist(node) == [ForwardReadIndex(1, 2, 5, 12)]
    node.step(ReadIndexResp(2, 1, 5, 12, 7))
    assert [state.context for state in node.ready().read_states] == [1, 2, 3]
    node.step(ReadIndexResp(2, 1, 5, 11, 7))
    node.step(ReadIndexResp(2, 1, 5, 99, 7))
    assert not node.has_ready()


def test_rejected_answer_refuses_its_round_only() -> None:
    """Others may still be answered."""
    node = follower_of(read_round_seed=10)
    node.read_index(1)
    persist(node)
    node.read_index(2)
    persist(node)
    node.step(ReadIndexResp(2, 1, 5, 11, 0, rejected=True))
    assert node.ready().refused_reads == (RefusedRead(1, Refusal.READ_REJECTED),)
    node.step(ReadIndexResp(2, 1, 5, 12, 4))
    assert node.ready().read_states == (ReadState(2, 4),)


def test_a_follower_that_asks_acknowledges() -> None:
    """Among three it and the leader are a majority: nobody else is asked."""
    node = reading()
    node.step(ForwardReadIndex(2, 1, node.term, 55, acknowledges=True))
    assert persist(node) == [ReadIndexResp(1, 2, node.term, 55, 1)]


def test_it_acknowledges_nothing_that_others_wait_for() -> None:
    """It may have asked before they did."""
    node = reading()
    node.read_index(7)
    persist(node)
    node.step(ForwardReadIndex(2, 1, node.term, 55, acknowledges=True))
    ready = node.ready()
    assert ready.messages == (ReadIndexResp(1, 2, node.term, 55, 1),)
    assert not ready.read_states


@pytest.mark.parametrize("voters", [(1, 2, 3, 4), (1, 2, 3, 4, 5)])
def test_two_of_more_than_three_are_no_majority(voters: tuple[int, ...]) -> None:
    """So a round is held, and the follower answers in it like the others."""
    node = leader_of(start_of(voters=voters), read_round_seed=100)
    acknowledge(node, 1, 2, 3)
    persist(node)
    node.step(ForwardReadIndex(2, 1, node.term, 55, acknowledges=True))
    assert [m.to for m in of_type(persist(node), Heartbeat)] == [*voters[1:]]
    node.step(HeartbeatResp(2, 1, node.term, 101))
    assert of_type(persist(node), ReadIndexResp) == []
    node.step(HeartbeatResp(4, 1, node.term, 101))
    assert of_type(persist(node), ReadIndexResp) == [ReadIndexResp(1, 2, node.term, 55, 1)]


def test_the_answer_is_what_is_committed() -> None:
    """Not what apply, which may be behind, has done."""
    node = reading()
    node.propose([(EntryType.NORMAL, b"x")])
    persist(node)
    acknowledge(node, 2, 2, 3)
    assert node.status().applied < node.status().committed == 2
    node.step(ForwardReadIndex(2, 1, node.term, 55, acknowledges=True))
    assert of_type(persist(node), ReadIndexResp) == [ReadIndexResp(1, 2, node.term, 55, 2)]


def test_whoever_asks_is_there() -> None:
    """A probe that was lost is repeated, as after an answer to a heartbeat."""
    node = reading()
    node.report_unreachable(2)
    assert [m.to for m in of_type(persist(node), Append)] == [2]
    node.propose([(EntryType.NORMAL, b"x")])
    assert [m.to for m in of_type(persist(node), Append)] == [3]
    node.step(ForwardReadIndex(2, 1, node.term, 55, acknowledges=True))
    assert [m.to for m in of_type(persist(node), Append)] == [2]


def test_a_follower_acknowledges_from_the_first_heartbeat_of_its_leader_on() -> None:
    """With an append alone it cannot know that the leader counts on nothing that its log has lost."""
    node = follower_of(read_round_seed=10)
    asked = []
    for context, heard in enumerate((None, Heartbeat(2, 1, 5, 0), Append(3, 1, 6, 0, 0, 0))):
        if heard is not None:
            node.step(heard)
        node.read_index(context)
        asked += of_type(persist(node), ForwardReadIndex)
    assert asked == [
        ForwardReadIndex(1, 2, 5, 11),
        ForwardReadIndex(1, 2, 5, 12, acknowledges=True),
        ForwardReadIndex(1, 3, 6, 13),
    ]


def test_a_question_that_acknowledges_nothing_takes_a_round() -> None:
    """It is that of a member that has just found its leader."""
    node = reading()
    node.step(ForwardReadIndex(2, 1, node.term, 55))
    assert [m.to for m in of_type(persist(node), Heartbeat)] == [2, 3]


def test_a_learner_that_asks_acknowledges_nothing() -> None:
    """It would not have noticed an election."""
    node = leader_of(start_of(voters=(1, 2, 3), learners=(4,)), read_round_seed=100)
    acknowledge(node, 1, 2)
    persist(node)
    node.step(ForwardReadIndex(4, 1, node.term, 55, acknowledges=True))
    assert [m.to for m in of_type(persist(node), Heartbeat)] == [2, 3]
    node.step(HeartbeatResp(3, 1, node.term, 101))
    assert of_type(persist(node), ReadIndexResp) == [ReadIndexResp(1, 4, node.term, 55, 1)]


def test_forwarded_reads_wait_for_the_first_commit_of_the_term() -> None:
    """Whoever asks, a new leader does not know what is committed."""
    node = leader_of(start_of(1, 1, commit=2))
    node.step(ForwardReadIndex(2, 1, node.term, 55, acknowledges=True))
    assert not of_type(persist(node), ReadIndexResp)
    acknowledge(node, 3, 2)
    assert len(of_type(persist(node), Heartbeat)) == 2


def test_nobody_to_ask() -> None:
    """No leader: refused at once, own and foreign ones."""
    node = node_of()
    node.read_index(1)
    node.step(ForwardReadIndex(2, 1, 0, 55))
    ready = node.ready()
    assert ready.refused_reads == (RefusedRead(1, Refusal.NO_LEADER),)
    assert ready.messages == (ReadIndexResp(1, 2, 0, 55, 0, rejected=True),)


def test_timeout_refuses_what_waits() -> None:
    """A round under way, what waits for the next, and what was forwarded."""
    node = leader_of(start_of(voters=(1, 2, 3, 4, 5)), check_quorum=False)
    acknowledge(node, 1, 2, 3)
    persist(node)
    node.read_index(1)
    persist(node)
    node.read_index(2)
    node.step(ForwardReadIndex(2, 1, node.term, 55, acknowledges=True))
    for _ in range(10):
        node.tick()
    ready = node.ready()
    assert {one.context for one in ready.refused_reads} == {1, 2}
    assert of_type(ready.messages, ReadIndexResp) == [
        ReadIndexResp(1, 2, node.term, 55, 0, rejected=True)
    ]


def test_reads_are_bounded() -> None:
    """One more is refused, not queued."""
    node = leader_of(reads_waiting_max=2)
    for context in (1, 2, 3):
        node.read_index(context)
    assert node.ready().refused_reads == (RefusedRead(3, Refusal.READS_FULL),)
