import pytest

from tests.unit.raft.nodes import acknowledge, leader_of, node_of, persist
from zetcd.messages.cluster import Member
from zetcd.messages.codec import encode
from zetcd.messages.node import Role
from zetcd.messages.raft import ConfChange, ConfChangeType, ConfState, EntryType, HardState
from zetcd.messages.storage import TermRun
from zetcd.raft.membership import bootstrap_entries, decode_conf_change, next_conf_state
from zetcd.raft.options import RaftStart
from zetcd.raft.raw_node import RawNode
from zetcd.raft.ready import Refusal

ADD, REMOVE = ConfChangeType.ADD_NODE, ConfChangeType.REMOVE_NODE
UPDATE, LEARN = ConfChangeType.UPDATE_NODE, ConfChangeType.ADD_LEARNER


@pytest.mark.parametrize(
    ("kind", "node", "voters", "learners"),
    [
        (ADD, 3, (1, 3, 5), (7,)),
        (ADD, 5, (1, 5), (7,)),
        (ADD, 7, (1, 5, 7), ()),
        (LEARN, 3, (1, 5), (3, 7)),
        (LEARN, 5, (1, 5), (7,)),
        (LEARN, 7, (1, 5), (7,)),
        (REMOVE, 5, (1,), (7,)),
        (REMOVE, 7, (1, 5), ()),
        (REMOVE, 9, (1, 5), (7,)),
        (UPDATE, 5, (1, 5), (7,)),
        (ADD, 0, (1, 5), (7,)),
    ],
)
def test_next_conf_state(
    kind: ConfChangeType, node: int, voters: tuple[int, ...], learners: tuple[int, ...]
) -> None:
    """Sorted, and total: what makes no sense changes nothing."""
    conf = next_conf_state(ConfState((1, 5), (7,)), ConfChange(kind, node))
    assert conf == ConfState(voters, learners)


def test_the_last_voter_stays() -> None:
    """A cluster without voters could never do anything again."""
    conf = ConfState((1,), (2,))
    assert next_conf_state(conf, ConfChange(REMOVE, 1)) == conf


def test_bootstrap_is_the_same_everywhere() -> None:
    """Whatever the order in which the members are named."""
    members = [Member(3, "c"), Member(1, "a"), Member(2, "b", is_learner=True)]
    log = bootstrap_entries(members)
    assert log == bootstrap_entries(members[::-1])
    assert [(one.index, one.term) for one in log] == [(1, 1), (2, 1), (3, 1)]
    changes = [decode_conf_change(one.data) for one in log]
    assert [(change.type, change.node_id) for change in changes] == [(ADD, 1), (LEARN, 2), (ADD, 3)]


def test_bootstrapped_member_campaigns_only_as_a_member() -> None:
    """First it hands the membership to apply."""
    log = bootstrap_entries([Member(1)])
    start = RaftStart(
        hard_state=HardState(1, 0, 1), last_index=1, term_runs=(TermRun(1, 1),), tail=log
    )
    node = node_of(start)
    node.campaign()
    assert node.role is Role.FOLLOWER
    persist(node)
    node.campaign()
    persist(node)
    assert node.is_leader


def propose(node: RawNode, kind: ConfChangeType, member: int) -> Refusal | None:
    return node.propose([(EntryType.CONF_CHANGE, encode(ConfChange(kind, member)))])


def ready_leader() -> RawNode:
    node = leader_of()
    acknowledge(node, 1, 2, 3)
    persist(node)
    return node


def test_one_change_at_a_time() -> None:
    """The next one when this one was handed to apply."""
    node = leader_of()
    assert propose(node, ADD, 4) is Refusal.CONF_CHANGE_PENDING
    acknowledge(node, 1, 2)
    persist(node)
    assert propose(node, ADD, 4) is None
    assert propose(node, ADD, 5) is Refusal.CONF_CHANGE_PENDING
    persist(node)
    acknowledge(node, 2, 2)
    persist(node)
    assert node.status().voters == (1, 2, 3, 4)
    assert propose(node, ADD, 5) is None


@pytest.mark.parametrize("data", [b"", b"\xc1", encode(ConfChange(ADD, 0))])
def test_nonsense_is_refused(data: bytes) -> None:
    """Before it is in the log, where every member would have to make sense of it."""
    node = ready_leader()
    assert node.propose([(EntryType.CONF_CHANGE, data)]) is Refusal.CONF_CHANGE_INVALID


def test_a_new_peer_is_probed_and_counts_as_heard() -> None:
    """The next check of the quorum must not miss it."""
    node = ready_leader()
    propose(node, LEARN, 4)
    persist(node)
    acknowledge(node, 2, 2)
    persist(node)
    progress = node._raft.progress[4]
    assert progress.recent_active
    assert progress.is_learner
    assert node.status().learners == (4,)


def test_a_removed_leader_steps_down_when_it_is_committed() -> None:
    """And not before."""
    node = ready_leader()
    propose(node, REMOVE, 1)
    persist(node)
    assert node.is_leader
    acknowledge(node, 2, 2, 3)
    persist(node)
    assert node.role is Role.FOLLOWER
    assert not node.status().is_member


def test_removal_of_the_transferee_ends_the_transfer() -> None:
    """There is nobody left to hand over to."""
    node = ready_leader()
    propose(node, REMOVE, 3)
    persist(node)
    node.transfer_leader(3)
    assert node.status().transferee == 3
    acknowledge(node, 2, 2)
    persist(node)
    assert node.status().transferee == 0


def test_applied_changes_are_not_applied_twice() -> None:
    """What the membership at the start contains is skipped."""
    log = bootstrap_entries([Member(1), Member(2)])
    start = RaftStart(
        hard_state=HardState(1, 0, 2),
        last_index=2,
        term_runs=(TermRun(1, 1),),
        tail=log,
        applied_index=2,
        applied_term=1,
        conf_state=ConfState((2,)),
    )
    node = node_of(start)
    persist(node)
    assert node.status().voters == (2,)
