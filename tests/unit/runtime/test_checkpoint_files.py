"""Checkpoint files: whole or not there, whatever call the machine dies at; damage is noticed."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from zetcd.errors import CorruptCheckpoint, DiskFailed
from zetcd.messages.raft import ConfState, EntryType, HardState, LogEntry, SnapshotMetadata
from zetcd.messages.storage import StorageAppend
from zetcd.runtime.checkpoint_files import SLICE_BYTES, CheckpointFiles, TablesDescription
from zetcd.runtime.log_storage import LogOptions, LogStorage, open_log
from zetcd.runtime.memory_files import MemoryFileSystem
from zetcd.snapshot.checkpoint_format import CheckpointInfo, CheckpointName

CLUSTER_ID = 0xC1
DIRECTORY = "/snap"
STORE = "/db"
CONF_STATE = ConfState((1, 2, 3))


class FakeCopy:
    """Bytes at one moment."""

    def __init__(self, content: bytes) -> None:
        self.bytes_total = len(content)
        self._content = content

    def pread(self, size: int, offset: int) -> bytes:
        return self._content[offset : offset + size]

    def close(self) -> None:
        self._content = b""


@dataclass
class FakeStore:
    """Tables that are nothing but an index, a term and some bytes."""

    disk: MemoryFileSystem
    index: int
    term: int = 1
    filling: bytes = b"tables"

    def content(self) -> bytes:
        return struct.pack(">QQ", self.index, self.term) + self.filling

    def begin_copy(self) -> FakeCopy:
        return FakeCopy(self.content())

    def describe(self, path: str) -> TablesDescription:
        index, term = struct.unpack_from(">QQ", self.disk.open(path).pread(16, 0))
        return TablesDescription(SnapshotMetadata(index, term, CONF_STATE), index + 1, 0)


def files_on(disk: MemoryFileSystem) -> CheckpointFiles:
    return CheckpointFiles(disk, DIRECTORY, CLUSTER_ID)


def make(disk: MemoryFileSystem, index: int, filling: bytes = b"tables") -> CheckpointInfo:
    draft = files_on(disk).begin(FakeStore(disk, index, filling=filling))
    while (info := draft.step()) is None:
        pass
    return info


def damage(disk: MemoryFileSystem, info: CheckpointInfo, position: int) -> None:
    path = f"{DIRECTORY}/{info.name}"
    content = bytearray(disk.content_of(path))
    content[position] ^= 1
    disk.replace_content(path, bytes(content))


@pytest.fixture
def disk() -> MemoryFileSystem:
    return MemoryFileSystem()


def test_a_checkpoint_says_what_it_is_and_verifies(disk: MemoryFileSystem) -> None:
    info = make(disk, 10)
    files = files_on(disk)
    assert files.names() == (CheckpointName(10, 1),) == (info.name,)
    assert files.info(info.name) == files.verify(info.name) == info
    assert info.snapshot == SnapshotMetadata(10, 1, CONF_STATE)
    assert (info.description.cluster_id, info.description.revision) == (CLUSTER_ID, 11)


def test_a_checkpoint_is_durable_before_it_has_its_name(disk: MemoryFileSystem) -> None:
    info = make(disk, 10)
    left = disk.crash(lambda _path, _page: False)
    assert files_on(left).verify(info.name) == info


def test_equal_tables_have_equal_digests_and_others_do_not(disk: MemoryFileSystem) -> None:
    first, other = make(disk, 10), make(MemoryFileSystem(), 10)
    assert first.digest == other.digest != make(disk, 10, b"others").digest


def test_without_a_directory_there_are_no_checkpoints() -> None:
    class Missing(MemoryFileSystem):
        def list_names(self, directory: str) -> list[str]:
            raise FileNotFoundError(directory)

    assert files_on(Missing()).names() == ()


@pytest.mark.parametrize("size", [0, 1, SLICE_BYTES - 16, SLICE_BYTES, 2 * SLICE_BYTES + 5])
def test_a_restored_store_is_the_store_that_was_copied(disk: MemoryFileSystem, size: int) -> None:
    filling = bytes(range(256)) * (size // 256) + bytes(size % 256)
    info = make(disk, 10, filling)
    assert files_on(disk).restore(info.name, STORE) == info
    assert disk.content_of(f"{STORE}/data.mdb") == FakeStore(disk, 10, filling=filling).content()
    assert disk.list_names(STORE) == ["data.mdb"]


@pytest.mark.parametrize("position", [0, 15, 20, -1, -40, -64, -70])
def test_a_damaged_byte_anywhere_is_noticed_and_nothing_is_restored(
    disk: MemoryFileSystem, position: int
) -> None:
    info = make(disk, 10)
    damage(disk, info, position)
    with pytest.raises(CorruptCheckpoint):
        files_on(disk).verify(info.name)
    with pytest.raises(CorruptCheckpoint):
        files_on(disk).restore(info.name, STORE)
    assert disk.list_names(STORE) == []


def test_a_truncated_checkpoint_is_noticed(disk: MemoryFileSystem) -> None:
    info = make(disk, 10)
    path = f"{DIRECTORY}/{info.name}"
    whole = disk.content_of(path)
    for length in (0, 10, len(whole) - 1):
        disk.replace_content(path, whole[:length])
        with pytest.raises(CorruptCheckpoint):
            files_on(disk).info(info.name)


def test_preparing_removes_own_remains_and_keeps_those_of_a_transfer(
    disk: MemoryFileSystem,
) -> None:
    info = make(disk, 10)
    for name in ("own.partial", "incoming-1.partial"):
        disk.open(f"{DIRECTORY}/{name}", is_new=True)
    files_on(disk).prepare()
    assert disk.list_names(DIRECTORY) == [str(info.name), "incoming-1.partial"]


def test_a_name_that_an_earlier_process_has_left_is_durable_once_prepared(
    disk: MemoryFileSystem,
) -> None:
    class Killed(Exception):
        """Between the rename and the sync of its directory."""

    def kill(kind: str) -> None:
        if kind == "sync_directory":
            raise Killed

    disk.before_call = kill
    with pytest.raises(Killed):
        make(disk, 10)
    disk.before_call = None
    files_on(disk).prepare()
    left = files_on(disk.crash(lambda _path, _page: False))
    assert left.names() == (CheckpointName(10, 1),)
    left.verify(CheckpointName(10, 1))


def test_a_checkpoint_whose_name_may_not_be_durable_ends_the_process(
    disk: MemoryFileSystem,
) -> None:
    """Were it taken for a checkpoint that could not be made, the next look would find and mark it."""

    def fail(kind: str) -> None:
        if kind == "sync_directory":
            raise OSError(5, "injected")

    disk.before_call = fail
    with pytest.raises(DiskFailed, match="injected"):
        make(disk, 10)


def test_a_draft_without_room_lets_go_of_the_store(disk: MemoryFileSystem) -> None:
    closed: list[FakeCopy] = []

    class Watched(FakeCopy):
        def close(self) -> None:
            closed.append(self)

    class Store(FakeStore):
        def begin_copy(self) -> FakeCopy:
            return Watched(self.content())

    def fail(kind: str) -> None:
        if kind == "preallocate":
            raise OSError(28, "no room")

    disk.before_call = fail
    with pytest.raises(OSError, match="no room"):
        files_on(disk).begin(Store(disk, 10))
    assert len(closed) == 1


def test_an_abandoned_draft_does_not_hinder_the_next(disk: MemoryFileSystem) -> None:
    files_on(disk).begin(FakeStore(disk, 5)).close()
    assert make(disk, 10).name == CheckpointName(10, 1)
    assert disk.list_names(DIRECTORY) == [str(CheckpointName(10, 1))]


def prune(files: CheckpointFiles, marked_index: int, *, keep: int) -> int:
    """Remove what nobody needs, as a member does; return how many went."""
    oldest = files.oldest_kept(marked_index=marked_index, keep=keep)
    return 0 if oldest is None else files.prune(oldest)


def test_pruning_keeps_the_newest_marked_and_everything_unmarked(disk: MemoryFileSystem) -> None:
    for index in (10, 20, 30, 40, 50):
        make(disk, index)
    files = files_on(disk)
    assert prune(files, 40, keep=2) == 2
    assert [name.index for name in files.names()] == [30, 40, 50]
    assert prune(files, 40, keep=2) == 0


def test_with_fewer_marked_checkpoints_than_are_kept_none_is_dispensable(
    disk: MemoryFileSystem,
) -> None:
    """Nor is the log below the only one."""
    for index in (10, 20):
        make(disk, index)
    assert files_on(disk).oldest_kept(marked_index=10, keep=2) is None


def test_what_is_known_to_be_damaged_does_not_count_as_kept(disk: MemoryFileSystem) -> None:
    names = [make(disk, index).name for index in (10, 20, 30)]
    files = files_on(disk)
    assert files.oldest_kept(marked_index=30, keep=2) == names[1]
    assert files.oldest_kept(marked_index=30, keep=2, damaged=names[1:2]) == names[0]


def test_a_removed_checkpoint_stays_readable_where_it_is_open(disk: MemoryFileSystem) -> None:
    info = make(disk, 10)
    files = files_on(disk)
    verification = files.verification(info.name)
    prune(files, 10, keep=1)
    make(disk, 20)
    assert prune(files, 20, keep=1) == 1
    while verification.step():
        pass


# --- a crash at every call ---------------------------------------------------------------------------


class PowerLost(Exception):
    """The machine stops now."""


LAST_INDEX = 60


def append(storage: LogStorage, first: int, last: int) -> None:
    for index in range(first, last + 1):
        entry = LogEntry(EntryType.NORMAL, 1, index, bytes(300))
        storage.append([StorageAppend((entry,), HardState(1, 2, index - 1))])


def open_wal(disk: MemoryFileSystem) -> LogStorage:
    options = LogOptions(cluster_id=CLUSTER_ID, member_id=2, segment_bytes=4096, salt=lambda: 7)
    return open_log(disk, "/wal", options)


def live(disk: MemoryFileSystem, acknowledged: list[int]) -> None:
    """Log, three checkpoints with their marks, segments released, old checkpoints removed."""
    storage, files = open_wal(disk), files_on(disk)
    files.prepare()
    for first, last in ((1, 15), (16, 30), (31, 45), (46, LAST_INDEX)):
        append(storage, first, last)
        acknowledged.append(last)
        if last == LAST_INDEX:
            break
        info = make(disk, last)
        storage.append([StorageAppend(snapshot=info.snapshot)])
        oldest = files.oldest_kept(marked_index=last, keep=2)
        if oldest is not None:
            while storage.release(max(0, oldest.index - 5), segments_max=1):
                pass
            files.prune(oldest)


def check(disk: MemoryFileSystem, acknowledged: list[int]) -> None:
    """Everything acknowledged can be rebuilt, and whatever has a checkpoint's name is whole."""
    storage, files = open_wal(disk), files_on(disk)
    files.prepare()
    bases = [files.verify(name).name.index for name in files.names()]
    last = acknowledged[-1] if acknowledged else 0
    assert storage.last_index >= last
    base = max([0, *bases])
    assert storage.first_index <= base + 1, "the log begins behind the newest checkpoint"
    assert base >= storage.snapshot.index, "a mark without its checkpoint"
    for index in range(max(base, storage.first_index - 1) + 1, storage.last_index + 1):
        assert storage.read(index, index + 1, 1)[0].index == index


def calls_of_a_life() -> int:
    disk = MemoryFileSystem()
    live(disk, [])
    return sum(disk.calls.values())


def stop_at(disk: MemoryFileSystem, number: int) -> None:
    left = number

    def count_down(_kind: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise PowerLost

    disk.before_call = count_down


#: Which unsynced pages a crash keeps.
KEEPS: dict[str, Callable[[str, int], bool]] = {
    "none": lambda _path, _page: False,
    "all": lambda _path, _page: True,
    "even": lambda _path, page: page % 2 == 0,
    "log only": lambda path, _page: path.startswith("/wal"),
    "checkpoints only": lambda path, _page: path.startswith("/snap"),
}


def remains(disk: MemoryFileSystem) -> Iterator[MemoryFileSystem]:
    """Yield what a machine may find after its power failed, and what a process finds after a kill."""
    yield disk.process_crash()
    for keeps in KEEPS.values():
        for names_kept in range(disk.unsynced_names() + 1):
            yield disk.crash(keeps, names_kept=names_kept)


def test_a_crash_at_any_call_loses_nothing_acknowledged() -> None:
    """Between any two steps of checkpoint, mark, segment cut and release of segments."""
    total = calls_of_a_life()
    assert total > 150, "the life is too short to mean anything"
    for number in range(total):
        disk, acknowledged = MemoryFileSystem(), list[int]()
        stop_at(disk, number)
        with pytest.raises(PowerLost):
            live(disk, acknowledged)
        disk.before_call = None
        for left in remains(disk):
            check(left, acknowledged)


def test_the_crash_test_notices_a_mark_before_its_checkpoint_is_durable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same test fails if a checkpoint gets its name without a sync: it is able to fail."""
    monkeypatch.setattr(CheckpointFiles, "give_name", _give_name_without_sync)
    failures = 0
    for number in range(calls_of_a_life()):
        disk, acknowledged = MemoryFileSystem(), list[int]()
        stop_at(disk, number)
        with pytest.raises(PowerLost):
            live(disk, acknowledged)
        disk.before_call = None
        try:
            check(disk.crash(KEEPS["none"]), acknowledged)
        except (AssertionError, CorruptCheckpoint):
            failures += 1
    assert failures > 0


def _give_name_without_sync(
    files: CheckpointFiles, partial_name: str, name: CheckpointName
) -> None:
    files.filesystem.rename(files.path(partial_name), files.path(str(name)))
