import pytest

from tests.unit.raft.nodes import (
    entries,
    follower_of,
    leader_of,
    node_of,
    of_type,
    persist,
    start_of,
)
from zetcd.messages.raft import (
    Append,
    AppendResp,
    ConfState,
    Heartbeat,
    HeartbeatResp,
    InstallSnapshot,
    SnapshotMetadata,
)


def test_append_is_answered_with_the_last_matching_index() -> None:
    """And committed as far as it matches."""
    node = follower_of()
    node.step(Append(2, 1, 5, 0, 0, 9, entries(5, 5)))
    assert of_type(persist(node), AppendResp) == [AppendResp(1, 2, 5, 2)]
    assert node.committed == 2


def test_commit_does_not_reach_beyond_what_matches() -> None:
    """The rest of this log need not be the leader's."""
    node = follower_of(start_of(1, 1, 1))
    node.step(Append(2, 1, 5, 1, 1, 3))
    assert node.committed == 1


@pytest.mark.parametrize(
    ("prev", "hint"),
    [((5, 4), (3, 3)), ((3, 4), (3, 3)), ((3, 2), (2, 1)), ((2, 3), (2, 1))],
)
def test_refusal_says_where_logs_may_agree(prev: tuple[int, int], hint: tuple[int, int]) -> None:
    """The last own entry whose term is not newer than the leader's at that place."""
    node = follower_of(start_of(1, 1, 3))
    node.step(Append(2, 1, 5, *prev, 0))
    (answer,) = of_type(persist(node), AppendResp)
    assert answer == AppendResp(
        1, 2, 5, prev[0], rejected=True, hint_index=hint[0], hint_term=hint[1]
    )


def test_old_append_is_answered_with_the_commit_index() -> None:
    """What is committed agrees for certain; nothing is compared or replaced."""
    node = follower_of(start_of(1, 1, 1, commit=3))
    node.step(Append(2, 1, 5, 1, 9, 0, entries(9, first=2)))
    assert of_type(persist(node), AppendResp) == [AppendResp(1, 2, 5, 3)]
    assert node.status().last_index == 3


def test_heartbeat_commits_and_echoes() -> None:
    """Without the disk."""
    node = follower_of(start_of(1, 1))
    node.step(Heartbeat(2, 1, 5, 1, read_context=7))
    ready = node.ready()
    assert ready.messages == (HeartbeatResp(1, 2, 5, 7),)
    assert node.committed == 1


def test_heartbeat_beyond_the_log_commits_nothing() -> None:
    """This member has lost what it had acknowledged; guessing would make it worse."""
    lines: list[str] = []
    node = follower_of(start_of(1, 1))
    node._raft.trace = lines.append
    node.step(Heartbeat(2, 1, 5, 9))
    assert node.committed == 0
    assert "log was lost" in lines[0]


def test_leader_is_heard() -> None:
    """Each message of the leader puts the election off."""
    node = follower_of()
    for _ in range(9):
        node.tick()
    node.step(Heartbeat(2, 1, 5, 0))
    for _ in range(9):
        node.tick()
    assert node.leader == 2


def test_two_leaders_in_a_term_are_a_defect() -> None:
    """Better one member stops than two histories grow."""
    node = leader_of()
    with pytest.raises(AssertionError, match="also leads"):
        node.step(Heartbeat(2, 1, node.term, 0))


def install(node_conf: ConfState, index: int, term: int) -> InstallSnapshot:
    return InstallSnapshot(2, 1, 5, SnapshotMetadata(index, term, node_conf))


def test_snapshot_replaces_the_log() -> None:
    """Log, membership and state machine; the answer follows the write."""
    node = follower_of(start_of(1, 1))
    conf = ConfState((1, 2), (4,))
    node.step(install(conf, 7, 4))
    ready = node.ready()
    assert ready.snapshot == SnapshotMetadata(7, 4, conf)
    assert ready.append is not None
    assert ready.append.snapshot == ready.snapshot
    assert of_type(ready.append.responses, AppendResp) == [AppendResp(1, 2, 5, 7)]
    assert of_type(ready.messages, AppendResp) == []
    status = node.status()
    assert (status.voters, status.learners, status.first_index) == ((1, 2), (4,), 8)


def test_snapshot_of_a_matching_log_only_commits() -> None:
    """No bytes are moved."""
    node = follower_of(start_of(1, 1, 1))
    node.step(install(ConfState((1, 2, 3)), 2, 1))
    assert (node.committed, node.status().first_index) == (2, 1)


def test_old_snapshot_changes_nothing() -> None:
    """It is answered with the commit index."""
    node = follower_of(start_of(1, 1, 1, commit=3))
    node.step(install(ConfState((9,)), 2, 1))
    assert persist(node)[-1] == AppendResp(1, 2, 5, 3)
    assert node.status().voters == (1, 2, 3)


def test_snapshot_may_not_mention_its_receiver() -> None:
    """A new member may get one that was made before it was added; the log will add it."""
    node = node_of(start_of(voters=(2, 3)))
    node.step(install(ConfState((2, 3)), 7, 4))
    persist(node)
    assert node.status().last_index == 7
    assert not node.status().is_member


def test_a_snapshot_below_what_is_compacted_is_not_needed() -> None:
    """Its term is not known any more, and it would undo what is committed."""
    node = follower_of(start_of(1, snapshot=(7, 1)))
    old = SnapshotMetadata(5, 1, ConfState((1, 2, 3)))
    assert not node.needs_snapshot(old)
    node.step(InstallSnapshot(2, 1, 5, old))
    persist(node)
    assert (node.status().first_index, node.status().last_index) == (8, 8)
