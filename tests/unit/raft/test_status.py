from tests.unit.raft.nodes import acknowledge, follower_of, leader_of, persist, start_of
from zetcd.messages.node import Role
from zetcd.raft.progress import ProgressState


def test_leader() -> None:
    """With one line for each peer, by id."""
    node = leader_of(start_of(voters=(1, 2), learners=(3,)))
    acknowledge(node, 1, 2)
    persist(node)
    status = node.status()
    assert (status.role, status.leader, status.committed, status.applied) == (Role.LEADER, 1, 1, 1)
    assert [peer.node_id for peer in status.progress] == [2, 3]
    assert status.progress[0].state is ProgressState.REPLICATE
    assert status.progress[0].match_index == 1
    assert status.progress[1].is_learner
    assert status.progress[1].is_paused


def test_follower() -> None:
    """Knows nothing of its peers."""
    status = follower_of(start_of(1, 1)).status()
    assert (status.role, status.leader, status.last_index) == (Role.FOLLOWER, 2, 2)
    assert status.progress == ()
    assert status.is_member
    assert not status.is_storage_stalled
