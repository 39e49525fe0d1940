"""Checkpoints of a member: when one is due, marked, given up."""

from __future__ import annotations

import struct

import pytest

from zetcd.actors.checkpointer import Checkpointer, CheckpointPauses
from zetcd.apply.tables import save_conf_state
from zetcd.config import Config, SnapshotConfig
from zetcd.messages.raft import ConfState, SnapshotMetadata
from zetcd.messages.snapshot import CheckpointMark, CheckpointMarked, CheckpointsKept, LogSize
from zetcd.mvcc.state import load_state, save_state
from zetcd.runtime.checkpoint_files import CheckpointFiles, TablesDescription
from zetcd.runtime.clock import ManualClock
from zetcd.runtime.memory_backend import MemoryBackend, MemoryTransaction
from zetcd.runtime.memory_files import MemoryFileSystem

CONF_STATE = ConfState((1, 2, 3))


class Copy:
    """Sixteen bytes that take four slices."""

    bytes_total = 16

    def __init__(self, content: bytes, clock: ManualClock) -> None:
        self._content = content
        self._clock = clock
        self.is_open = True
        #: When each slice had been read, which takes a while.
        self.read_at: list[float] = []

    def pread(self, size: int, offset: int) -> bytes:
        assert self.is_open, "read after its store was closed"
        self._clock.advance(0.004)
        self.read_at.append(self._clock.now())
        return self._content[offset : offset + size]

    def close(self) -> None:
        self.is_open = False


class Store:
    """Tables that are nothing but an index and a term."""

    def __init__(self, disk: MemoryFileSystem, clock: ManualClock) -> None:
        self._disk = disk
        self._clock = clock
        self._backend = MemoryBackend()
        self.copies: list[Copy] = []

    def apply(self, index: int) -> None:
        with self._backend.write() as transaction:
            state = load_state(transaction)
            state.consistent_index, state.applied_term = index, 1
            save_state(transaction, state)
            save_conf_state(transaction, CONF_STATE)

    def read(self) -> MemoryTransaction:
        return self._backend.read()

    def copy_bytes(self) -> int:
        return Copy.bytes_total

    def begin_copy(self) -> Copy:
        with self.read() as transaction:
            state = load_state(transaction)
        content = struct.pack(">QQ", state.consistent_index, state.applied_term)
        self.copies.append(Copy(content, self._clock))
        return self.copies[-1]

    def describe(self, path: str) -> TablesDescription:
        index, term = struct.unpack(">QQ", self._disk.open(path).pread(16, 0))
        return TablesDescription(SnapshotMetadata(index, term, CONF_STATE), index, 0)


class Bench:
    """A checkpointer, the wal played by the test."""

    def __init__(self) -> None:
        self.disk = MemoryFileSystem()
        self.files = CheckpointFiles(self.disk, "/snap", 1, slice_bytes=4)
        self.clock = ManualClock()
        self.store = Store(self.disk, self.clock)
        self.marks: list[CheckpointMark] = []
        #: What wal was told of the log that the kept checkpoints need.
        self.kept: list[int] = []
        self.is_wal_there = True
        self.checkpointer = self.restarted()

    def restarted(self) -> Checkpointer:
        self.files.prepare()
        config = Config(snapshot_count=10, snapshot=SnapshotConfig(log_bytes_min=0))
        return Checkpointer(
            config, self.files, clock=self.clock, send_to_wal=self._send, pauses=CheckpointPauses()
        )

    def _send(self, message: CheckpointMark | CheckpointsKept) -> bool:
        if isinstance(message, CheckpointMark):
            self.marks.append(message)
        else:
            self.kept.append(message.index)
        return self.is_wal_there

    def log(self, marked_index: int = 0) -> None:
        self.checkpointer.log_size(LogSize(100, marked_index, 1000))

    def turns(self, count: int) -> None:
        for _ in range(count):
            self.clock.seconds = max(self.clock.seconds + 0.001, self.checkpointer.wake_at())
            self.checkpointer.advance(self.store, self.clock.seconds)

    def indexes(self) -> list[int]:
        return [name.index for name in self.files.names()]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_checkpoint_is_made_and_its_mark_asked_for(bench: Bench) -> None:
    bench.store.apply(20)
    bench.log()
    bench.turns(12)
    assert bench.indexes() == [20]
    assert bench.marks[0].snapshot == SnapshotMetadata(20, 1, CONF_STATE)


def test_a_copy_leaves_half_of_the_time_to_others(bench: Bench) -> None:
    bench.store.apply(20)
    bench.log()
    bench.turns(12)
    assert bench.store.copies[0].read_at == pytest.approx([0.006, 0.014, 0.022, 0.030])


def test_nothing_is_made_before_enough_entries(bench: Bench) -> None:
    bench.store.apply(9)
    bench.log()
    bench.turns(12)
    assert bench.indexes() == []


def test_a_mark_is_asked_for_again_until_it_is_confirmed(bench: Bench) -> None:
    bench.store.apply(20)
    bench.log()
    bench.turns(14)
    assert len(bench.marks) > 1
    bench.checkpointer.marked(CheckpointMarked(bench.marks[0].snapshot, 1))
    count = len(bench.marks)
    bench.turns(5)
    assert len(bench.marks) == count


def begin_with_an_unmarked_one(bench: Bench) -> None:
    """Let an earlier process have made the checkpoint at 20, and not have had it marked."""
    bench.store.apply(20)
    bench.log()
    bench.turns(12)
    bench.marks.clear()
    bench.checkpointer = bench.restarted()
    bench.log()


def test_what_an_earlier_process_made_is_verified_and_then_marked(bench: Bench) -> None:
    begin_with_an_unmarked_one(bench)
    bench.turns(12)
    assert bench.marks[0].snapshot.index == 20
    assert len(bench.store.copies) == 1


def test_what_was_verified_while_a_newer_one_was_marked_is_not_offered(bench: Bench) -> None:
    """The newer one came from another member."""
    begin_with_an_unmarked_one(bench)
    bench.checkpointer.marked(CheckpointMarked(SnapshotMetadata(30, 1, CONF_STATE), 31))
    bench.turns(12)
    assert bench.marks == []


def test_a_copy_is_given_up_when_its_store_closes(bench: Bench) -> None:
    """Its pages are used again by whoever writes the store: what is read of them is torn."""
    bench.store.apply(20)
    bench.log()
    bench.turns(2)
    assert [copy.is_open for copy in bench.store.copies] == [True]
    bench.checkpointer.store_closes()
    assert [copy.is_open for copy in bench.store.copies] == [False]
    bench.turns(20)
    assert len(bench.store.copies) == 2
    assert bench.indexes() == [20]


def test_what_is_copied_is_finished_without_the_store(bench: Bench) -> None:
    bench.store.apply(20)
    bench.log()
    bench.turns(6)
    assert not bench.store.copies[0].is_open
    bench.checkpointer.store_closes()
    bench.turns(8)
    assert len(bench.store.copies) == 1
    assert bench.indexes() == [20]


def test_a_mark_whose_confirmation_was_lost_is_seen_in_the_size_of_the_log(bench: Bench) -> None:
    """Else this member would never make another checkpoint."""
    bench.store.apply(20)
    bench.log()
    bench.turns(12)
    bench.checkpointer.wal_started()
    bench.log(marked_index=20)
    bench.store.apply(40)
    bench.turns(14)
    assert bench.indexes() == [20, 40]


def make(bench: Bench, index: int) -> None:
    """Make a checkpoint and confirm its mark."""
    bench.store.apply(index)
    bench.clock.seconds += 10.0
    bench.turns(14)
    assert bench.indexes()[-1] == index
    bench.checkpointer.marked(CheckpointMarked(SnapshotMetadata(index, 1, CONF_STATE), 1))
    bench.log(index)


def test_the_log_is_kept_above_the_oldest_checkpoint_that_is(bench: Bench) -> None:
    """If the newest is damaged, a restart begins with the one before, and replays what follows it."""
    bench.log()
    for index in (20, 40, 60):
        make(bench, index)
    assert bench.indexes() == [40, 60]
    # Before the second one there was nothing but the whole log to fall back to.
    assert bench.kept == [0, 0, 20, 40]


def test_a_new_wal_is_told_what_the_checkpoints_need(bench: Bench) -> None:
    bench.log()
    for index in (20, 40):
        make(bench, index)
    bench.kept.clear()
    bench.checkpointer.wal_started()
    bench.log(40)
    bench.log(40)
    assert bench.kept == [20]


def test_what_wal_could_not_be_told_is_said_again(bench: Bench) -> None:
    bench.is_wal_there = False
    bench.log()
    bench.is_wal_there = True
    bench.log()
    bench.log()
    assert bench.kept == [0, 0]
