"""The log on disk: appending, reading, segments, identity, failures."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zetcd.errors import DataDirMismatch, DiskFailed, ExitCode, InvariantViolation, WalCorruption
from zetcd.messages.raft import ConfState, EntryType, HardState, LogEntry, SnapshotMetadata
from zetcd.messages.storage import StorageAppend, TermRun
from zetcd.runtime.log_scan import segment_names
from zetcd.runtime.log_storage import LogOptions, LogStorage, open_log
from zetcd.runtime.memory_files import MemoryFileSystem
from zetcd.wal.segment import parse_segment_name

DIRECTORY = "/wal"
SMALL = 4096


def options(**changes: object) -> LogOptions:
    values: dict[str, object] = {
        "cluster_id": 0xC1,
        "member_id": 0xA1,
        "segment_bytes": SMALL,
        "salt": lambda: 7,
    }
    return LogOptions(**(values | changes))  # type: ignore[arg-type]


def opened(filesystem: MemoryFileSystem, **changes: object) -> LogStorage:
    return open_log(filesystem, DIRECTORY, options(**changes))


def entry(index: int, term: int = 1, data: bytes = b"data") -> LogEntry:
    return LogEntry(EntryType.NORMAL, term, index, data)


def appended(first: int, last: int, term: int = 1, data: bytes = b"data") -> StorageAppend:
    entries = tuple(entry(index, term, data) for index in range(first, last + 1))
    return StorageAppend(entries, HardState(term, 2, 0))


def reopened(filesystem: MemoryFileSystem, storage: LogStorage, **changes: object) -> LogStorage:
    storage.close()
    return opened(filesystem, **changes)


def segments(filesystem: MemoryFileSystem) -> list[str]:
    return segment_names(filesystem, DIRECTORY)


def first_indexes_of(filesystem: MemoryFileSystem) -> list[int]:
    """Return where each segment begins, by its name."""
    return [int(name.split("-")[1].split(".")[0], 16) for name in segments(filesystem)]


@pytest.fixture
def disk() -> MemoryFileSystem:
    return MemoryFileSystem()


def test_a_new_log_is_pristine_and_empty(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    state = storage.state()
    assert storage.is_pristine
    assert (state.last_index, state.tail, state.term_runs) == (0, (), ())
    assert state.hard_state == HardState()
    assert segments(disk) == ["00000000-0000000000000001.wal"]
    assert disk.unsynced_pages() == []
    assert disk.unsynced_names() == 0


def test_what_was_appended_is_there_after_reopening(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    assert storage.append([appended(1, 2), appended(3, 3, term=4)])
    storage = reopened(disk, storage)
    state = storage.state()
    assert state.last_index == 3
    assert state.hard_state == HardState(4, 2, 0)
    assert state.term_runs == (TermRun(1, 1), TermRun(3, 4))
    assert state.tail == (entry(1), entry(2), entry(3, 4))
    assert not storage.is_pristine


def test_one_batch_is_one_pwrite_and_one_fdatasync(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    disk.calls.clear()
    storage.append([appended(1, 2), appended(3, 5), StorageAppend(hard_state=HardState(1, 2, 3))])
    assert disk.calls == {"pwrite": 1, "fdatasync": 1}


def test_nothing_new_needs_no_disk(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    storage.append([appended(1, 2)])
    disk.calls.clear()
    assert not storage.append([StorageAppend(), StorageAppend(hard_state=HardState(1, 2, 0))])
    assert disk.calls == {}


def test_a_new_commit_alone_is_durable(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    storage.append([appended(1, 2)])
    assert storage.append([StorageAppend(hard_state=HardState(1, 2, 2))])
    crashed = disk.crash(lambda _path, _page: False)
    assert opened(crashed).state().hard_state.commit == 2


def test_a_new_vote_alone_is_durable(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    assert storage.append([StorageAppend(hard_state=HardState(3, 9, 0))])
    crashed = disk.crash(lambda _path, _page: False)
    assert opened(crashed).state().hard_state == HardState(3, 9, 0)


def test_an_entry_replaces_everything_at_its_index_and_above(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    storage.append([appended(1, 9)])
    storage.append([appended(4, 5, term=2, data=b"new")])
    for each in (storage, reopened(disk, storage)):
        assert each.read(1, 99, 1 << 20) == (
            *(entry(index) for index in (1, 2, 3)),
            entry(4, 2, b"new"),
            entry(5, 2, b"new"),
        )


def test_overwriting_twice_in_one_batch_keeps_the_last(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    storage.append([appended(1, 5), appended(3, 4, term=2), appended(4, 4, term=3)])
    assert [e.term for e in storage.read(1, 9, 1 << 20)] == [1, 1, 2, 3]


@pytest.mark.parametrize("commit_to", [2, 3])
def test_committed_entries_are_never_overwritten(disk: MemoryFileSystem, commit_to: int) -> None:
    storage = opened(disk)
    storage.append([appended(1, 3), StorageAppend(hard_state=HardState(1, 2, commit_to))])
    disk.calls.clear()
    with pytest.raises(InvariantViolation, match="replace committed"):
        storage.append([appended(2, 2, term=2)])
    assert disk.calls == {}


def test_a_gap_is_refused_before_anything_is_written(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    storage.append([appended(1, 3)])
    disk.calls.clear()
    with pytest.raises(InvariantViolation, match="do not continue the log"):
        storage.append([appended(5, 5)])
    assert disk.calls == {}


def test_a_read_is_bounded_by_bytes_but_returns_at_least_one_entry(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    storage.append([appended(1, 9, data=bytes(100))])
    assert [e.index for e in storage.read(2, 9, 250)] == [2, 3]
    assert [e.index for e in storage.read(2, 9, 0)] == [2]
    assert storage.read(10, 12, 99) == ()
    assert storage.read(0, 1, 99) == ()


def test_full_segments_are_cut_and_read_across(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    for index in range(1, 41):
        storage.append([appended(index, index, data=bytes([index]) * 300)])
    assert storage.segments_count > 2
    for each in (storage, reopened(disk, storage)):
        assert [e.data[0] for e in each.read(1, 41, 1 << 20)] == list(range(1, 41))
        assert [e.index for e in each.read(17, 20, 1 << 20)] == [17, 18, 19]
    assert [parse_segment_name(name) for name in segments(disk)] == list(range(len(segments(disk))))


def test_a_batch_larger_than_a_segment_gets_a_segment_of_its_size(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    storage.append([appended(1, 1)])
    storage.append([appended(2, 2, data=b"x" * (3 * SMALL))])
    storage.append([appended(3, 3)])
    storage = reopened(disk, storage)
    assert [len(e.data) for e in storage.read(1, 9, 1 << 20)] == [4, 3 * SMALL, 4]


def test_the_tail_is_bounded_and_ends_with_the_last_entry(disk: MemoryFileSystem) -> None:
    storage = opened(disk, segment_bytes=1 << 20)
    for index in range(1, 401):
        storage.append([appended(index, index, data=bytes(1000))])
    storage = reopened(disk, storage, segment_bytes=1 << 20, tail_bytes=150_000)
    tail = storage.state().tail
    assert tail[-1].index == 400
    assert [e.index for e in tail] == list(range(tail[0].index, 401))
    assert 50_000 <= sum(len(e.data) for e in tail) <= 150_000


def test_the_tail_has_the_last_entry_however_large_it_is(disk: MemoryFileSystem) -> None:
    storage = opened(disk, tail_bytes=10)
    storage.append([appended(1, 2, data=bytes(100))])
    assert [e.index for e in storage.state().tail] == [2]


# --- checkpoint marks -----------------------------------------------------------------------------


def mark(index: int, term: int = 1) -> StorageAppend:
    return StorageAppend(snapshot=SnapshotMetadata(index, term, ConfState((1, 2, 3), (4,))))


def test_the_log_begins_below_its_mark_until_release(disk: MemoryFileSystem) -> None:
    """Followers that are a little behind still get entries from there, also after a restart."""
    storage = opened(disk)
    for index in range(1, 31):
        storage.append([appended(index, index, data=bytes(300))])
    storage.append([mark(20)])
    for each in (storage, reopened(disk, storage)):
        state = each.state()
        assert state.snapshot == SnapshotMetadata(20, 1, ConfState((1, 2, 3), (4,)))
        assert (state.first_index, state.previous_term) == (1, 0)
        assert state.term_runs == (TermRun(1, 1),)
        assert [e.index for e in state.tail] == list(range(1, 31))
        assert each.read(5, 6, 99)[0].index == 5


def test_after_a_release_the_log_says_where_it_begins(disk: MemoryFileSystem) -> None:
    """The entry before the first one is gone, its term is still known."""
    storage = opened(disk)
    for index in range(1, 31):
        storage.append([appended(index, index, term=1 + index // 10, data=bytes(300))])
    storage.append([mark(25, 3)])
    storage.release(20)
    for each in (storage, reopened(disk, storage)):
        state = each.state()
        assert state.first_index == each.first_index > 1
        assert state.previous_term == 1 + (state.first_index - 1) // 10
        assert state.term_runs[0].first_index == state.first_index
        assert state.tail[0].index == state.first_index


def test_segments_can_be_released_one_at_a_time(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    for index in range(1, 61):
        storage.append([appended(index, index, data=bytes(300))])
    storage.append([mark(50)])
    counts = []
    while released := storage.release(50, segments_max=1):
        counts.append(released)
    assert len(counts) > 1
    assert set(counts) == {1}
    assert storage.release(50) == 0


def test_bytes_are_counted_from_the_newest_mark(disk: MemoryFileSystem) -> None:
    """A repeated mark at the start of a segment counts nothing anew; a restart counts the same."""
    storage = opened(disk)
    storage.append([appended(1, 1, data=bytes(5000))])
    assert storage.bytes_since_mark > 5000
    storage.append([mark(1)])
    assert 0 < storage.bytes_since_mark < 5000
    for index in range(2, 31):
        storage.append([appended(index, index, data=bytes(300))])
    assert storage.segments_count > 2
    assert storage.bytes_since_mark > 29 * 300
    assert reopened(disk, storage).bytes_since_mark == storage.bytes_since_mark


def test_release_deletes_whole_segments_and_the_log_still_opens(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    for index in range(1, 31):
        storage.append([appended(index, index, data=bytes(300))])
    storage.append([mark(20)])
    before = storage.segments_count
    released = storage.release(20)
    assert released > 0
    assert storage.segments_count == before - released == len(segments(disk))
    first = storage.first_index
    assert 1 < first <= 21
    for each in (storage, reopened(disk, storage)):
        assert each.first_index == first
        assert each.read(first - 1, first, 99) == ()
        assert each.read(first, first + 1, 99)[0].index == first
        assert each.state().hard_state == HardState(1, 2, 0)
        assert each.state().snapshot.index == 20


def test_release_never_leaves_a_gap(disk: MemoryFileSystem) -> None:
    """After entries were overwritten, a later segment may hold lower indexes than an earlier one."""
    storage = opened(disk)
    for index in range(1, 31):
        storage.append([appended(index, index, data=bytes(300))])
    for index in range(5, 31):
        storage.append([appended(index, index, term=2, data=bytes(300))])
    first_indexes = first_indexes_of(disk)
    assert first_indexes != sorted(first_indexes)
    storage.append([mark(12, term=2)])
    assert storage.release(12) > 0
    again = reopened(disk, storage)
    assert [entry.term for entry in again.read(13, 31, 1 << 20)] == [2] * 18


def test_release_beyond_the_checkpoint_is_refused(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    storage.append([appended(1, 9)])
    with pytest.raises(AssertionError, match="only a checkpoint"):
        storage.release(5)


@pytest.mark.parametrize("snapshot_index", [3, 7])
def test_an_installed_snapshot_replaces_a_log_that_lacks_or_contradicts_it(
    disk: MemoryFileSystem, snapshot_index: int
) -> None:
    storage = opened(disk)
    storage.append([appended(1, 5)])
    storage.append(
        [mark(snapshot_index, term=3), appended(snapshot_index + 1, snapshot_index + 1, 3)]
    )
    for each in (storage, reopened(disk, storage)):
        state = each.state()
        assert each.first_index == snapshot_index + 1
        assert state.last_index == snapshot_index + 1
        assert state.tail == (entry(snapshot_index + 1, 3),)
        assert state.term_runs == (TermRun(snapshot_index + 1, 3),)


def test_a_log_that_a_snapshot_replaced_opens_whatever_was_released_of_it(
    disk: MemoryFileSystem,
) -> None:
    """The entry that contradicted the mark is gone, those above it are still in the segments left."""
    storage = opened(disk)
    for index in range(1, 31):
        storage.append([appended(index, index, term=2, data=bytes(300))])
    first_indexes = first_indexes_of(disk)
    storage.append(
        [mark(first_indexes[3] - 1, term=3), StorageAppend(hard_state=HardState(3, 2, 0))]
    )
    released = 1
    while released:
        state = storage.state()
        assert state.last_index == first_indexes[3] - 1
        storage = reopened(disk, storage)
        assert storage.state() == state
        released = storage.release(first_indexes[3] - 1, segments_max=1)
    assert len(segments(disk)) < len(first_indexes)


@given(st.data())
@settings(max_examples=200)
def test_a_log_that_is_opened_again_says_the_same(data: st.DataObject) -> None:
    """Whatever was appended, overwritten, replaced by snapshots and released before."""
    disk = MemoryFileSystem()
    storage = opened(disk)
    term = 1
    for _ in range(data.draw(st.integers(1, 25))):
        state = storage.state()
        term += data.draw(st.integers(0, 1))
        what = data.draw(st.sampled_from(["append", "append", "append", "mark", "release"]))
        if what == "append":
            low = max(state.first_index, state.snapshot.index + 1)
            first = data.draw(st.integers(low, state.last_index + 1))
            last = first + data.draw(st.integers(0, 4))
            size = data.draw(st.sampled_from([0, 300, 2000]))
            storage.append([appended(first, last, term, bytes(size))])
        elif what == "mark":
            index = data.draw(st.integers(state.snapshot.index + 1, state.last_index + 5))
            installed = mark(index, data.draw(st.integers(1, term)))
            storage.append([installed, StorageAppend(hard_state=HardState(term, 2, 0))])
        else:
            storage.release(state.snapshot.index, segments_max=data.draw(st.integers(1, 9)))
        if data.draw(st.booleans()):
            before = storage.state()
            storage = reopened(disk, storage)
            again = storage.state()
            assert (again.hard_state, again.snapshot) == (before.hard_state, before.snapshot)
            assert again.last_index == before.last_index
            # The term before the first entry went with its segment: then the log begins one later.
            assert again.first_index - before.first_index in (0, 1)
            assert again.tail == before.tail[-len(again.tail) :] or not again.tail
            assert storage.read(again.first_index, again.last_index + 1, 1 << 30) == again.tail


def test_missing_first_segments_are_corruption(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    for index in range(1, 31):
        storage.append([appended(index, index, data=bytes(300))])
    storage.close()
    disk.unlink(f"{DIRECTORY}/{segments(disk)[0]}")
    with pytest.raises(WalCorruption, match="segments between are missing"):
        opened(disk)


def test_a_missing_segment_in_the_middle_is_corruption(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    for index in range(1, 31):
        storage.append([appended(index, index, data=bytes(300))])
    storage.close()
    disk.unlink(f"{DIRECTORY}/{segments(disk)[1]}")
    with pytest.raises(WalCorruption, match="segment 1 is missing"):
        opened(disk)


# --- whose log it is ------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"cluster_id": 0xC2}, {"member_id": 0xA2}])
def test_the_log_of_another_member_is_refused_naming_both(
    disk: MemoryFileSystem, changes: dict[str, object]
) -> None:
    opened(disk).close()
    with pytest.raises(DataDirMismatch) as caught:
        opened(disk, **changes)
    for name in ("a1", "c1", *(f"{value:x}" for value in changes.values())):
        assert name in str(caught.value)
    assert caught.value.exit_code is ExitCode.DATA_DIR


def test_another_format_version_is_refused_clearly(disk: MemoryFileSystem) -> None:
    opened(disk).close()
    path = f"{DIRECTORY}/{segments(disk)[0]}"
    content = bytearray(disk.content_of(path))
    content[11] = 9
    disk.replace_content(path, bytes(content))
    with pytest.raises(WalCorruption, match="format version 9 is not supported"):
        opened(disk)


def test_a_log_in_use_is_refused(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    with pytest.raises(DataDirMismatch, match="in use by another process"):
        opened(disk)
    reopened(disk, storage).close()


def test_the_error_says_where_and_how_to_rejoin(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    storage.append([appended(1, 3)])
    storage.append([appended(4, 4)])
    storage.close()
    path = f"{DIRECTORY}/{segments(disk)[0]}"
    content = bytearray(disk.content_of(path))
    at = content.index(b"data")
    content[at] ^= 1
    disk.replace_content(path, bytes(content))
    with pytest.raises(WalCorruption) as caught:
        opened(disk)
    text = str(caught.value)
    for part in (
        segments(disk)[0],
        "offset 640",
        "index 1",
        "remove member a1",
        "empty data directory",
    ):
        assert part in text
    assert caught.value.exit_code is ExitCode.CORRUPTION


# --- failures -------------------------------------------------------------------------------------


def actions() -> list[Callable[[LogStorage], object]]:
    return [
        lambda s: s.append([appended(1, 3)]),
        lambda s: s.append([appended(4, 4, data=bytes(3000))]),
        lambda s: s.append([appended(5, 5, data=bytes(3000))]),
        lambda s: s.append([mark(4)]),
        lambda s: s.release(4),
        lambda s: s.append([appended(6, 6)]),
    ]


def test_any_failing_call_stops_the_log_and_loses_nothing_acknowledged() -> None:
    """The n-th call of the file system fails for every n, until a run passes cleanly."""
    number = 0
    while True:
        number += 1
        disk = MemoryFileSystem()
        storage = opened(disk)
        disk.fail_call(number)
        acknowledged = 0
        failed = False
        for action in actions():
            before = storage.last_index
            try:
                action(storage)
            except (DiskFailed, OSError):
                failed = True
                disk.before_call = None
                calls = dict(disk.calls)
                with pytest.raises(DiskFailed):
                    storage.append([appended(before + 1, before + 1)])
                assert disk.calls == calls
                break
            acknowledged = storage.last_index
        disk.before_call = None
        for left in (disk.process_crash(), disk.crash(lambda _path, _page: False)):
            recovered = opened(left)
            assert recovered.last_index >= acknowledged
            recovered.append([appended(recovered.last_index + 1, recovered.last_index + 1)])
        if not failed:
            break
    assert number > 20


def test_disk_full_is_a_disk_failure(disk: MemoryFileSystem) -> None:
    storage = opened(disk)
    disk.fail_call(1, errno.ENOSPC)
    with pytest.raises(DiskFailed, match="injected failure of pwrite") as caught:
        storage.append([appended(1, 1)])
    assert caught.value.exit_code is ExitCode.DISK


def test_recovery_syncs_what_only_the_page_cache_held(disk: MemoryFileSystem) -> None:
    """A killed process leaves a written batch in the page cache: recovered means durable."""
    storage = opened(disk)
    storage.write([appended(1, 1)])
    killed = disk.process_crash()
    assert killed.unsynced_pages() != []
    assert opened(killed).last_index == 1
    assert killed.unsynced_pages() == []


def test_recovery_reads_the_last_segment_from_the_disk(disk: MemoryFileSystem) -> None:
    """Only pages that are written back can be dropped, so: sync, drop, read."""
    opened(disk).close()
    kinds: list[str] = []
    disk.before_call = kinds.append
    opened(disk)
    assert kinds.index("fdatasync") < kinds.index("drop_cache") < kinds.index("pread")


def test_a_segment_without_its_opening_batch_is_corruption(disk: MemoryFileSystem) -> None:
    opened(disk).close()
    path = f"{DIRECTORY}/{segments(disk)[0]}"
    disk.replace_content(path, disk.content_of(path)[:600])
    with pytest.raises(WalCorruption, match="opening batch"):
        opened(disk)


def test_a_read_jumps_over_what_was_overwritten(disk: MemoryFileSystem) -> None:
    storage = opened(disk, segment_bytes=8 << 20)
    for index in range(1, 1001):
        storage.append([appended(index, index, data=bytes(5000))])
    storage.append([appended(2, 3, term=2)])
    disk.calls.clear()
    assert [e.term for e in storage.read(1, 4, 1 << 20)] == [1, 2, 2]
    assert disk.calls["pread"] <= 3


def test_unsafe_no_fsync_never_syncs(disk: MemoryFileSystem) -> None:
    storage = opened(disk, unsafe_no_fsync=True)
    for index in range(1, 31):
        storage.append([appended(index, index, data=bytes(300))])
    reopened(disk, storage, unsafe_no_fsync=True).close()
    assert "fdatasync" not in disk.calls
    assert "sync_directory" not in disk.calls


def test_an_interrupted_segment_cut_is_finished() -> None:
    """Cut the power at every call around a segment cut; no or every unsynced page is kept."""
    number = 0
    failed = True
    while failed:
        number += 1
        disk = MemoryFileSystem()
        storage = opened(disk)
        storage.append([appended(1, 1, data=bytes(3000))])
        disk.fail_call(number)
        failed = False
        try:
            storage.append([appended(2, 2, data=bytes(3000))])
        except (DiskFailed, OSError):
            failed = True
        disk.before_call = None
        for kept in range(disk.unsynced_names() + 1):
            for keeps in (lambda _path, _page: False, lambda _path, _page: True):
                left = disk.crash(keeps, names_kept=kept)
                recovered = opened(left)
                assert recovered.last_index >= (1 if failed else 2)
                recovered.append([appended(recovered.last_index + 1, recovered.last_index + 1)])
                recovered = reopened(left, recovered)
    assert number > 8
