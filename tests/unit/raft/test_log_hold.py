"""How much of its log a leader keeps for a peer that it has sent a snapshot."""

from __future__ import annotations

from tests.unit.raft.nodes import (
    NORMAL,
    acknowledge,
    follower_of,
    leader_of,
    of_type,
    persist,
    start_of,
)
from zetcd.messages.raft import (
    Append,
    AppendResp,
    ConfState,
    HeartbeatResp,
    InstallSnapshot,
    SnapshotFailed,
    SnapshotMetadata,
)
from zetcd.raft.progress import SILENT_PERIODS_MAX, ProgressState
from zetcd.raft.raw_node import RawNode

ELECTION_TICKS = 10
_CONF = ConfState((1, 2, 3))


def offering() -> RawNode:
    """Return a leader whose log begins behind index 3, and that has offered peer 2 the snapshot at 4."""
    node = leader_of(start_of(1, 1, 1, 1))
    acknowledge(node, 5, 3)
    persist(node)
    checkpoint(node, 4)
    node.compact(3)
    node.step(AppendResp(2, 1, node.term, 4, rejected=True, hint_index=1, hint_term=1))
    assert offers(node) == [4]
    return node


def checkpoint(node: RawNode, index: int) -> None:
    node.snapshot_available(SnapshotMetadata(index, node.term, _CONF))


def offers(node: RawNode) -> list[int]:
    """Return the snapshots offered to peer 2 now."""
    sent = of_type(persist(node), InstallSnapshot)
    return [each.snapshot.index for each in sent if isinstance(each, InstallSnapshot)]


def write(node: RawNode, count: int = 1) -> None:
    """Commit entries with the help of peer 3."""
    for _ in range(count):
        node.propose([(NORMAL, b"x")])
    persist(node)
    acknowledge(node, node.status().last_index, 3)
    persist(node)


def period(node: RawNode, *heard: int) -> list[int]:
    """Let an election timeout pass in which these peers were heard; return what peer 2 was offered."""
    sent: list[int] = []
    for _ in range(ELECTION_TICKS):
        for peer in heard:
            node.step(HeartbeatResp(peer, 1, node.term))
        node.tick()
        sent += offers(node)
    return sent


def test_the_log_behind_a_snapshot_on_its_way_is_kept_whatever_checkpoints_are_made() -> None:
    node = offering()
    write(node, 5)
    checkpoint(node, 9)
    assert node.release_index() == 4


def test_without_a_snapshot_on_its_way_all_goes_that_the_newest_stands_for() -> None:
    node = leader_of(start_of(1, 1, 1, 1))
    assert node.release_index() == 0
    acknowledge(node, 5, 3)
    persist(node)
    checkpoint(node, 4)
    assert node.release_index() == 4


def test_a_peer_goes_on_with_entries_behind_the_snapshot_that_it_was_sent() -> None:
    """Also if there is a newer one by then: what it needs is still there."""
    node = offering()
    write(node, 5)
    checkpoint(node, 9)
    node.compact(node.release_index())
    node.step(AppendResp(2, 1, node.term, 4))
    sent = persist(node)
    assert of_type(sent, InstallSnapshot) == []
    (append,) = [m for m in of_type(sent, Append) if m.to == 2]
    assert isinstance(append, Append)
    assert (append.prev_index, len(append.entries)) == (4, 6)


def test_what_the_peer_has_is_not_kept_any_longer() -> None:
    node = offering()
    write(node, 5)
    checkpoint(node, 9)
    acknowledge(node, 7, 2)
    assert node.release_index() == 7


def test_nothing_is_kept_once_the_peer_has_caught_up() -> None:
    """It has at the end of a period what was committed when that began."""
    node = offering()
    write(node, 5)
    acknowledge(node, 7, 2)
    checkpoint(node, 9)
    period(node, 2, 3)
    assert node.release_index() == 7
    acknowledge(node, node.committed, 2)
    write(node, 5)
    period(node, 2, 3)
    checkpoint(node, 14)
    assert node.release_index() == 14


def test_what_a_peer_lacks_that_gets_on_slowly_is_kept() -> None:
    """It is behind at every look: without what it lacks it would have to begin anew."""
    node = offering()
    for index in range(5, 50, 5):
        write(node, 10)
        acknowledge(node, index, 2)
        period(node, 2, 3)
    checkpoint(node, node.committed)
    assert node.release_index() == 45


def test_the_same_snapshot_is_offered_again_while_the_log_goes_on_from_it() -> None:
    """The peer may have all but the end of it."""
    node = offering()
    write(node, 5)
    checkpoint(node, 9)
    assert period(node, 2, 3) == [4]


def test_a_silent_peer_keeps_the_log_for_a_while_only() -> None:
    node = offering()
    write(node, 5)
    checkpoint(node, 9)
    # It was heard in the first of them.
    for _ in range(SILENT_PERIODS_MAX):
        assert node.release_index() == 4
        period(node, 3)
    period(node, 3)
    assert node.release_index() == 9
    node.compact(9)
    assert period(node, 2, 3) == [9]


def test_a_snapshot_that_cannot_be_had_is_replaced_by_the_newest() -> None:
    """It is gone, or damaged."""
    node = offering()
    node.step(SnapshotFailed(2, 1, node.term, 4))
    assert offers(node) == [], "there is no other one"
    write(node, 5)
    checkpoint(node, 9)
    for peer, index in ((2, 3), (3, 4), (9, 4)):
        node.step(SnapshotFailed(peer, 1, node.term, index))
        assert offers(node) == []
    node.step(SnapshotFailed(2, 1, node.term, 4))
    assert offers(node) == [9]
    assert node.release_index() == 9


def test_a_member_that_leaves_keeps_nothing() -> None:
    node = offering()
    write(node, 5)
    checkpoint(node, 9)
    assert node._raft.progress[2].state is ProgressState.SNAPSHOT
    del node._raft.progress[2]
    assert node.release_index() == 9


def test_a_follower_says_that_it_could_not_have_the_snapshot() -> None:
    """To whoever leads by then, if that is who has offered it."""
    node = follower_of(leader=2)
    snapshot = SnapshotMetadata(7, 4, _CONF)
    node.snapshot_failed(InstallSnapshot(2, 1, node.term, snapshot))
    assert persist(node) == [SnapshotFailed(1, 2, node.term, 7)]
    node.snapshot_failed(InstallSnapshot(3, 1, node.term, snapshot))
    assert persist(node) == []
