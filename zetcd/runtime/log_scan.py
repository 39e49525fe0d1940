"""Responsible for reading a log directory from its first byte to its last, verifying all of it.

Must never write. Recovery and `zetcd wal dump` are the two readers; both see the same events.
Memory is bounded by one window, or by one batch if that is longer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from zetcd.errors import WalCorruption
from zetcd.runtime.files import File, FileSystem
from zetcd.scalars import NodeID
from zetcd.wal.batch import Batch, Cursor, Stop, next_batch, start_of
from zetcd.wal.record import Record, TrailerRecord, decode_records
from zetcd.wal.recovery import Tail, TailVerdict, judge_tail
from zetcd.wal.segment import (
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    decode_segment_header,
    parse_segment_name,
)

#: Bytes that a scan reads at once.
WINDOW_BYTES: Final = 1024 * 1024
#: Name under which a segment is prepared; it is no part of the log.
PREPARED_NAME: Final = "next.tmp"


class SegmentBegin(NamedTuple):
    """A segment follows the one before it as it must."""

    header: SegmentHeader
    is_last: bool


class BatchFound(NamedTuple):
    """A valid batch."""

    batch: Batch
    records: tuple[Record, ...]


class SegmentEnd(NamedTuple):
    """The last valid batch of a segment has been seen."""

    header: SegmentHeader
    cursor: Cursor
    #: The segment is full; a next one exists or was about to be made.
    trailer: TrailerRecord | None
    #: Never corrupt, that is raised.
    verdict: TailVerdict


ScanEvent: TypeAlias = SegmentBegin | BatchFound | SegmentEnd


def segment_names(filesystem: FileSystem, directory: str) -> list[str]:
    """Return the names of the segments in ``directory`` in log order."""
    return [
        name for name in filesystem.list_names(directory) if parse_segment_name(name) is not None
    ]


def corruption(where: str, reason: str, member_id: NodeID) -> WalCorruption:
    """Return the error that says where the log is damaged and how the member gets back."""
    return WalCorruption(
        f"{where}: {reason}. Nothing was changed. This member must not go on with this log. "
        f"To re-join: remove member {member_id:x} from the cluster, move its data directory away, "
        f"and add the member again with an empty data directory"
    )


def read_padded(file: File, size: int, offset: int) -> bytes:
    """Return ``size`` bytes; what is missing because the file was cut short reads as zeros."""
    return file.pread(size, offset).ljust(size, b"\0")


@dataclass(slots=True)
class _Position:
    """How far a scan is, for error messages."""

    name: str = ""
    offset: int = 0
    member_id: NodeID = 0
    #: The next index the log would continue with.
    next_index: int = 1

    def error(self, reason: str) -> WalCorruption:
        where = f"segment {self.name}, offset {self.offset}, index {self.next_index}"
        return corruption(where, reason, self.member_id)


@dataclass(slots=True)
class LogScan:
    """One pass over a log directory.

    Attributes:
        filesystem: where the log is.
        directory: the log's directory.
        is_durable: before reading, make the last segment durable and read it from the disk; what
            the page cache shows after a killed process or a failed fdatasync may not be there.
    """

    filesystem: FileSystem
    directory: str
    is_durable: bool = False
    _position: _Position = field(default_factory=_Position)

    def events(self) -> Iterator[ScanEvent]:
        """Yield what the log holds, in order.

        Raises:
            WalCorruption: something that may have been acknowledged is damaged or missing.
            OSError: a read failed.
        """
        names = segment_names(self.filesystem, self.directory)
        end: SegmentEnd | None = None
        for number, name in enumerate(names):
            self._position.name, self._position.offset = name, 0
            is_last = number == len(names) - 1
            file = self.filesystem.open(
                f"{self.directory}/{name}", is_read_only=not (is_last and self.is_durable)
            )
            try:
                if is_last and self.is_durable:
                    file.fdatasync()
                    file.drop_cache()
                header = self._header(file, end)
                yield SegmentBegin(header, is_last)
                for event in self._segment(file, header, is_last=is_last):
                    if type(event) is SegmentEnd:
                        end = event
                    yield event
            finally:
                file.close()

    def error(self, reason: str) -> WalCorruption:
        """Return an error about the last place that the scan has reached."""
        return self._position.error(reason)

    def _header(self, file: File, previous: SegmentEnd | None) -> SegmentHeader:
        """Read a segment's header and check that it follows ``previous``."""
        sector = read_padded(file, SEGMENT_HEADER_BYTES, 0)
        try:
            header = decode_segment_header(sector, self._position.name)
        except WalCorruption as error:
            raise self.error(error.detail) from None
        self._position.member_id = header.member_id
        self._position.next_index = header.first_index
        if previous is None:
            return header
        trailer = previous.trailer
        assert trailer is not None, "a segment without a trailer is the last one"
        if (header.number, header.first_index) != (trailer.next_number, trailer.next_index):
            raise self.error(f"segment {trailer.next_number} is missing")
        if (header.first_sequence, header.chain) != previous.cursor[1:]:
            raise self.error("the segment does not continue the one before it")
        if (header.cluster_id, header.member_id) != previous.header[:2]:
            raise self.error("the segment is of another member than the one before it")
        return header

    def _segment(
        self, file: File, header: SegmentHeader, *, is_last: bool
    ) -> Iterator[BatchFound | SegmentEnd]:
        seed = header.seed
        cursor = start_of(header)
        window, base = b"", cursor.offset
        position = self._position
        while True:
            position.offset = cursor.offset
            scan = next_batch(window, base, cursor, header, seed)
            if scan.stop is Stop.MORE:
                size = max(WINDOW_BYTES, scan.needed_bytes)
                size = min(size, header.segment_bytes - cursor.offset)
                window, base = read_padded(file, size, cursor.offset), cursor.offset
                continue
            if scan.batch is None:
                break
            records = self._records(scan.batch)
            yield BatchFound(scan.batch, records)
            cursor = scan.batch.end
            position.next_index = scan.batch.header.last_index + 1
            if type(records[-1]) is TrailerRecord:
                yield SegmentEnd(header, cursor, records[-1], TailVerdict(Tail.CLEAN))
                return
        verdict = self._judge(file, header, cursor)
        if not is_last:
            raise self.error(scan.reason or "the segment ends here, but later segments exist")
        if cursor == start_of(header):
            # It is durable before the segment gets its name.
            raise self.error("the opening batch of the segment is missing")
        yield SegmentEnd(header, cursor, None, verdict)

    def _records(self, batch: Batch) -> tuple[Record, ...]:
        try:
            return tuple(decode_records(batch.body, batch.header.record_count))
        except WalCorruption as error:
            raise self.error(error.detail) from None

    def _judge(self, file: File, header: SegmentHeader, cursor: Cursor) -> TailVerdict:
        """Decide about what follows the last valid batch of a segment."""
        if self._is_zero_from(file, cursor.offset, header.segment_bytes):
            return TailVerdict(Tail.CLEAN)
        rest = file.pread(header.segment_bytes - cursor.offset, cursor.offset)
        verdict = judge_tail(rest, cursor, header, header.seed)
        if verdict.tail is Tail.CORRUPT:
            raise self.error(verdict.reason)
        return verdict

    def _is_zero_from(self, file: File, offset: int, end: int) -> bool:
        zeros = bytes(WINDOW_BYTES)
        while offset < end:
            chunk = file.pread(min(WINDOW_BYTES, end - offset), offset)
            if not chunk:
                return True
            if chunk != zeros[: len(chunk)]:
                return False
            offset += len(chunk)
        return True
