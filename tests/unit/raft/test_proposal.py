from tests.unit.raft.nodes import NORMAL, acknowledge, follower_of, leader_of, node_of, persist
from zetcd.messages.raft import ForwardProposal
from zetcd.raft.ready import Refusal


def test_nobody_to_take_it() -> None:
    """Refused at once; nothing has happened."""
    node = node_of()
    assert node.propose([(NORMAL, b"x")]) is Refusal.NO_LEADER


def test_follower_forwards() -> None:
    """All proposals of a call in one message."""
    node = follower_of()
    proposals = ((NORMAL, b"a"), (NORMAL, b"b"))
    assert node.propose(proposals) is None
    assert persist(node) == [ForwardProposal(1, 2, 5, proposals)]


def test_forwarded_proposals_travel_one_hop() -> None:
    """A member that does not lead drops and counts them."""
    node = follower_of()
    for _ in range(2):
        node.step(ForwardProposal(3, 1, 5, ((NORMAL, b"a"),)))
    assert node.ready().dropped == ((Refusal.NO_LEADER, 2),)
    assert node.ready().dropped == ()


def test_leader_takes_forwarded_proposals_of_an_older_term() -> None:
    """The proposer need not know of the election that it survived."""
    node = leader_of()
    node.step(ForwardProposal(3, 1, node.term - 1, ((NORMAL, b"a"),)))
    assert node.status().last_index == 2


def test_bounds() -> None:
    """All or none of a call; the first one always fits."""
    node = leader_of(uncommitted_bytes_max=100)
    acknowledge(node, 1, 2)
    persist(node)
    assert node.propose([(NORMAL, b"x" * 500)]) is None
    assert node.propose([(NORMAL, b"")]) is Refusal.UNCOMMITTED_FULL
    assert node.status().last_index == 2
    persist(node)
    acknowledge(node, 2, 2)
    persist(node)
    assert node.propose([(NORMAL, b"x" * 20)]) is None
    assert node.propose([(NORMAL, b""), (NORMAL, b"")]) is Refusal.UNCOMMITTED_FULL
    assert node.propose([(NORMAL, b"")]) is None


def test_apply_lag() -> None:
    """On a follower as well: its own gateway waits for its own apply."""
    for node in (leader_of(apply_lag_entries_max=1), follower_of(apply_lag_entries_max=1)):
        log = node._raft.log
        log.append([])
        log.committed = log.applied + 2
        assert node.propose([(NORMAL, b"x")]) is Refusal.APPLY_LAGGING
        assert Refusal.APPLY_LAGGING.is_too_many_requests
