"""What the log means after replay."""

from __future__ import annotations

import pytest

from zetcd.errors import InvariantViolation, WalCorruption
from zetcd.messages.raft import ConfState, HardState, SnapshotMetadata
from zetcd.messages.storage import TermRun
from zetcd.wal.log_index import POSITION_SPACING_BYTES, Location, LogIndex
from zetcd.wal.record import CheckpointRecord, EntriesRecord, HardStateRecord


def entries(first: int, last: int, term: int = 1) -> EntriesRecord:
    return EntriesRecord(first, term, last - first + 1, b"")


def mark(index: int, term: int = 1) -> CheckpointRecord:
    return CheckpointRecord(SnapshotMetadata(index, term, ConfState()))


def test_terms_are_known_for_every_index() -> None:
    index = LogIndex()
    index.replay([entries(1, 3), entries(4, 4, 2), entries(5, 9, 5)], Location(0, 512))
    assert [index.term_of(each) for each in range(11)] == [0, 1, 1, 1, 2, 5, 5, 5, 5, 5, None]
    assert index.term_runs() == (TermRun(1, 1), TermRun(4, 2), TermRun(5, 5))
    index.check()


def test_overwriting_forgets_later_terms_and_positions() -> None:
    index = LogIndex()
    index.replay([entries(1, 3)], Location(0, 512))
    index.replay([entries(4, 9, 2)], Location(1, 512))
    index.replay([entries(2, 2, 3)], Location(1, 1024))
    assert index.last_index == 2
    assert index.term_runs() == (TermRun(1, 1), TermRun(2, 3))
    assert index.locate(1) == Location(0, 512)
    assert index.locate(2) == Location(1, 1024)
    index.check()


def test_positions_are_sparse() -> None:
    index = LogIndex()
    for at in range(1000):
        index.replay([entries(at + 1, at + 1)], Location(0, 512 + at * 1024))
    assert len(index._position_indexes) == 1000 * 1024 // POSITION_SPACING_BYTES + 1
    assert index.locate(64) == Location(0, 512)
    assert index.locate(65) == Location(0, 512 + POSITION_SPACING_BYTES)
    with pytest.raises(InvariantViolation):
        index.locate(1001)
    assert index.tail_index(100 * 1024, {0: 512 + 1000 * 1024}) == 961
    assert index.tail_index(1, {0: 512 + 1000 * 1024}) == 961
    assert index.tail_index(1 << 30, {0: 512 + 1000 * 1024}) == 1


@pytest.mark.parametrize(
    "record",
    [
        entries(5, 5),
        entries(0, 0),
        EntriesRecord(4, 1, 0, b""),
        entries(4, 4, term=0),
        entries(2, 3, term=9),
        HardStateRecord(HardState(0, 0, 0)),
        mark(0),
    ],
)
def test_what_cannot_follow_the_log_is_refused(
    record: EntriesRecord | HardStateRecord | CheckpointRecord,
) -> None:
    index = LogIndex()
    index.replay([entries(1, 3), HardStateRecord(HardState(1, 0, 2)), mark(1)], Location(0, 512))
    with pytest.raises(WalCorruption):
        index.replay([record], Location(0, 1024))


def test_a_mark_within_the_log_keeps_the_entries() -> None:
    index = LogIndex()
    index.replay([entries(1, 9), mark(4)], Location(0, 512))
    assert (index.first_index, index.last_index) == (1, 9)
    assert index.start() == (1, 0)
    assert index.term_runs() == (TermRun(1, 1),)


@pytest.mark.parametrize(("snapshot_index", "term"), [(12, 3), (9, 3), (4, 3)])
def test_a_mark_that_the_log_does_not_contain_replaces_it(snapshot_index: int, term: int) -> None:
    index = LogIndex()
    index.replay([entries(1, 9), mark(snapshot_index, term)], Location(0, 512))
    assert (index.first_index, index.last_index) == (snapshot_index + 1, snapshot_index)
    assert index.last_term == term
    assert index.term_runs() == ()
    index.check()


def test_release_forgets_positions_of_deleted_segments() -> None:
    index = LogIndex()
    index.replay([entries(1, 9)], Location(0, 512))
    index.replay([entries(10, 12, 2), mark(10, 2)], Location(1, 512))
    index.release(1)
    assert (index.first_index, index.previous_term) == (10, 1)
    assert index.term_of(9) is None
    index.check()


def test_an_overwrite_may_reach_below_the_first_segment_left() -> None:
    index = LogIndex(first_index=10, previous_term=1)
    index.replay([mark(7)], Location(1, 512))
    index.replay([entries(10, 12)], Location(1, 640))
    index.replay([entries(8, 9, 2)], Location(1, 1024))
    assert (index.first_index, index.last_index) == (8, 9)
    index.check()


@pytest.mark.parametrize(
    ("first_index", "hard_state", "reason"),
    [
        (1, HardState(1, 0, 4), "index 4 was committed"),
        (2, HardState(1, 0, 1), "segments between are missing"),
        (1, HardState(0, 0, 0), "raft was at term 0"),
    ],
)
def test_a_recovered_log_must_be_whole(
    first_index: int, hard_state: HardState, reason: str
) -> None:
    index = LogIndex(first_index=first_index)
    index.replay([entries(first_index, 3), HardStateRecord(hard_state)], Location(0, 512))
    with pytest.raises(WalCorruption, match=reason):
        index.check_recovered()
