"""What a replay starts from, and where the store is compared, follows from their indexes alone."""

from __future__ import annotations

import pytest

from zetcd.messages.raft import ConfState, HardState, SnapshotMetadata
from zetcd.mvcc.state import StoreState
from zetcd.offline_check.plan import EMPTY_BASE, Base, Comparison, plan_replay
from zetcd.wal.log_index import Location, LogIndex
from zetcd.wal.record import CheckpointRecord, EntriesRecord, HardStateRecord


def log(first: int = 1, last: int = 100, commit: int = 90, term: int = 3) -> LogIndex:
    """Return a log with one term."""
    index = LogIndex(first_index=first, previous_term=term if first > 1 else 0)
    index.replay([EntriesRecord(first, term, last - first + 1, b"")], Location(0, 512))
    mark = SnapshotMetadata(first - 1, term, ConfState())
    marks = [CheckpointRecord(mark)] if first > 1 else []
    index.replay([*marks, HardStateRecord(HardState(term, 0, commit))], Location(0, 1024))
    return index


def store(applied: int, term: int = 3) -> StoreState:
    return StoreState(consistent_index=applied, applied_term=term)


@pytest.mark.parametrize(
    ("applied", "compared", "end"),
    [(0, 0, 90), (50, 50, 90), (90, 90, 90), (95, 95, 95), (100, 100, 100)],
)
def test_a_store_within_the_log_is_compared_at_its_own_index(
    applied: int, compared: int, end: int
) -> None:
    plan = plan_replay(log(), [], store(applied, 3 if applied else 0), prefers_oldest=False)
    assert plan[:4] == (EMPTY_BASE, Comparison.EXACT, compared, end)


def test_a_store_beyond_the_log_is_compared_up_to_what_the_log_knows_as_committed() -> None:
    plan = plan_replay(log(), [], store(120), prefers_oldest=False)
    assert plan[:4] == (EMPTY_BASE, Comparison.HISTORY, 90, 90)


def test_an_uncommitted_entry_of_another_term_is_no_corruption() -> None:
    # The followers committed something else there, and apply heard of it before this disk.
    plan = plan_replay(log(), [], store(95, term=4), prefers_oldest=False)
    assert plan.comparison is Comparison.HISTORY
    assert not plan.is_corrupt


def test_a_committed_entry_of_another_term_is_corruption() -> None:
    plan = plan_replay(log(), [], store(90, term=4), prefers_oldest=False)
    assert plan.is_corrupt
    assert plan.comparison is Comparison.NONE


def test_the_newest_base_not_after_the_store_is_taken_or_the_oldest_if_asked() -> None:
    bases = [Base(80, 3, "c80"), Base(20, 3, "c20"), Base(40, 3, "c40")]
    assert plan_replay(log(), bases, store(70), prefers_oldest=False).base == Base(40, 3, "c40")
    assert plan_replay(log(), bases, store(70), prefers_oldest=True).base == EMPTY_BASE
    late = log(first=41)
    assert plan_replay(late, bases, store(70), prefers_oldest=True).base == Base(40, 3, "c40")


def test_a_store_at_its_base_needs_no_entry() -> None:
    plan = plan_replay(log(first=41), [Base(40, 3, "c40")], store(40), prefers_oldest=False)
    assert plan[:4] == (Base(40, 3, "c40"), Comparison.EXACT, 40, 90)


def test_a_base_of_another_term_than_the_committed_log_is_not_taken() -> None:
    bases = [Base(40, 2, "c40")]
    assert plan_replay(log(), bases, store(70), prefers_oldest=False).base == EMPTY_BASE


def test_a_store_before_every_base_is_not_compared_but_the_log_is_replayed() -> None:
    plan = plan_replay(log(first=41), [Base(50, 3, "c50")], store(45), prefers_oldest=False)
    assert (plan.base, plan.comparison, plan.is_corrupt) == (
        Base(50, 3, "c50"),
        Comparison.NONE,
        False,
    )
    assert plan.end_index == 90


def test_a_log_that_nothing_leads_up_to_is_corruption() -> None:
    plan = plan_replay(log(first=41), [Base(30, 3, "c30")], store(45), prefers_oldest=False)
    assert plan.base is None
    assert plan.is_corrupt


def test_a_base_beyond_the_log_is_enough_by_itself() -> None:
    plan = plan_replay(log(first=41), [Base(130, 4, "c130")], store(140, 4), prefers_oldest=False)
    assert plan[:4] == (Base(130, 4, "c130"), Comparison.HISTORY, 130, 130)


def test_without_a_store_the_log_is_replayed_alone() -> None:
    plan = plan_replay(log(), [], None, prefers_oldest=False)
    assert plan[:4] == (EMPTY_BASE, Comparison.NONE, 0, 90)
