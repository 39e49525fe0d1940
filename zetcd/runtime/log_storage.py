"""Responsible for the log on disk: recovering, appending by batch, reading, releasing segments.

It does what `zetcd.wal` decides. Must never retry a failed write or sync: the first failure makes
the storage refuse everything (`DiskFailed`), because nobody knows what the disk holds.

Invariants
    - At most one batch is written and not yet synced.
    - What `append` has returned for is on the disk.
    - The segment being written has room for its trailer.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Final, NoReturn

from zetcd.errors import DataDirMismatch, DiskFailed, InvariantViolation, WalCorruption
from zetcd.messages.raft import HardState, LogEntry, SnapshotMetadata
from zetcd.messages.storage import StorageAppend, WalState
from zetcd.runtime.files import File, FileSystem
from zetcd.runtime.log_reader import LogReader, Segment
from zetcd.runtime.log_scan import (
    PREPARED_NAME,
    WINDOW_BYTES,
    BatchFound,
    LogScan,
    SegmentBegin,
    SegmentEnd,
)
from zetcd.scalars import Index, NodeID, Term
from zetcd.wal.batch import (
    BATCH_BYTES_MAX,
    TRAILER_BATCH_BYTES,
    BatchDraft,
    Cursor,
    batch_bytes,
    draft_batch,
    encode_batch,
    start_of,
)
from zetcd.wal.log_index import Location, LogIndex
from zetcd.wal.record import (
    CheckpointRecord,
    HardStateRecord,
    Record,
    TrailerRecord,
    append_records,
)
from zetcd.wal.recovery import Tail
from zetcd.wal.segment import SEGMENT_HEADER_BYTES, SegmentHeader

#: Bytes of a segment; as in etcd. Long enough that cutting one is rare, short enough to reserve.
SEGMENT_BYTES: Final = 64 * 1024 * 1024
#: Bytes of the newest entries that recovery hands to raft.
TAIL_BYTES: Final = 4 * 1024 * 1024
#: Lock of the log's directory.
LOCK_NAME: Final = "lock"


@dataclass(frozen=True, slots=True)
class LogOptions:
    """How a log is stored."""

    cluster_id: int
    member_id: NodeID
    segment_bytes: int = SEGMENT_BYTES
    tail_bytes: int = TAIL_BYTES
    #: Never sync: fast, and a crash of the machine may lose or damage the log.
    unsafe_no_fsync: bool = False
    #: Source of the segments' salts, 64 random bits each.
    salt: Callable[[], int] = lambda: secrets.randbits(64)


class LogStorage:
    """The log of one member on a `FileSystem`; made by `open_log`, used by one process."""

    def __init__(self, filesystem: FileSystem, directory: str, options: LogOptions) -> None:
        """Start without segments; `open_log` fills them in."""
        self._filesystem = filesystem
        self._directory = directory
        self._options = options
        self._index = LogIndex()
        #: By number, ascending; the last one is being written.
        self._segments: dict[int, Segment] = {}
        self._reader = LogReader(filesystem, directory, self._segments)
        self._file: File | None = None
        self._lock: File | None = None
        self._is_sync_due = False
        self._has_failed = False
        #: Bytes of batches since the newest checkpoint mark was first written.
        self.bytes_since_mark = 0
        #: Written since this process began.
        self.written_bytes = 0
        #: Bytes of the torn batch that recovery cut, 0 = the log ended cleanly.
        self.cut_bytes = 0

    # --- state ---------------------------------------------------------------------------------

    @property
    def is_pristine(self) -> bool:
        """Nothing was ever logged: this is the first start."""
        index = self._index
        is_empty = index.last_index == 0 and index.snapshot.index == 0
        return is_empty and index.hard_state == HardState()

    @property
    def last_index(self) -> Index:
        """Index of the last entry."""
        return self._index.last_index

    @property
    def first_index(self) -> Index:
        """Lowest index that can still be read, ``last_index + 1`` if none."""
        return self._index.first_index

    @property
    def start_index(self) -> Index:
        """First index that raft may count on, see `LogIndex.start`."""
        return self._index.start()[0]

    @property
    def snapshot(self) -> SnapshotMetadata:
        """The newest checkpoint mark; index 0 = none."""
        return self._index.snapshot

    def term_of(self, index: Index) -> Term | None:
        """Return the term of the entry at ``index``, None if the log does not know it."""
        return self._index.term_of(index)

    @property
    def hard_state(self) -> HardState:
        """The newest hard state."""
        return self._index.hard_state

    @property
    def segments_count(self) -> int:
        """Number of segment files."""
        return len(self._segments)

    @property
    def log_bytes(self) -> int:
        """Bytes of all batches on disk."""
        return sum(segment.end.offset for segment in self._segments.values())

    def state(self) -> WalState:
        """Return what raft needs to know of the log; reads the newest entries from disk."""
        index = self._index
        first_index, previous_term = index.start()
        return WalState(
            hard_state=index.hard_state,
            snapshot=index.snapshot,
            last_index=index.last_index,
            term_runs=index.term_runs(),
            tail=self._tail(),
            first_index=first_index,
            previous_term=previous_term,
        )

    def _tail(self) -> tuple[LogEntry, ...]:
        """Return the newest entries whose data fit into the configured tail, at least one."""
        index, bytes_max = self._index, self._options.tail_bytes
        low, _ = index.start()
        if low > index.last_index:
            return ()
        ends = {number: segment.end.offset for number, segment in self._segments.items()}
        low = max(low, index.tail_index(bytes_max, ends))
        entries = self.read(low, index.last_index + 1, bytes_max=BATCH_BYTES_MAX)
        size, start = 0, len(entries)
        for entry in reversed(entries):
            size += len(entry.data)
            if size > bytes_max and start < len(entries):
                break
            start -= 1
        return entries[start:]

    # --- append --------------------------------------------------------------------------------

    def append(self, appends: Sequence[StorageAppend]) -> bool:
        """Write and sync ``appends`` as one batch; `write` and `sync` in one."""
        if not self.write(appends):
            return False
        self.sync()
        return True

    def write(self, appends: Sequence[StorageAppend]) -> bool:
        """Write ``appends`` as one batch with one pwrite.

        Returns:
            True if `sync` must follow before anything that depends on it is said; False if there
            was nothing to write.

        Raises:
            DiskFailed: a write failed, now or earlier.
        """
        self._refuse_after_failure()
        assert not self._is_sync_due, "the batch before this one is not synced"
        newest, is_needed = self._index.hard_state, False
        for append in appends:
            is_needed = is_needed or bool(append.entries) or append.snapshot is not None
            if append.hard_state is not None:
                newest = append.hard_state
        is_changed = newest != self._index.hard_state
        if not is_needed and not is_changed:
            return False
        self._write(append_records(appends, newest if is_changed else None))
        return True

    def sync(self) -> None:
        """Make the batch written last durable.

        Raises:
            DiskFailed: fdatasync failed; what is on disk is unknown.
        """
        self._refuse_after_failure()
        assert self._is_sync_due, "nothing was written"
        self._sync(self._current_file())
        self._is_sync_due = False

    def _write(self, records: Sequence[Record]) -> None:
        draft = draft_batch(records)
        if draft.length > BATCH_BYTES_MAX:
            raise InvariantViolation(f"a batch of {draft.length} bytes, at most {BATCH_BYTES_MAX}")
        segment = self._segments[max(self._segments)]
        room = segment.header.segment_bytes - TRAILER_BATCH_BYTES - segment.end.offset
        if draft.length > room:
            try:
                segment = self._cut(segment, draft.length)
            except OSError as error:
                self._fail(error)
        self._write_batch(segment, draft)
        self._is_sync_due = True

    def _write_batch(self, segment: Segment, draft: BatchDraft) -> None:
        """Write one batch at the end of the log and replay it in memory."""
        # Replayed first: what recovery would refuse must never reach the disk.
        marked_index = self._index.snapshot.index
        try:
            self._index.replay(draft.records, Location(segment.header.number, segment.end.offset))
        except WalCorruption as error:
            raise InvariantViolation(f"refused to write: {error.detail}") from None
        self._count_bytes(marked_index, draft.length)
        batch = encode_batch(draft, segment.end, last_index=self._index.last_index)
        try:
            self._current_file().pwrite(batch_bytes(batch, segment.seed), segment.end.offset)
        except OSError as error:
            self._fail(error)
        segment.end = batch.end
        self.written_bytes += draft.length

    def _count_bytes(self, marked_index: Index, batch_bytes: int) -> None:
        """Count a batch that was replayed when the newest mark was at ``marked_index``."""
        if self._index.snapshot.index != marked_index:
            self.bytes_since_mark = 0
        self.bytes_since_mark += batch_bytes

    # --- segments ------------------------------------------------------------------------------

    def _cut(self, segment: Segment, batch_bytes_next: int) -> Segment:
        """End ``segment`` with a trailer and begin the next one, with room for the next batch."""
        number = segment.header.number + 1
        trailer = TrailerRecord(number, self._index.last_index + 1)
        self._write_batch(segment, draft_batch([trailer]))
        # The trailer is durable before the next segment has its name: a segment without a trailer
        # is the last one, or the log is corrupt.
        self._sync(self._current_file())
        self._current_file().close()
        self._file = None
        return self._begin(number, segment.end, batch_bytes_next)

    def _begin(self, number: int, cursor: Cursor, batch_bytes_next: int = 0) -> Segment:
        """Make segment ``number``: header, and a batch that repeats hard state and mark."""
        index = self._index
        opening = draft_batch(self._opening_records())
        least = SEGMENT_HEADER_BYTES + opening.length + batch_bytes_next + TRAILER_BATCH_BYTES
        header = SegmentHeader(
            cluster_id=self._options.cluster_id,
            member_id=self._options.member_id,
            number=number,
            # A batch that no usual segment could hold gets a segment of its own size.
            segment_bytes=max(self._options.segment_bytes, least),
            first_index=index.last_index + 1,
            previous_term=index.last_term,
            first_sequence=cursor.sequence,
            salt=self._options.salt(),
            chain=cursor.chain,
        )
        prepared = f"{self._directory}/{PREPARED_NAME}"
        self._file = self._filesystem.open(prepared, is_new=True)
        self._file.preallocate(header.segment_bytes)
        self._file.pwrite(header.encode(), 0)
        segment = Segment(header, header.seed, start_of(header))
        self._write_batch(segment, opening)
        self._sync(self._file)
        self._filesystem.rename(prepared, f"{self._directory}/{header.name}")
        self._sync_directory()
        self._segments[number] = segment
        return segment

    def _opening_records(self) -> list[Record]:
        records: list[Record] = []
        if self._index.snapshot.index:
            records.append(CheckpointRecord(self._index.snapshot))
        records.append(HardStateRecord(self._index.hard_state))
        return records

    def release(self, index: Index, *, segments_max: int | None = None) -> int:
        """Delete the segments that hold nothing above ``index``, the oldest first; return how many.

        Each costs a turn of the disk, so ``segments_max`` bounds their number. ``index`` must be
        covered by a checkpoint mark: what is released cannot be replayed any more.
        """
        assert index <= self._index.snapshot.index, "only a checkpoint makes entries dispensable"
        self._refuse_after_failure()
        dispensable = self._dispensable(index)[:segments_max]
        for number in dispensable:
            self._reader.close()
            try:
                self._filesystem.unlink(f"{self._directory}/{self._segments[number].header.name}")
                # One by one: names may reach the disk in any order, and a gap would be corruption.
                self._sync_directory()
            except OSError as error:
                self._fail(error)
            del self._segments[number]
            self._index.release(number + 1)
        return len(dispensable)

    def bytes_between(self, low: Index, high: Index) -> int:
        """Return the bytes of the segments that `release` would delete for ``high`` but not for ``low``."""
        held = self._dispensable(high)[len(self._dispensable(low)) :]
        return sum(self._segments[number].end.offset for number in held)

    def _dispensable(self, index: Index) -> list[int]:
        """Return the oldest segments that hold nothing above ``index``, but for the one being written.

        What is behind a segment that must stay stays too: overwritten entries may have lower indexes
        there, but a gap in the log would be corruption.
        """
        segments = self._segments
        pairs = takewhile(
            lambda pair: segments[pair[1]].header.first_index - 1 <= index,
            pairwise(sorted(segments)),
        )
        return [number for number, _ in pairs]

    # --- read ----------------------------------------------------------------------------------

    def read(self, low: Index, high: Index, bytes_max: int) -> tuple[LogEntry, ...]:
        """Return entries ``[low, high)``, fewer if they exceed ``bytes_max``, but at least one.

        Empty if ``low`` is not in the log. Reads about ``bytes_max`` and 64 KiB and one batch at
        most.

        Raises:
            WalCorruption: what is read fails its checksum.
        """
        high = min(high, self._index.last_index + 1)
        if not self._index.first_index <= low < high:
            return ()
        try:
            return self._reader.read(self._index, low, high, bytes_max)
        except OSError as error:
            self._fail(error)

    # --- recovery ------------------------------------------------------------------------------

    def recover(self) -> None:
        """Take the lock, read the whole log, cut a torn last batch, and be ready to append.

        Raises:
            WalCorruption: something that may have been acknowledged is damaged or missing.
            DataDirMismatch: the log is another member's, or another process uses it.
            OSError: the disk failed.
        """
        try:
            self._filesystem.make_directory(self._directory)
        except PermissionError as error:
            raise DataDirMismatch(str(error)) from None
        try:
            self._lock = self._filesystem.lock(f"{self._directory}/{LOCK_NAME}")
        except BlockingIOError:
            raise DataDirMismatch(f"{self._directory} is in use by another process") from None
        if PREPARED_NAME in self._filesystem.list_names(self._directory):
            self._filesystem.unlink(f"{self._directory}/{PREPARED_NAME}")
        is_durable = not self._options.unsafe_no_fsync
        scan = LogScan(self._filesystem, self._directory, is_durable)
        end: SegmentEnd | None = None
        for event in scan.events():
            if type(event) is SegmentEnd:
                end = event
                self._segments[event.header.number].end = event.cursor
            elif type(event) is BatchFound:
                self._replay(event, scan)
            elif type(event) is SegmentBegin:
                self._adopt(event.header)
        if end is None:
            self._begin(0, Cursor(0, 1, 0))
            return
        try:
            self._index.check_recovered()
        except WalCorruption as error:
            raise scan.error(error.detail) from None
        self._continue(end)

    def _adopt(self, header: SegmentHeader) -> None:
        """Take over a segment that recovery has found."""
        options = self._options
        if (header.cluster_id, header.member_id) != (options.cluster_id, options.member_id):
            raise DataDirMismatch(
                f"{self._directory} belongs to member {header.member_id:x} of cluster "
                f"{header.cluster_id:x}, but this is member {options.member_id:x} of cluster "
                f"{options.cluster_id:x}; mend: correct name, initial-cluster or "
                f"initial-cluster-token, or give this member another data-dir"
            )
        if not self._segments:
            self._index = LogIndex(
                first_index=header.first_index, previous_term=header.previous_term
            )
        self._segments[header.number] = Segment(header, header.seed, start_of(header))

    def _replay(self, found: BatchFound, scan: LogScan) -> None:
        header = found.batch.header
        marked_index = self._index.snapshot.index
        location = Location(max(self._segments), header.offset)
        try:
            self._index.replay(found.records, location, ends_at=header.last_index)
        except WalCorruption as error:
            raise scan.error(error.detail) from None
        self._count_bytes(marked_index, header.length)

    def _continue(self, end: SegmentEnd) -> None:
        """Open the last segment for writing; cut what is torn, finish an interrupted cut."""
        name = end.header.name
        if end.trailer is not None:
            self._begin(end.trailer.next_number, end.cursor)
            return
        self._file = self._filesystem.open(f"{self._directory}/{name}")
        if self._file.size() < end.header.segment_bytes:
            self._file.preallocate(end.header.segment_bytes)
        if end.verdict.tail is Tail.TORN:
            self.cut_bytes = end.verdict.dirty_bytes
            self._zero(end.cursor.offset, end.verdict.dirty_bytes)
        self._sync(self._file)
        self._sync_directory()

    def _zero(self, offset: int, size: int) -> None:
        end = offset + size
        while offset < end:
            chunk = min(WINDOW_BYTES, end - offset)
            self._current_file().pwrite(bytes(chunk), offset)
            offset += chunk

    # --- small parts ---------------------------------------------------------------------------

    def _current_file(self) -> File:
        assert self._file is not None, "the log is not open"
        return self._file

    def _sync(self, file: File) -> None:
        if self._options.unsafe_no_fsync:
            return
        try:
            file.fdatasync()
        except OSError as error:
            self._fail(error)

    def _sync_directory(self) -> None:
        if not self._options.unsafe_no_fsync:
            self._filesystem.sync_directory(self._directory)

    def _refuse_after_failure(self) -> None:
        if self._has_failed:
            raise DiskFailed(f"the log in {self._directory} failed before; it is not written again")

    def _fail(self, error: OSError) -> NoReturn:
        self._has_failed = True
        raise DiskFailed(f"the log in {self._directory}: {error}") from error

    def close(self) -> None:
        """Close all files; the lock goes last."""
        self._reader.close()
        for file in (self._file, self._lock):
            if file is not None:
                file.close()
        self._file = self._lock = None


def open_log(filesystem: FileSystem, directory: str, options: LogOptions) -> LogStorage:
    """Recover the log in ``directory``, or begin one if there is none.

    Raises:
        WalCorruption: something that may have been acknowledged is damaged or missing.
        DataDirMismatch: the log is another member's, or another process uses it.
        OSError: the disk failed.
    """
    storage = LogStorage(filesystem, directory, options)
    try:
        storage.recover()
    except BaseException:
        storage.close()
        raise
    return storage
