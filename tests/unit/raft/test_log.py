import pytest

from tests.unit.raft.nodes import entries, start_of
from zetcd.messages.raft import ConfState, SnapshotMetadata
from zetcd.raft.log import RaftLog
from zetcd.raft.log_tail import ENTRY_OVERHEAD_BYTES
from zetcd.raft.options import RaftStart


def log_of(start: RaftStart, tail_bytes_max: int = 1 << 20) -> RaftLog:
    log = RaftLog(start, tail_bytes_max=tail_bytes_max)
    log.check()
    return log


def test_empty() -> None:
    """Index 0 has term 0 and is everybody's common beginning."""
    log = log_of(start_of())
    assert (log.first_index, log.last_index, log.last_term, log.term_at(0)) == (1, 0, 0, 0)
    assert log.term_at(1) is None


def test_start_commits_what_apply_has() -> None:
    """The commit index on disk is a hint; apply may know better."""
    log = log_of(start_of(1, 1, 2, commit=1, applied=2))
    assert log.committed == 2
    assert log.applying == 2


def test_start_with_apply_ahead_of_the_log() -> None:
    """What apply has beyond the log is not in the log, and is not handed out again."""
    start = RaftStart(applied_index=9, applied_term=3, conf_state=ConfState((1,)))
    log = log_of(start)
    assert (log.committed, log.applied, log.applying, log.last_index) == (0, 9, 9, 0)


def test_start_with_apply_ahead_of_a_conflicting_log() -> None:
    """An old entry at the applied index is not what was applied: not known as committed."""
    start = start_of(1, 1, 1, commit=1)
    ahead = RaftStart(
        hard_state=start.hard_state,
        last_index=3,
        term_runs=start.term_runs,
        tail=start.tail,
        applied_index=3,
        applied_term=2,
    )
    log = log_of(ahead)
    assert log.committed == 1
    assert log.try_merge(1, 1, entries(2, 2, first=2)) == 3
    log.check()


def test_start_with_short_tail() -> None:
    """The terms of the whole log are known; only the newest entries are in memory."""
    log = log_of(start_of(1, 1, 2, 3, tail=1))
    assert [log.term_at(index) for index in range(5)] == [0, 1, 1, 2, 3]
    assert log.tail.first_index == 4


@pytest.mark.parametrize(
    ("last_index", "last_term", "is_up_to_date"),
    [(3, 2, True), (4, 2, True), (2, 2, False), (1, 3, True), (9, 1, False)],
)
def test_is_up_to_date(last_index: int, last_term: int, is_up_to_date: bool) -> None:
    """The later last term wins, then the longer log."""
    log = log_of(start_of(1, 1, 2))
    assert log.is_up_to_date(last_index, last_term) is is_up_to_date


def test_merge_appends_new_entries() -> None:
    """The answer is the last index that agrees."""
    log = log_of(start_of(1, 1))
    assert log.try_merge(2, 1, entries(3, 3, first=3)) == 4
    assert log.last_term == 3
    assert log.unstable_bytes == 2 * ENTRY_OVERHEAD_BYTES
    log.check()


def test_merge_refuses_what_does_not_follow() -> None:
    """Neither a gap nor another term before it."""
    log = log_of(start_of(1, 1))
    assert log.try_merge(3, 1, entries(1, first=4)) is None
    assert log.try_merge(2, 2, entries(2, first=3)) is None
    assert log.last_index == 2


def test_merge_keeps_what_agrees() -> None:
    """An old message that ends earlier takes nothing away."""
    log = log_of(start_of(1, 1, 1, 1))
    assert log.try_merge(1, 1, entries(1, first=2)) == 2
    assert log.last_index == 4
    assert log.try_merge(1, 1, ()) == 1


def test_merge_replaces_a_conflicting_suffix() -> None:
    """From the first entry that differs; the disk has to write it again."""
    log = log_of(start_of(1, 1, 1, 1))
    assert log.try_merge(1, 1, entries(1, 2, first=2)) == 3
    assert [log.term_at(index) for index in (2, 3, 4)] == [1, 2, None]
    assert (log.durable, log.handed) == (2, 2)
    assert [one.index for one in log.take_unhanded()] == [3]
    log.check()


def test_committed_entries_are_never_replaced() -> None:
    """Whoever asks for that is broken."""
    log = log_of(start_of(1, 1, commit=2))
    with pytest.raises(AssertionError, match="committed"):
        log.try_merge(0, 0, entries(2, first=1))


def test_find_conflict_by_term() -> None:
    """The last position whose term is not newer."""
    log = log_of(start_of(2, 2, 5, 5, 5, snapshot=(10, 1)))
    assert log.find_conflict_by_term(15, 9) == (15, 5)
    assert log.find_conflict_by_term(99, 4) == (12, 2)
    assert log.find_conflict_by_term(14, 1) == (10, 1)
    assert log.find_conflict_by_term(4, 9) == (4, 0)


def test_handed_entries_are_handed_once() -> None:
    """The next write continues where the last one ended."""
    log = log_of(start_of())
    log.append(entries(1, 1))
    assert len(log.take_unhanded()) == 2
    assert log.take_unhanded() == ()
    log.append(entries(1, first=3))
    assert [one.index for one in log.take_unhanded()] == [3]


def test_durable_only_if_the_term_agrees() -> None:
    """An answer about an entry that was replaced says nothing."""
    log = log_of(start_of())
    log.append(entries(1, 1))
    log.take_unhanded()
    assert not log.note_durable(2, 9)
    assert log.note_durable(1, 1)
    assert log.unstable_bytes == ENTRY_OVERHEAD_BYTES
    assert not log.note_durable(1, 1)
    assert log.note_durable(2, 1)
    log.check()


def test_commit_moves_only_forward() -> None:
    """And not beyond the log."""
    log = log_of(start_of(1, 1))
    assert log.commit_to(1)
    assert not log.commit_to(1)
    assert log.uncommitted_bytes == ENTRY_OVERHEAD_BYTES
    with pytest.raises(AssertionError, match="not in the log"):
        log.commit_to(3)


def test_memory_is_bounded_by_what_is_durable_and_committed() -> None:
    """Uncommitted or unwritten entries stay; the others go beyond the limit."""
    log = log_of(start_of(), tail_bytes_max=ENTRY_OVERHEAD_BYTES)
    log.append(entries(*[1] * 10))
    log.take_unhanded()
    log.commit_to(10)
    assert log.tail.first_index == 1
    log.note_durable(6, 1)
    assert log.tail.first_index == 7
    log.note_durable(10, 1)
    assert log.tail.first_index == 10
    log.check()


def test_restore_replaces_everything() -> None:
    """The log begins behind the snapshot."""
    log = log_of(start_of(1, 1, 1, commit=1))
    log.restore(SnapshotMetadata(7, 3, ConfState((1,))))
    assert (log.first_index, log.last_index, log.last_term) == (8, 7, 3)
    assert (log.committed, log.applying, log.durable) == (7, 7, 1)
    log.append(entries(3, first=8))
    log.check()


def test_compact_stops_at_what_is_applied_and_durable() -> None:
    """The compacted part keeps one term: that of its last entry."""
    log = log_of(start_of(1, 2, 3, 3, commit=4, applied=3))
    assert log.compact(4) == 3
    assert (log.first_index, log.term_at(3), log.term_at(2)) == (4, 3, None)
    log.check()
    log.applied = log.applying = 4
    assert log.compact(4) == 4
    assert log.compact(1) == 4
    log.check()
    log.append(entries(3, first=5))
    log.check()


def test_agrees_with() -> None:
    """Entries read from disk some time ago may have been replaced."""
    log = log_of(start_of(1, 1, 2))
    assert log.agrees_with(entries(1, 2, first=2))
    assert not log.agrees_with(entries(1, 1, first=2))
    assert not log.agrees_with(entries(2, 2, first=3))
