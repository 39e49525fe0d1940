import dataclasses

import pytest

from tests.unit.raft.nodes import (
    absorb,
    acknowledge,
    follower_of,
    leader_of,
    node_of,
    of_type,
    persist,
    role_of,
    start_of,
)
from zetcd.messages.codec import encode
from zetcd.messages.node import Role
from zetcd.messages.raft import (
    ConfChange,
    ConfChangeType,
    EntryType,
    Heartbeat,
    HeartbeatResp,
    LogEntry,
    PreVote,
    PreVoteResp,
    TimeoutNow,
    Vote,
    VoteResp,
)
from zetcd.raft.ready import Refusal


def test_vote_requests_follow_the_write() -> None:
    """Term and vote first have to be durable; then the requests leave."""
    node = node_of(start_of(1, 1))
    node.campaign()
    ready = node.ready()
    assert ready.messages == ()
    assert ready.append is not None
    assert ready.append.hard_state is not None
    assert (ready.append.hard_state.term, ready.append.hard_state.vote) == (2, 1)
    assert of_type(ready.append.responses, Vote) == [Vote(1, 2, 2, 2, 1), Vote(1, 3, 2, 2, 1)]


@pytest.mark.parametrize("voters", [(1,), (1, 2, 3)])
def test_a_slow_disk_delays_the_campaign_and_does_not_begin_it_anew(
    voters: tuple[int, ...],
) -> None:
    """Another term while the vote for this one is still being written would never be won."""
    node = node_of(start_of(voters=voters))
    while role_of(node) is Role.FOLLOWER:
        node.tick()
    ready = node.ready()
    assert ready.append is not None
    for _ in range(100):
        node.tick()
    assert (role_of(node), node.term) == (Role.CANDIDATE, 1)
    absorb(node, ready)
    assert role_of(node) is (Role.LEADER if voters == (1,) else Role.CANDIDATE)


def test_a_candidate_that_is_not_answered_begins_anew() -> None:
    """Once its own vote is durable, the timeout counts as ever."""
    node = node_of()
    node.campaign()
    persist(node)
    for _ in range(10):
        node.tick()
    assert node.term == 2


def test_a_candidate_needs_a_majority() -> None:
    """Of five, three: the own vote and two others, counted once each."""
    node = node_of(start_of(voters=(1, 2, 3, 4, 5)))
    node.campaign()
    persist(node)
    for _ in range(3):
        node.step(VoteResp(2, 1, 1))
    assert role_of(node) is Role.CANDIDATE
    node.step(VoteResp(3, 1, 1))
    assert role_of(node) is Role.LEADER


def test_a_majority_of_refusals_ends_the_campaign() -> None:
    """No need to wait for the timeout."""
    node = node_of()
    node.campaign()
    persist(node)
    node.step(VoteResp(2, 1, 1, rejected=True))
    assert role_of(node) is Role.CANDIDATE
    node.step(VoteResp(3, 1, 1, rejected=True))
    assert role_of(node) is Role.FOLLOWER


@pytest.mark.parametrize("voters", [(2, 3), (1, 2, 3)])
def test_only_voters_campaign(voters: tuple[int, ...]) -> None:
    """Neither learners nor strangers."""
    node = node_of(start_of(voters=voters))
    node.campaign()
    assert (node.role is Role.CANDIDATE) == (1 in voters)


def test_leader_does_not_campaign() -> None:
    """It has what it could win."""
    node = leader_of()
    node.campaign()
    assert role_of(node) is Role.LEADER


@pytest.mark.parametrize(
    ("term", "vote", "last", "is_granted"),
    [
        (3, 0, (3, 2), True),
        (3, 2, (3, 2), True),
        (3, 3, (3, 2), False),
        (3, 0, (2, 2), False),
        (3, 0, (9, 1), False),
        (3, 0, (1, 3), True),
    ],
)
def test_vote(term: int, vote: int, last: tuple[int, int], is_granted: bool) -> None:
    """One vote in a term, for a log at least as up to date."""
    node = node_of(start_of(1, 2, 2, term=term, vote=vote))
    node.step(Vote(2, 1, term, *last))
    (answer,) = of_type(persist(node), VoteResp)
    assert answer == VoteResp(1, 2, term, rejected=not is_granted)


def test_granting_a_vote_resets_the_timeout() -> None:
    """The candidate gets the time to win."""
    node = node_of()
    for _ in range(9):
        node.tick()
    node.step(Vote(2, 1, 1, 0, 0))
    node.tick()
    assert role_of(node) is Role.FOLLOWER


def test_pre_vote_keeps_term_and_vote() -> None:
    """Asking, and being asked, changes nothing."""
    node = node_of(pre_vote=True)
    node.campaign()
    sent = persist(node)
    assert of_type(sent, PreVote) == [PreVote(1, 2, 1, 0, 0), PreVote(1, 3, 1, 0, 0)]
    assert (node.term, node._raft.vote) == (0, 0)
    other = node_of(node_id=2)
    other.step(PreVote(1, 2, 1, 0, 0))
    assert persist(other) == [PreVoteResp(2, 1, 1)]
    assert other.term == 0


def test_pre_vote_won_leads_to_a_campaign() -> None:
    """With the term that was asked about."""
    node = node_of(pre_vote=True)
    node.campaign()
    node.step(PreVoteResp(2, 1, 1))
    assert (node.role, node.term) == (Role.CANDIDATE, 1)


def test_lease_ignores_candidates() -> None:
    """Unless the leader has been silent for an election timeout, or sends the candidate itself."""
    node = follower_of()
    node.step(Vote(3, 1, 9, 9, 9))
    node.step(PreVote(3, 1, 9, 9, 9))
    assert persist(node) == []
    assert node.term == 5
    node.step(Vote(3, 1, 6, 9, 9, is_transfer=True))
    assert node.term == 6


def test_without_check_quorum_there_is_no_lease() -> None:
    """Anybody may become candidate at any time, as in the paper."""
    node = follower_of(check_quorum=False)
    node.step(Vote(3, 1, 9, 9, 9))
    assert of_type(persist(node), VoteResp) == [VoteResp(1, 3, 9)]


def test_check_quorum() -> None:
    """A leader that hears nobody for an election timeout steps down."""
    node = leader_of()
    node.step(HeartbeatResp(3, 1, node.term))
    for _ in range(10):
        node.tick()
    assert role_of(node) is Role.LEADER
    for _ in range(10):
        node.tick()
    assert role_of(node) is Role.FOLLOWER
    assert node.leader == 0


def test_transfer_to_a_complete_log() -> None:
    """TimeoutNow leaves at once; until the next election timeout proposals are refused."""
    node = leader_of()
    acknowledge(node, 1, 2, 3)
    persist(node)
    node.transfer_leader(3)
    assert persist(node) == [TimeoutNow(1, 3, node.term)]
    assert node.status().transferee == 3
    assert node.propose([(EntryType.NORMAL, b"x")]) is Refusal.TRANSFERRING
    node.step(HeartbeatResp(2, 1, node.term))
    for _ in range(10):
        node.tick()
    assert node.status().transferee == 0


def test_transfer_waits_for_the_log() -> None:
    """TimeoutNow follows the answer that completes the target's log."""
    node = leader_of()
    node.transfer_leader(2)
    assert of_type(persist(node), TimeoutNow) == []
    acknowledge(node, 1, 2)
    assert of_type(persist(node), TimeoutNow) == [TimeoutNow(1, 2, node.term)]


def test_timeout_now_campaigns_at_once() -> None:
    """In the name of the leader, and without asking for pre-votes."""
    node = follower_of(pre_vote=True)
    node.step(TimeoutNow(2, 1, 5))
    requests = of_type(persist(node), Vote)
    assert [request.is_transfer for request in requests if isinstance(request, Vote)] == [True] * 2
    assert node.term == 6


def test_best_successor_is_alive_and_longest() -> None:
    """A silent voter is not chosen, however long its log."""
    node = leader_of(start_of(voters=(1, 2, 3, 4)))
    acknowledge(node, 1, 3, 4)
    node._raft.progress[3].recent_active = False
    node.transfer_leader(0)
    assert node.status().transferee == 4


def test_campaign_waits_for_an_uncommitted_snapshot_write() -> None:
    """See `conf_change_campaign_waits_until_applied` and `snapshot_answer_waits_for_the_disk`."""
    node = node_of()
    node._raft.persistence.snapshot_index = 1
    node.campaign()
    assert role_of(node) is Role.FOLLOWER


def test_campaign_waits_for_a_committed_change() -> None:
    """The quorum to win is not known before it was handed to apply, not even if it is on disk only."""
    change = encode(ConfChange(ConfChangeType.ADD_NODE, 4))
    log = (LogEntry(EntryType.CONF_CHANGE, 1, 1, change),)
    for tail in (log, ()):
        node = node_of(dataclasses.replace(start_of(1, commit=1), tail=tail))
        node.campaign()
        assert role_of(node) is Role.FOLLOWER
    uncommitted = node_of(dataclasses.replace(start_of(1), tail=log))
    uncommitted.campaign()
    assert role_of(uncommitted) is Role.CANDIDATE


def test_candidate_follows_the_leader_of_its_term() -> None:
    """Somebody else has won."""
    node = node_of()
    node.campaign()
    node.step(Heartbeat(3, 1, 1, 0))
    assert (node.role, node.leader) == (Role.FOLLOWER, 3)


def test_a_leader_that_is_not_heard_is_not_protected_by_those_who_may_not_campaign() -> None:
    """A learner may have been promoted and not know it; its vote may be the one that is missing."""
    for node in (
        follower_of(start_of(1, voters=(2, 3), learners=(1,))),
        follower_of(start_of(1, voters=(2, 3))),
    ):
        for elapsed in range(1, 50):
            node.tick()
            node.step(PreVote(3, 1, 6, 9, 5))
            granted = [each for each in of_type(persist(node), PreVoteResp) if each.term == 6]
            assert bool(granted) == (elapsed >= 10), f"after {elapsed} ticks"
