from tests.unit.raft.nodes import (
    NORMAL,
    acknowledge,
    follower_of,
    leader_of,
    node_of,
    of_type,
    persist,
    start_of,
)
from zetcd.messages.node import Role
from zetcd.messages.raft import Heartbeat, HeartbeatResp, TimeoutNow
from zetcd.raft.ready import Refusal


def test_a_follower_says_whether_it_is_fit() -> None:
    """In each answer to a heartbeat, so that nobody hands over to it."""
    node = follower_of()
    for is_fit in (True, False, True):
        node.set_fit(is_fit=is_fit)
        node.step(Heartbeat(2, 1, 5, 0))
        assert persist(node) == [HeartbeatResp(1, 2, 5, is_fit=is_fit)]


def test_a_new_leader_asks_everybody_before_it_hands_over() -> None:
    """Nothing is known of peers that have not answered; it could be handed to and fro."""
    node = leader_of()
    node.set_fit(is_fit=False)
    for _ in range(9):
        acknowledge(node, 1, 2, 3)
        node.tick()
        assert of_type(persist(node), TimeoutNow) == []
    for peer in (2, 3):
        node.step(HeartbeatResp(peer, 1, node.term, is_fit=peer == 3))
    node.tick()
    node.step(HeartbeatResp(3, 1, node.term))
    node.tick()
    assert of_type(persist(node), TimeoutNow) == [TimeoutNow(1, 3, node.term)]


def test_a_lone_member_leads_fit_or_not() -> None:
    """There is nobody else."""
    node = node_of(start_of(voters=(1,)))
    node.set_fit(is_fit=False)
    node.tick()
    persist(node)
    assert node.role is Role.LEADER
    for _ in range(40):
        node.tick()
    assert persist(node) == []
    assert node.is_leader


def test_a_disk_is_fit_again_after_three_times_the_bound() -> None:
    """One that stalls now and then would move leadership to and fro."""
    node = follower_of(unstable_ticks_max=4)
    node.campaign()
    held = node.ready()
    assert held.append is not None
    # The first tick only notes that the write has left.
    ticks_unfit = 6
    for tick in range(1, ticks_unfit + 1):
        assert node.status().is_fit, tick
        node.tick()
    status = node.status()
    assert (status.is_fit, status.is_storage_stalled, status.unstable_ticks) == (False, True, 5)
    for response in held.append.responses:
        node.step(response)
    ticks = 0
    while not node.status().is_fit:
        node.tick()
        persist(node)
        node.check()
        ticks += 1
    assert ticks == 3 * 4
    assert node.status().unstable_ticks == 0


def test_a_burst_that_apply_takes_in_time_is_no_lag() -> None:
    """Proposals are refused meanwhile, and that is all."""
    node = leader_of(apply_lag_entries_max=2)
    for peer in (2, 3):
        acknowledge(node, 1, peer)
    persist(node)
    applied = node.status().applied
    node.propose([(NORMAL, b"x")] * 4)
    ready = node.ready()
    assert ready.append is not None
    for response in ready.append.responses:
        node.step(response)
    last = node.status().last_index
    acknowledge(node, last, 2)
    node.ready()
    assert node.committed - applied == 4
    for _ in range(9):
        node.tick()
    assert node.propose([(NORMAL, b"y")]) is Refusal.APPLY_LAGGING
    assert node.status().is_fit
    node.applied(last - 1)
    node.tick()
    for _ in range(8):
        node.tick()
    assert node.status().is_fit
