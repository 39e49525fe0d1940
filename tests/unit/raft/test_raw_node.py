from tests.unit.raft.nodes import NORMAL, absorb, acknowledge, leader_of, node_of, persist, start_of
from zetcd.messages.node import Role
from zetcd.messages.raft import Append, Heartbeat
from zetcd.raft.ready import Ready, SoftState


def test_first_ready_reports_the_state() -> None:
    """And only changes afterwards."""
    node = node_of()
    assert node.has_ready()
    assert node.ready().soft_state == SoftState(0, 0, Role.FOLLOWER, is_learner=False)
    assert not node.has_ready()
    assert node.ready() == Ready()
    node.step(Heartbeat(2, 1, 3, 0))
    assert node.ready().soft_state == SoftState(3, 2, Role.FOLLOWER, is_learner=False)


def test_nothing_is_returned_twice() -> None:
    """Every outbox is drained."""
    node = leader_of()
    node.propose([(NORMAL, b"x")])
    node.tick()
    node.read_index(1)
    assert node.ready() != Ready()
    assert node.ready() == Ready()


def test_has_ready_agrees_with_ready() -> None:
    """Whenever it says no, there is nothing."""
    node = leader_of()
    for step in range(50):
        if step % 3 == 0:
            node.propose([(NORMAL, b"x")])
        if step % 4 == 0:
            acknowledge(node, node.status().last_index, 2)
        node.tick()
        while node.has_ready():
            ready = node.ready()
            assert ready != Ready()
            absorb(node, ready)
        assert node.ready() == Ready()


def test_views() -> None:
    """The cheap ones agree with the status."""
    node = leader_of()
    status = node.status()
    assert (node.node_id, node.term, node.leader, node.role, node.committed) == (
        status.node_id,
        status.term,
        status.leader,
        status.role,
        status.committed,
    )


def test_single_voter_does_everything_alone() -> None:
    """Elects itself, commits and reads; always after its disk."""
    node = node_of(start_of(voters=(1,)))
    node.campaign()
    persist(node)
    assert node.is_leader
    node.propose([(NORMAL, b"x")])
    assert persist(node) == []
    assert node.committed == 2
    node.read_index(5)
    assert node.ready().read_states[0].index == 2


def test_messages_of_one_turn_stay_in_order() -> None:
    """A stream to one peer is sent as it has to arrive."""
    node = leader_of(append_bytes_max=1)
    acknowledge(node, 1, 2, 3)
    persist(node)
    node.propose([(NORMAL, b"a"), (NORMAL, b"b")])
    sent = [m for m in persist(node) if isinstance(m, Append) and m.to == 2]
    assert [m.prev_index for m in sent] == [1, 2]
