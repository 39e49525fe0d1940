from tests.unit.raft.nodes import (
    NORMAL,
    acknowledge,
    follower_of,
    leader_of,
    of_type,
    persist,
    start_of,
)
from zetcd.messages.raft import Heartbeat


def test_every_peer_gets_one_each_interval() -> None:
    """Learners as well."""
    node = leader_of(start_of(voters=(1, 2), learners=(3,)), heartbeat_ticks=2)
    node.tick()
    assert of_type(persist(node), Heartbeat) == []
    node.tick()
    assert [m.to for m in of_type(persist(node), Heartbeat)] == [2, 3]


def test_commit_is_not_beyond_what_the_peer_has() -> None:
    """A heartbeat may overtake the entries it speaks of."""
    node = leader_of()
    acknowledge(node, 1, 2)
    node.propose([(NORMAL, b"x")])
    persist(node)
    node.tick()
    commits = {
        m.to: m.commit for m in of_type(persist(node), Heartbeat) if isinstance(m, Heartbeat)
    }
    assert commits == {2: 1, 3: 0}


def test_followers_send_none() -> None:
    """Only the leader of a term."""
    node = follower_of()
    node.tick()
    assert persist(node) == []
