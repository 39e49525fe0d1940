"""Responsible for reading a range of entries from the log's segments, a window at a time.

Must never write, and never reads more than asked for, the distance between two positions of the
`LogIndex`, and one batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from zetcd.errors import InvariantViolation, WalCorruption
from zetcd.messages.raft import LogEntry
from zetcd.runtime.files import File, FileSystem
from zetcd.runtime.log_scan import read_padded
from zetcd.scalars import Index
from zetcd.wal.batch import (
    BATCH_ALIGNMENT_BYTES,
    Batch,
    BatchHeader,
    Cursor,
    decode_batch_header,
    next_batch,
)
from zetcd.wal.log_index import Location, LogIndex
from zetcd.wal.record import EntriesRecord, decode_records
from zetcd.wal.segment import SEGMENT_HEADER_BYTES, SegmentHeader

#: Bytes read from the disk at once while looking for entries.
READ_BYTES: Final = 128 * 1024


@dataclass(slots=True)
class Segment:
    """A segment of the log, as long as it is not released."""

    header: SegmentHeader
    #: `SegmentHeader.seed`, computed once.
    seed: int
    #: Where its batches end.
    end: Cursor


class LogReader:
    """Reads entries; keeps at most one segment file open."""

    __slots__ = ("_directory", "_file", "_filesystem", "_number", "_segments")

    def __init__(
        self, filesystem: FileSystem, directory: str, segments: Mapping[int, Segment]
    ) -> None:
        """Read from ``segments``, by number, which the owner keeps up to date."""
        self._filesystem = filesystem
        self._directory = directory
        self._segments = segments
        self._file: File | None = None
        #: Segment that ``_file`` belongs to.
        self._number = -1

    def read(
        self, index: LogIndex, low: Index, high: Index, bytes_max: int
    ) -> tuple[LogEntry, ...]:
        """Return entries ``[low, high)``, which must exist; fewer if they exceed ``bytes_max``."""
        collected: list[LogEntry] = []
        size = 0
        walk = _Walk(self, index.locate(low))
        while low < high:
            # Jump over batches whose entries were overwritten later on.
            walk.skip_to(index.locate(low))
            for entry in walk.next_entries(low):
                # The term tells an entry from those that were overwritten: (index, term) is unique.
                if entry.index != low or entry.term != index.term_of(low) or low == high:
                    continue
                size += len(entry.data)
                if collected and size > bytes_max:
                    return tuple(collected)
                collected.append(entry)
                low += 1
        return tuple(collected)

    def segment(self, number: int) -> Segment:
        """Return a segment by number."""
        segment = self._segments.get(number)
        if segment is None:
            raise InvariantViolation(f"an entry of the log is in no segment up to {number}")
        return segment

    def pread(self, number: int, size: int, offset: int) -> bytes:
        """Return bytes of a segment."""
        if self._file is None or self._number != number:
            self.close()
            name = self._segments[number].header.name
            self._file = self._filesystem.open(f"{self._directory}/{name}", is_read_only=True)
            self._number = number
        return read_padded(self._file, size, offset)

    def close(self) -> None:
        """Close the file that is open; the next read opens what it needs."""
        if self._file is not None:
            self._file.close()
            self._file = None


class _Walk:
    """Goes forward from batch to batch."""

    __slots__ = ("_base", "_location", "_reader", "_window")

    def __init__(self, reader: LogReader, location: Location) -> None:
        self._reader = reader
        self._location = location
        #: Bytes of the location's segment from ``_base`` on.
        self._window = b""
        self._base = 0

    def skip_to(self, location: Location) -> None:
        """Go on at ``location`` if that is further on."""
        if location > self._location:
            self._move(location)

    def _move(self, location: Location) -> None:
        if location.segment != self._location.segment:
            self._window = b""
        self._location = location

    def next_entries(self, index: Index) -> tuple[LogEntry, ...]:
        """Return what the next batch holds from ``index`` on, if anything, and go past it."""
        number, offset = self._location
        segment = self._reader.segment(number)
        if offset >= segment.end.offset:
            self._move(Location(number + 1, SEGMENT_HEADER_BYTES))
            return ()
        self._fill(BATCH_ALIGNMENT_BYTES, segment)
        header = decode_batch_header(self._window, offset - self._base, segment.seed)
        if header is None:
            raise self._error(segment, "the batch header fails its checksum")
        entries: tuple[LogEntry, ...] = ()
        if header.first_index and header.first_index <= index <= header.last_index:
            entries = self._entries(self._batch(header, segment), index)
        self._location = Location(number, offset + header.length)
        return entries

    def _batch(self, header: BatchHeader, segment: Segment) -> Batch:
        self._fill(header.length, segment)
        cursor = Cursor(self._location.offset, header.sequence, header.previous_chain)
        scan = next_batch(self._window, self._base, cursor, segment.header, segment.seed)
        if scan.batch is None:
            raise self._error(segment, scan.reason)
        return scan.batch

    def _entries(self, batch: Batch, index: Index) -> tuple[LogEntry, ...]:
        return tuple(
            entry
            for record in decode_records(batch.body, batch.header.record_count)
            if type(record) is EntriesRecord and record.first_index + record.entries_count > index
            for entry in record.entries()
        )

    def _fill(self, needed_bytes: int, segment: Segment) -> None:
        """Make the window hold ``needed_bytes`` from the location on."""
        number, offset = self._location
        start = offset - self._base
        if start >= 0 and start + needed_bytes <= len(self._window):
            return
        size = min(max(READ_BYTES, needed_bytes), segment.end.offset - offset)
        self._window = self._reader.pread(number, size, offset)
        self._base = offset

    def _error(self, segment: Segment, reason: str) -> WalCorruption:
        where = f"segment {segment.header.name}, offset {self._location.offset}"
        return WalCorruption(f"{where}, while reading: {reason}")
