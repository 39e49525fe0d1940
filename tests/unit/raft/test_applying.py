import dataclasses

import pytest

from tests.unit.raft.nodes import entries, entry, node_of, start_of
from zetcd.messages.codec import encode
from zetcd.messages.raft import ConfChange, ConfChangeType, ConfState, EntryType, LogEntry
from zetcd.messages.storage import ApplyState, LogReadResp, StorageApply
from zetcd.raft.options import RaftStart
from zetcd.raft.raw_node import RawNode


def handed(node: RawNode) -> list[int]:
    """Return the indexes of the next entries for apply."""
    work = node.ready().apply
    return [one.index for one in work.entries] if isinstance(work, StorageApply) else []


def test_committed_entries_are_handed_out_once() -> None:
    """From behind what is applied, in order."""
    node = node_of(start_of(1, 1, 1, commit=3, applied=1))
    assert handed(node) == [2, 3]
    assert handed(node) == []


def test_portions_and_back_pressure() -> None:
    """At least one entry at a time; none while too much is under way."""
    node = node_of(start_of(*[1] * 5, commit=5), apply_bytes_max=64, applying_bytes_max=100)
    assert handed(node) == [1, 2]
    assert handed(node) == [3, 4]
    assert not node.has_ready()
    node.applied(1)
    assert handed(node) == []
    node.applied(2)
    assert handed(node) == [5]
    node.check()


def test_old_entries_are_read_from_disk() -> None:
    """One read at a time, and then from memory."""
    node = node_of(start_of(1, 1, 1, 1, commit=4, tail=1))
    ready = node.ready()
    (read,) = ready.log_reads
    assert (read.target, read.low, read.high) == (0, 1, 4)
    assert not node.has_ready()
    node.log_read(LogReadResp(0, 1, entries(1, 1)))
    assert handed(node) == [1, 2]
    assert [one.low for one in node.ready().log_reads] == [3]
    node.log_read(LogReadResp(0, 3, entries(1, first=3)))
    assert handed(node) == [3]
    assert handed(node) == [4]


@pytest.mark.parametrize(
    "answer",
    [
        LogReadResp(0, 1, ()),
        LogReadResp(0, 1, entries(9)),
        LogReadResp(0, 2, entries(1, first=2)),
    ],
)
def test_wrong_answers_are_not_handed_out(answer: LogReadResp) -> None:
    """The read is asked for again."""
    node = node_of(start_of(1, 1, 1, 1, commit=3, tail=1))
    node.ready()
    node.log_read(answer)
    assert node.ready().apply is None
    if answer.low == 1:
        assert node._raft.applying.read_low == 1


def test_applied_must_have_been_handed_out() -> None:
    """Apply cannot be where it was never sent; being told twice is fine."""
    node = node_of(start_of(1, 1, commit=2))
    node.ready()
    node.applied(1)
    node.applied(1)
    with pytest.raises(AssertionError, match="never handed out"):
        node.applied(3)


def test_resume_hands_out_again() -> None:
    """A restarted apply says where it is."""
    node = node_of(start_of(1, 1, 1, commit=3))
    assert handed(node) == [1, 2, 3]
    node.resume_apply(ApplyState(1, 1, ConfState((1, 2, 3))))
    assert handed(node) == [2, 3]
    node.check()


def test_resume_does_not_take_the_membership_back() -> None:
    """Changes that are handed out again are part of it already, and of what came after them."""
    changes = [
        ConfChange(kind, 4) for kind in (ConfChangeType.ADD_NODE, ConfChangeType.REMOVE_NODE)
    ]
    log = tuple(
        LogEntry(EntryType.CONF_CHANGE, 1, index, encode(change))
        for index, change in enumerate(changes, 1)
    )
    start = start_of(1, 1, commit=2)
    node = node_of(dataclasses.replace(start, tail=log), apply_bytes_max=1, applying_bytes_max=1000)
    assert handed(node) == [1]
    assert node.status().voters == (1, 2, 3, 4)
    assert handed(node) == [2]
    node.resume_apply(ApplyState(0, 0, ConfState((1, 2, 3))))
    assert handed(node) == [1]
    assert node.status().voters == (1, 2, 3)


def test_snapshot_is_loaded_first() -> None:
    """A state machine behind the log's beginning needs the snapshot, also on resuming."""
    start = start_of(2, snapshot=(4, 2), commit=5)
    behind = RaftStart(
        hard_state=start.hard_state,
        snapshot=start.snapshot,
        last_index=5,
        term_runs=start.term_runs,
        tail=start.tail,
    )
    node = node_of(behind)
    ready = node.ready()
    assert ready.snapshot == start.snapshot
    assert ready.apply == StorageApply((entry(5, 2),), 5)
    assert node.status().voters == (1, 2, 3)
    node.resume_apply(ApplyState(0, 0, ConfState()))
    again = node.ready()
    assert again.snapshot == start.snapshot
    assert again.apply == ready.apply
