"""One test for each claim of the Raft papers that the core relies on.

"Raft" is Ongaro and Ousterhout, In Search of an Understandable Consensus Algorithm (extended
version); "thesis" is Ongaro, Consensus: Bridging Theory and Practice. Section numbers stand in the
docstrings.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.datadriven.raft_cluster import FakeCluster, FixedTimeouts
from tests.unit.raft.nodes import (
    NORMAL,
    acknowledge,
    entries,
    follower_of,
    leader_of,
    node_of,
    of_type,
    persist,
    start_of,
)
from zetcd.messages.codec import encode
from zetcd.messages.node import Role
from zetcd.messages.raft import (
    Append,
    AppendResp,
    ConfChange,
    ConfChangeType,
    ConfState,
    EntryType,
    HardState,
    Heartbeat,
    HeartbeatResp,
    InstallSnapshot,
    PreVote,
    SnapshotMetadata,
    TimeoutNow,
    Vote,
    VoteResp,
)
from zetcd.raft.options import RaftOptions
from zetcd.raft.raw_node import RawNode


def cluster_of(count: int = 3, **options: int) -> FakeCluster:
    """Return a cluster whose member 1 times out first."""
    cluster = FakeCluster()
    conf = ConfState(tuple(range(1, count + 1)))
    for node_id in conf.voters:
        cluster.add(
            RaftOptions(node_id=node_id, **options),  # type: ignore[arg-type]
            conf,
            rng=FixedTimeouts(node_id - 1),
        )
    return cluster


def elect(cluster: FakeCluster, node_id: int) -> RawNode:
    node = cluster.members[node_id].node
    node.campaign()
    cluster.settle()
    assert node.is_leader
    return node


# --- terms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [node_of, leader_of])
def test_5_1_update_term_from_message(build: Callable[[], RawNode]) -> None:
    """Raft §5.1: a server that sees a larger term adopts it and becomes follower."""
    node = build()
    node.step(Heartbeat(2, 1, 9, 0))
    assert (node.term, node.role) == (9, Role.FOLLOWER)


def test_5_1_reject_stale_term() -> None:
    """Raft §5.1: a request with a stale term is rejected."""
    node = follower_of()
    node.step(Append(3, 1, 4, 0, 0, 0, entries(4)))
    assert node.status().last_index == 0
    assert of_type(persist(node), AppendResp) == [AppendResp(1, 3, 5, 0)]


def test_5_1_terms_survive_restart() -> None:
    """Raft §5.1, Figure 2: term and vote are persistent and in force after a restart."""
    node = node_of(start_of(term=4, vote=2))
    node.step(Vote(3, 1, 4, 9, 9))
    assert of_type(persist(node), VoteResp) == [VoteResp(1, 3, 4, rejected=True)]


# --- elections -----------------------------------------------------------------------------------


def test_5_2_start_as_follower() -> None:
    """Raft §5.2: when servers start up, they begin as followers."""
    assert node_of().role is Role.FOLLOWER


def test_5_2_leader_sends_heartbeats() -> None:
    """Raft §5.2: leaders send periodic heartbeats to all followers."""
    node = leader_of()
    node.tick()
    assert [message.to for message in of_type(persist(node), Heartbeat)] == [2, 3]


@pytest.mark.parametrize("role", [Role.FOLLOWER, Role.CANDIDATE])
def test_5_2_election_timeout(role: Role) -> None:
    """Raft §5.2: without a leader a server enters the next term and asks for votes."""
    node = node_of()
    if role is Role.CANDIDATE:
        node.campaign()
        persist(node)
    term = node.term
    for _ in range(10):
        node.tick()
    assert (node.term, node.role, node.status().vote) == (term + 1, Role.CANDIDATE, 1)
    assert [m.to for m in of_type(persist(node), Vote)] == [2, 3]


@pytest.mark.parametrize(
    ("voters", "granted", "role"),
    [
        ((1,), (), Role.LEADER),
        ((1, 2, 3), (), Role.CANDIDATE),
        ((1, 2, 3), (2,), Role.LEADER),
        ((1, 2, 3, 4, 5), (2,), Role.CANDIDATE),
        ((1, 2, 3, 4, 5), (2, 5), Role.LEADER),
    ],
)
def test_5_2_majority_wins(voters: tuple[int, ...], granted: tuple[int, ...], role: Role) -> None:
    """Raft §5.2: a candidate wins with votes from a majority of the full cluster."""
    node = node_of(start_of(voters=voters))
    node.campaign()
    persist(node)
    for voter in granted:
        node.step(VoteResp(voter, 1, node.term))
    assert node.role is role


def test_5_2_one_vote_per_term() -> None:
    """Raft §5.2: each server votes for at most one candidate in a term, first come first served."""
    node = node_of()
    node.step(Vote(2, 1, 1, 0, 0))
    node.step(Vote(3, 1, 1, 0, 0))
    assert of_type(persist(node), VoteResp) == [
        VoteResp(1, 2, 1),
        VoteResp(1, 3, 1, rejected=True),
    ]


@pytest.mark.parametrize("term", [1, 2])
def test_5_2_candidate_recognizes_a_leader(term: int) -> None:
    """Raft §5.2: a leader of the same or a newer term is legitimate; the candidate follows it."""
    node = node_of()
    node.campaign()
    persist(node)
    node.step(Append(2, 1, term, 0, 0, 0))
    assert (node.role, node.leader, node.term) == (Role.FOLLOWER, 2, term)


def test_5_2_timeouts_are_random() -> None:
    """Raft §5.2: election timeouts are drawn from an interval, so split votes are rare."""
    drawn = set()
    node = RawNode(RaftOptions(node_id=1), start_of(), random.Random(7))
    for term in range(1, 300):
        node.step(Heartbeat(2, 1, term, 0))
        drawn.add(node._raft.election_timeout)
    assert drawn == set(range(10, 20))


def test_5_2_split_votes_are_resolved() -> None:
    """Raft §5.2: after a split vote a candidate times out first and wins alone."""
    cluster = cluster_of(pre_vote=False)
    for node_id in (1, 2, 3):
        cluster.members[node_id].node.campaign()
    cluster.settle()
    assert not any(member.node.is_leader for member in cluster.members.values())
    for _ in range(10):
        for member in cluster.members.values():
            member.node.tick()
        cluster.settle()
    assert cluster.members[1].node.is_leader


# --- replication ---------------------------------------------------------------------------------


def test_5_3_leader_appends_and_replicates() -> None:
    """Raft §5.3: the leader appends the command to its log and sends it to the others."""
    node = leader_of()
    acknowledge(node, 1, 2, 3)
    persist(node)
    node.propose([(NORMAL, b"x")])
    ready = node.ready()
    assert [message.to for message in of_type(ready.messages, Append)] == [2, 3]
    assert ready.append is not None
    assert [one.data for one in ready.append.entries] == [b"x"]


@pytest.mark.parametrize(("count", "needed"), [(1, 0), (3, 1), (5, 2)])
def test_5_3_commit_by_majority(count: int, needed: int) -> None:
    """Raft §5.3: an entry is committed once a majority of the servers has it."""
    node = leader_of(start_of(voters=tuple(range(1, count + 1))))
    for peer in range(2, 2 + needed):
        assert node.committed == 0
        acknowledge(node, 1, peer)
    assert node.committed == 1


def test_5_3_followers_learn_of_the_commit() -> None:
    """Raft §5.3: the leader includes its commit index; followers apply in log order."""
    cluster = cluster_of()
    node = elect(cluster, 1)
    node.propose([(NORMAL, b"a"), (NORMAL, b"b")])
    cluster.settle()
    for member in cluster.members.values():
        assert [one.data for one in member.apply.applied] == [b"", b"a", b"b"]


def test_5_3_consistency_check() -> None:
    """Raft §5.3: a follower refuses entries unless it has the one before them."""
    node = follower_of(start_of(1, 2))
    for prev_index, prev_term, is_refused in (
        (0, 0, False),
        (2, 2, False),
        (2, 1, True),
        (3, 3, True),
    ):
        node.step(Append(2, 1, 5, prev_index, prev_term, 0))
        (answer,) = of_type(persist(node), AppendResp)
        assert isinstance(answer, AppendResp)
        assert answer.rejected is is_refused


#: Raft Figure 7: the logs a new leader of term 8 may find, (a) to (f).
FIGURE_7 = {
    "a": (1, 1, 1, 4, 4, 5, 5, 6, 6),
    "b": (1, 1, 1, 4),
    "c": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
    "d": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
    "e": (1, 1, 1, 4, 4, 4, 4),
    "f": (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
}


@pytest.mark.parametrize("case", sorted(FIGURE_7))
def test_5_3_logs_of_followers_are_repaired(case: str) -> None:
    """Raft §5.3, Figure 7: conflicting entries are overwritten, missing ones filled in."""
    conf = ConfState((1, 2, 3))
    cluster = FakeCluster()
    leader_terms = (1, 1, 1, 4, 4, 5, 5, 6, 6, 6)
    for node_id, terms in ((1, leader_terms), (2, FIGURE_7[case]), (3, (1,))):
        cluster.add(
            RaftOptions(node_id=node_id, pre_vote=False),
            conf,
            entries=entries(*terms),
            hard_state=HardState(7),
            start_index=0,
            rng=FixedTimeouts(node_id - 1),
        )
    elect(cluster, 1)
    logs = [
        [(one.index, one.term) for one in member.wal.entries] for member in cluster.members.values()
    ]
    assert logs[0] == logs[1] == logs[2]
    assert len(logs[0]) == 11


def test_5_3_conflicts_skip_whole_terms() -> None:
    """Raft §5.3: with the hint, one refusal suffices for each conflicting term."""
    node = leader_of(start_of(1, 5, 5, 5, 5, 5))
    node.step(AppendResp(2, 1, node.term, 6, rejected=True, hint_index=4, hint_term=2))
    (message,) = of_type(persist(node), Append)
    assert isinstance(message, Append)
    assert message.prev_index == 1


def test_5_3_leader_append_only() -> None:
    """Raft §5.3, Figure 3: a leader never overwrites or deletes entries in its log."""
    node = leader_of(start_of(1, 1, 1))
    node.step(AppendResp(2, 1, node.term, 3, rejected=True))
    assert [node._raft.log.term_at(index) for index in (1, 2, 3, 4)] == [1, 1, 1, 2]


# --- safety --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last_index", "last_term", "is_granted"),
    [(3, 2, True), (2, 3, True), (4, 2, True), (2, 2, False), (9, 1, False)],
)
def test_5_4_1_election_restriction(last_index: int, last_term: int, is_granted: bool) -> None:
    """Raft §5.4.1: a voter denies its vote if its own log is more up to date."""
    node = node_of(start_of(1, 1, 2))
    node.step(Vote(2, 1, 5, last_index, last_term))
    (answer,) = of_type(persist(node), VoteResp)
    assert answer == VoteResp(1, 2, 5, rejected=not is_granted)


def test_5_4_2_older_terms_commit_indirectly() -> None:
    """Raft §5.4.2, Figure 8: only entries of the own term are committed by counting replicas."""
    node = leader_of(start_of(1, 1))
    acknowledge(node, 2, 2, 3)
    assert node.committed == 0
    acknowledge(node, 3, 3)
    assert node.committed == 3


def test_5_4_3_committed_entries_survive_elections() -> None:
    """Raft §5.4.3: every later leader has every committed entry."""
    cluster = cluster_of()
    node = elect(cluster, 1)
    cluster.cut = {(1, 3), (2, 3)}
    node.propose([(NORMAL, b"precious")])
    cluster.settle()
    assert node.committed == 3
    cluster.cut = {(1, 2), (1, 3)}
    for _ in range(40):
        for node_id in (2, 3):
            cluster.members[node_id].node.tick()
        cluster.settle((2, 3))
    assert cluster.members[2].node.is_leader
    assert cluster.members[3].apply.applied[1].data == b"precious"


def test_5_5_repeated_messages_are_harmless() -> None:
    """Raft §5.5: Raft's messages are idempotent."""
    node = follower_of()
    message = Append(2, 1, 5, 0, 0, 0, entries(5, 5))
    node.step(message)
    node.step(message)
    assert of_type(persist(node), AppendResp) == [AppendResp(1, 2, 5, 2)] * 2
    assert node.status().last_index == 2


# --- snapshots, clients --------------------------------------------------------------------------


def test_7_snapshot_replaces_a_conflicting_log() -> None:
    """Raft §7: a snapshot with news discards the entire log; otherwise the rest is kept."""
    snapshot = SnapshotMetadata(3, 4, ConfState((1, 2, 3)))
    node = follower_of(start_of(1, 1, 1, 1))
    node.step(InstallSnapshot(2, 1, 5, snapshot))
    assert node.status().last_index == 3
    matching = follower_of(start_of(1, 1, 4, 4))
    matching.step(InstallSnapshot(2, 1, 5, snapshot))
    assert matching.status().last_index == 4
    assert matching.committed == 3


def test_8_leader_commits_a_no_op() -> None:
    """Raft §8: at the start of its term a leader commits a blank entry."""
    node = leader_of(start_of(1))
    log = node._raft.log
    (first,) = log.tail.slice(2, 3)
    assert (first.term, first.data, first.type) == (node.term, b"", EntryType.NORMAL)


def test_8_reads_need_a_majority() -> None:
    """Raft §8: a leader exchanges heartbeats with a majority before it answers a read."""
    node = leader_of()
    acknowledge(node, 1, 2)
    persist(node)
    node.read_index(1)
    assert node.ready().read_states == ()
    node.step(HeartbeatResp(2, 1, node.term, node._raft.read_only.round_id))
    assert len(node.ready().read_states) == 1


# --- thesis --------------------------------------------------------------------------------------


def test_thesis_3_10_transfer() -> None:
    """Thesis §3.10: the target gets all entries, then TimeoutNow; meanwhile no new requests."""
    cluster = cluster_of()
    node = elect(cluster, 1)
    node.transfer_leader(3)
    assert node.propose([(NORMAL, b"x")]) is not None
    cluster.settle()
    assert cluster.members[3].node.is_leader


def test_thesis_4_1_single_server_changes() -> None:
    """Thesis §4.1: one server at a time; the next change waits for the one before."""
    cluster = cluster_of()
    node = elect(cluster, 1)
    change = [(EntryType.CONF_CHANGE, encode(ConfChange(ConfChangeType.REMOVE_NODE, 3)))]
    assert node.propose(change) is None
    assert node.propose(change) is not None
    cluster.settle()
    assert node.status().voters == (1, 2)


def test_thesis_4_1_no_change_before_the_first_commit() -> None:
    """Thesis §4.1, as corrected: not before an entry of the leader's own term is committed."""
    node = leader_of(start_of(1, 1, commit=2))
    change = [(EntryType.CONF_CHANGE, encode(ConfChange(ConfChangeType.ADD_NODE, 4)))]
    assert node.propose(change) is not None
    acknowledge(node, 3, 2)
    persist(node)
    assert node.propose(change) is None


def test_thesis_4_2_1_learners_catch_up_without_a_vote() -> None:
    """Thesis §4.2.1: a new server is first a non-voting member."""
    node = leader_of(start_of(voters=(1, 2, 3), learners=(4, 5)))
    acknowledge(node, 1, 4, 5)
    assert node.committed == 0
    acknowledge(node, 1, 2)
    assert node.committed == 1


def test_thesis_4_2_2_removed_leader_steps_down() -> None:
    """Thesis §4.2.2: a leader outside the new configuration steps down when it is committed."""
    cluster = cluster_of()
    node = elect(cluster, 1)
    node.propose([(EntryType.CONF_CHANGE, encode(ConfChange(ConfChangeType.REMOVE_NODE, 1)))])
    cluster.settle()
    assert node.role is Role.FOLLOWER
    assert cluster.members[2].node.status().voters == (2, 3)


def test_thesis_4_2_3_disruptive_servers_are_ignored() -> None:
    """Thesis §4.2.3: a request for votes while a leader is heard changes nothing."""
    node = follower_of()
    node.step(Vote(3, 1, 99, 99, 99))
    assert (node.term, node.leader) == (5, 2)
    assert persist(node) == []


def test_thesis_6_2_leader_without_a_quorum_steps_down() -> None:
    """Thesis §6.2: if an election timeout passes without a round to a majority."""
    cluster = cluster_of()
    node = elect(cluster, 1)
    cluster.cut = {(1, 2), (1, 3)}
    for _ in range(20):
        node.tick()
    assert node.role is Role.FOLLOWER


def test_thesis_6_4_reads_wait_for_the_term() -> None:
    """Thesis §6.4 step 1: until the leader has committed in its term it waits."""
    node = leader_of(start_of(1, commit=1))
    node.read_index(1)
    assert of_type(persist(node), Heartbeat) == []


def test_thesis_9_6_pre_vote() -> None:
    """Thesis §9.6: a cut-off server does not raise its term, so its return disturbs nobody."""
    cluster = cluster_of()
    node = elect(cluster, 1)
    cluster.cut = {(1, 3), (2, 3)}
    for _ in range(100):
        cluster.members[3].node.tick()
        cluster.settle((3,))
    assert cluster.members[3].node.term == node.term
    cluster.cut = set()
    for _ in range(20):
        for member in cluster.members.values():
            member.node.tick()
        cluster.settle()
    assert node.is_leader


def test_thesis_10_2_1_leader_writes_in_parallel() -> None:
    """Thesis §10.2.1: a leader may commit an entry before it is on its own disk."""
    node = leader_of()
    acknowledge(node, 1, 2, 3)
    persist(node)
    node.propose([(NORMAL, b"x")])
    node.ready()
    acknowledge(node, 2, 2, 3)
    assert node.committed == 2
    assert node.status().durable_index == 1


def test_thesis_3_10_transfer_ignores_the_lease() -> None:
    """Thesis §3.10 and §4.2.3: the target's request says that the leader wants it."""
    node = follower_of()
    node.step(TimeoutNow(2, 1, 5))
    request = of_type(persist(node), Vote)[0]
    assert isinstance(request, Vote)
    assert request.is_transfer
    voter = follower_of()
    voter.step(Vote(3, 1, 6, 9, 9, is_transfer=True))
    assert of_type(persist(voter), VoteResp) == [VoteResp(1, 3, 6)]


def test_pre_vote_and_lease_agree() -> None:
    """Thesis §9.6: a pre-vote is granted only if no leader was heard lately."""
    node = follower_of()
    node.step(PreVote(3, 1, 6, 9, 9))
    assert persist(node) == []
    for _ in range(9):
        node.tick()
    node.step(PreVote(3, 1, 6, 9, 9))
    assert persist(node) == []
