"""Whatever a crash or a flipped bit leaves, nothing acknowledged is lost, nothing is invented."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from zetcd.errors import WalCorruption
from zetcd.messages.raft import EntryType, HardState, LogEntry
from zetcd.messages.storage import StorageAppend, TermRun
from zetcd.runtime.log_storage import LogOptions, LogStorage, open_log
from zetcd.runtime.memory_files import MemoryFileSystem

DIRECTORY = "/wal"
SEGMENT_BYTES = 16 * 1024
FIRST_SEGMENT = f"{DIRECTORY}/00000000-0000000000000001.wal"


def opened(filesystem: MemoryFileSystem, tail_bytes: int = 1 << 20) -> LogStorage:
    options = LogOptions(
        cluster_id=1,
        member_id=2,
        segment_bytes=SEGMENT_BYTES,
        tail_bytes=tail_bytes,
        salt=lambda: 0x5EED,
    )
    return open_log(filesystem, DIRECTORY, options)


def entries_from(first: int, term: int, sizes: list[int], fill: int = 1) -> tuple[LogEntry, ...]:
    return tuple(
        LogEntry(EntryType.NORMAL, term, first + at, bytes([fill]) * size)
        for at, size in enumerate(sizes)
    )


@dataclass
class Model:
    """The dumbest log there is."""

    entries: list[LogEntry] = field(default_factory=list)
    hard_state: HardState = field(default_factory=HardState)

    def take(self, append: StorageAppend) -> None:
        if append.entries:
            del self.entries[append.entries[0].index - 1 :]
            self.entries.extend(append.entries)
        if append.hard_state is not None:
            self.hard_state = append.hard_state

    def copy(self) -> Model:
        return Model(list(self.entries), self.hard_state)

    def runs(self) -> tuple[TermRun, ...]:
        groups = itertools.groupby(self.entries, key=lambda e: e.term)
        return tuple(TermRun(next(group).index, term) for term, group in groups)


def check_equal(storage: LogStorage, model: Model) -> None:
    storage._index.check()
    state = storage.state()
    count = len(model.entries)
    assert state.last_index == count
    assert state.term_runs == model.runs()
    assert (state.hard_state.term, state.hard_state.vote) == (
        model.hard_state.term,
        model.hard_state.vote,
    )
    assert storage.read(1, count + 1, 1 << 30) == tuple(model.entries)
    assert state.tail == tuple(model.entries[count - len(state.tail) :])
    assert bool(state.tail) == bool(model.entries)


class LogMachine(RuleBasedStateMachine):
    """Appends, overwrites, votes, commits, restarts and power failures against a list."""

    @initialize()
    def start(self) -> None:
        self.disk = MemoryFileSystem(page_bytes=512)
        self.storage = opened(self.disk)
        self.model = Model()
        self.term = 1

    def next_append(self, sizes: list[int], back: int, is_new_term: bool) -> StorageAppend:
        model = self.model
        commit = model.hard_state.commit
        first = max(commit + 1, len(model.entries) + 1 - back)
        if is_new_term or first <= len(model.entries):
            # Entries are replaced only by those of a newer term.
            self.term += 1
        hard_state = HardState(self.term, 1, commit) if self.term != model.hard_state.term else None
        return StorageAppend(entries_from(first, self.term, sizes, self.term % 250 + 1), hard_state)

    @rule(
        sizes=st.lists(st.integers(0, 1500), min_size=1, max_size=4),
        back=st.integers(0, 12),
        is_new_term=st.booleans(),
        parts=st.integers(1, 3),
    )
    def append(self, sizes: list[int], back: int, is_new_term: bool, parts: int) -> None:
        group = []
        for _ in range(parts):
            group.append(self.next_append(sizes, back, is_new_term))
            self.model.take(group[-1])
        assert self.storage.append(group)

    @rule(share=st.floats(0, 1))
    def commit(self, share: float) -> None:
        model = self.model
        low, high = model.hard_state.commit, len(model.entries)
        commit = low + int((high - low) * share)
        append = StorageAppend(hard_state=HardState(model.hard_state.term, 1, commit))
        if model.hard_state.term == 0:
            return
        self.storage.append([append])
        model.take(append)

    @rule(low=st.integers(0, 200), count=st.integers(0, 20), bytes_max=st.integers(0, 4000))
    def read(self, low: int, count: int, bytes_max: int) -> None:
        found = self.storage.read(low, low + count, bytes_max)
        wanted = [e for e in self.model.entries if low <= e.index < low + count]
        if low == 0:
            wanted = []
        assert list(found) == wanted[: len(found)]
        assert bool(found) == bool(wanted)
        assert sum(len(e.data) for e in found[1:]) <= max(0, bytes_max)

    @rule(tail_bytes=st.sampled_from([0, 700, 5000, 1 << 20]))
    def restart(self, tail_bytes: int) -> None:
        self.storage.close()
        self.disk = self.disk.process_crash()
        self.storage = opened(self.disk, tail_bytes)
        self.forget_unwritten_commit()

    @rule(
        sizes=st.lists(st.integers(0, 1500), min_size=1, max_size=4),
        back=st.integers(0, 12),
        kept=st.lists(st.booleans(), min_size=40, max_size=40),
    )
    def power_failure_while_writing(self, sizes: list[int], back: int, kept: list[bool]) -> None:
        before = self.model.copy()
        append = self.next_append(sizes, back, is_new_term=False)
        self.storage.write([append])
        self.model.take(append)
        pages = self.disk.unsynced_pages()
        is_kept = dict(zip(pages, itertools.cycle(kept), strict=False))
        self.disk = self.disk.crash(lambda path, page: is_kept[path, page])
        self.storage = opened(self.disk)
        if self.storage.last_index != len(self.model.entries) or (
            self.storage.read(append.entries[0].index, len(self.model.entries) + 1, 1 << 30)
            != append.entries
        ):
            note("the batch was cut")
            assert not all(is_kept.values())
            self.model = before
        self.forget_unwritten_commit()

    def forget_unwritten_commit(self) -> None:
        found = self.storage.hard_state
        assert found.commit <= self.model.hard_state.commit
        self.model.hard_state = HardState(
            self.model.hard_state.term, self.model.hard_state.vote, found.commit
        )

    @precondition(lambda self: hasattr(self, "storage"))
    @invariant()
    def equals_the_model(self) -> None:
        check_equal(self.storage, self.model)


LogMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestLogMachine = LogMachine.TestCase


# --- one damaged log ------------------------------------------------------------------------------


def written(batches: list[list[int]]) -> tuple[MemoryFileSystem, list[Model], list[int]]:
    """Write one batch per list of entry sizes; return disk, the log after each, and their ends."""
    disk = MemoryFileSystem(page_bytes=512)
    storage = opened(disk)
    model = Model()
    models, ends = [model.copy()], [storage.log_bytes]
    for sizes in batches:
        first = len(model.entries) + 1
        append = StorageAppend(
            entries_from(first, 1, sizes, fill=0x61), HardState(1, 1, max(0, first - 1))
        )
        storage.append([append])
        model.take(append)
        models.append(model.copy())
        ends.append(storage.log_bytes)
    storage.close()
    return disk, models, ends


def keeping(kept: dict[tuple[str, int], bool]) -> Callable[[str, int], bool]:
    """Keep every unsynced page that ``kept`` does not say is lost."""
    return lambda path, page: kept.get((path, page), True)


BATCHES = [[100, 0], [700], [3, 900, 5]]


def test_a_log_cut_at_every_byte_recovers_the_batches_before_the_cut() -> None:
    """Short files and files whose rest reads as zeros are the same to recovery."""
    disk, models, ends = written(BATCHES)
    content = disk.content_of(FIRST_SEGMENT)
    for cut in range(ends[0], ends[-1] + 1):
        complete = sum(end <= cut for end in ends) - 1
        for left in (content[:cut], content[:cut].ljust(len(content), b"\0")):
            disk.replace_content(FIRST_SEGMENT, left)
            storage = opened(disk)
            check_equal(storage, models[complete])
            storage.close()


def test_a_cut_log_is_clean_afterwards() -> None:
    disk, models, ends = written(BATCHES)
    content = disk.content_of(FIRST_SEGMENT)
    disk.replace_content(FIRST_SEGMENT, content[: ends[-1] - 100])
    storage = opened(disk)
    assert storage.cut_bytes > 0
    storage.append([StorageAppend(entries_from(models[-2].entries[-1].index + 1, 1, [4]))])
    storage.close()
    storage = opened(disk)
    assert storage.cut_bytes == 0
    assert storage.last_index == len(models[-2].entries) + 1
    assert len(disk.content_of(FIRST_SEGMENT)) == SEGMENT_BYTES


def test_a_flipped_bit_in_any_byte_is_detected_and_cuts_nothing() -> None:
    """Every byte of a log that is used; the bit rotates, so that all eight occur."""
    disk, models, ends = written(BATCHES)
    content = disk.content_of(FIRST_SEGMENT)
    for at in range(ends[-1]):
        damaged = bytearray(content)
        damaged[at] ^= 1 << (at % 8)
        disk.replace_content(FIRST_SEGMENT, bytes(damaged))
        with pytest.raises(WalCorruption):
            opened(disk)
        assert disk.content_of(FIRST_SEGMENT) == damaged
    disk.replace_content(FIRST_SEGMENT, content)
    check_equal(opened(disk), models[-1])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(at=st.integers(0, SEGMENT_BYTES - 1), bit=st.integers(0, 7))
@example(at=63, bit=0)
def test_a_flipped_bit_behind_the_log_changes_nothing(at: int, bit: int) -> None:
    disk, models, ends = written(BATCHES)
    at = ends[-1] + at % (SEGMENT_BYTES - ends[-1])
    damaged = bytearray(disk.content_of(FIRST_SEGMENT))
    damaged[at] ^= 1 << bit
    disk.replace_content(FIRST_SEGMENT, bytes(damaged))
    storage = opened(disk)
    check_equal(storage, models[-1])
    storage.close()
    assert disk.content_of(FIRST_SEGMENT)[ends[-1] :].count(0) == SEGMENT_BYTES - ends[-1]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    before=st.lists(st.integers(0, 700), min_size=1, max_size=4),
    last=st.lists(st.integers(0, 1200), min_size=1, max_size=3),
    is_zeros=st.booleans(),
)
def test_any_subset_of_the_sectors_of_the_last_batch_may_be_missing(
    before: list[int], last: list[int], is_zeros: bool
) -> None:
    disk = MemoryFileSystem(page_bytes=512)
    storage = opened(disk)
    model = Model()
    first = StorageAppend(entries_from(1, 1, before), HardState(1, 1, 0))
    storage.append([first])
    model.take(first)
    second = StorageAppend(
        entries_from(len(before) + 1, 1, last, fill=0 if is_zeros else 7),
        HardState(1, 1, len(before)),
    )
    storage.write([second])
    full = model.copy()
    full.take(second)
    pages = disk.unsynced_pages()
    for subset in itertools.product([False, True], repeat=min(len(pages), 8)):
        kept = dict(zip(pages, subset, strict=False))
        left = disk.crash(keeping(kept))
        recovered = opened(left)
        is_complete = recovered.last_index == len(full.entries)
        check_equal(recovered, full if is_complete else model)
        assert is_complete or not all(subset)
        next_index = recovered.last_index + 1
        recovered.append([StorageAppend(entries_from(next_index, 1, [5]))])
        recovered.close()
        assert opened(left).last_index == next_index


def test_a_stored_copy_of_a_batch_does_not_pass_for_a_later_batch() -> None:
    """A client may store anything, even bytes of this very log; a torn write stays torn."""
    disk, models, ends = written([[10], [10]])
    stolen = disk.content_of(FIRST_SEGMENT)[ends[1] : ends[2]]
    storage = opened(disk)
    value = LogEntry(EntryType.NORMAL, 1, 3, (stolen + bytes(64)) * 20)
    storage.write([StorageAppend((value,))])
    pages = disk.unsynced_pages()
    for lost in pages:
        left = disk.crash(keeping({lost: False}))
        check_equal(opened(left), models[-1])


def test_damage_in_an_earlier_segment_is_corruption_even_if_it_looks_torn() -> None:
    disk, _, ends = written([[900] for _ in range(40)])
    content = disk.content_of(FIRST_SEGMENT)
    last = content.rstrip(b"\0")
    for cut in (ends[3] - 200, len(last) - 64, len(last) - 300):
        disk.replace_content(FIRST_SEGMENT, content[:cut])
        with pytest.raises(WalCorruption):
            opened(disk)
