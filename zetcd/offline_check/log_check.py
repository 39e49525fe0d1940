"""Responsible for verifying a log and reading its entries without changing a byte of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from zetcd.errors import WalCorruption
from zetcd.messages.raft import LogEntry
from zetcd.offline_check.report import Part, Verdict
from zetcd.runtime.files import FileSystem
from zetcd.runtime.log_reader import LogReader, Segment
from zetcd.runtime.log_scan import BatchFound, LogScan, SegmentBegin, SegmentEnd, segment_names
from zetcd.scalars import Index, NodeID
from zetcd.wal.batch import start_of
from zetcd.wal.log_index import Location, LogIndex
from zetcd.wal.recovery import Tail, TailVerdict
from zetcd.wal.segment import SegmentHeader

#: Bytes of entries read at once.
READ_BYTES: Final = 1024 * 1024

#: Called with what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]


def no_progress(what: str, done: int, total: int) -> None:
    """Show nothing."""
    del what, done, total


@dataclass(slots=True)
class LogContent:
    """A log that has been read from end to end and is whole."""

    index: LogIndex
    cluster_id: int
    member_id: NodeID
    _reader: LogReader
    segments_count: int = 0
    batches_count: int = 0
    entries_count: int = 0
    log_bytes: int = 0
    tail: TailVerdict = field(default_factory=lambda: TailVerdict(Tail.CLEAN))

    def entries(self, low: Index, high: Index) -> Iterator[tuple[LogEntry, ...]]:
        """Yield entries ``[low, high)``, all of which the log must hold, in bounded slices.

        Raises:
            WalCorruption: the disk has changed since the log was verified.
        """
        while low < high:
            entries = self._reader.read(self.index, low, high, READ_BYTES)
            assert entries, f"entry {low} is in the log"
            yield entries
            low = entries[-1].index + 1

    def close(self) -> None:
        """Close the file that is open."""
        self._reader.close()


class _Verification:
    """Replays the records of a scan as recovery does."""

    def __init__(self, filesystem: FileSystem, directory: str, progress: Progress) -> None:
        self._scan = LogScan(filesystem, directory)
        self._names_count = len(segment_names(filesystem, directory))
        self._progress = progress
        self._segments: dict[int, Segment] = {}
        self._reader = LogReader(filesystem, directory, self._segments)
        self._content: LogContent | None = None

    def run(self) -> LogContent | None:
        for event in self._scan.events():
            if isinstance(event, SegmentBegin):
                self._begin(event.header)
                continue
            assert self._content is not None, "a batch is in a segment"
            if isinstance(event, BatchFound):
                self._take(self._content, event)
            else:
                self._end(self._content, event)
        content = self._content
        if content is not None:
            try:
                content.index.check_recovered()
            except WalCorruption as error:
                raise self._scan.error(error.detail) from None
        return content

    def _begin(self, header: SegmentHeader) -> None:
        if self._content is None:
            index = LogIndex(first_index=header.first_index, previous_term=header.previous_term)
            self._content = LogContent(index, header.cluster_id, header.member_id, self._reader)
        self._segments[header.number] = Segment(header, header.seed, start_of(header))
        self._content.segments_count += 1
        self._progress("log segments", self._content.segments_count, self._names_count)

    def _take(self, content: LogContent, found: BatchFound) -> None:
        header = found.batch.header
        location = Location(max(self._segments), header.offset)
        try:
            content.entries_count += content.index.replay(
                found.records, location, ends_at=header.last_index
            )
        except WalCorruption as error:
            raise self._scan.error(error.detail) from None
        content.batches_count += 1

    def _end(self, content: LogContent, end: SegmentEnd) -> None:
        self._segments[end.header.number].end = end.cursor
        content.log_bytes += end.cursor.offset
        content.tail = end.verdict


def read_log(
    filesystem: FileSystem, directory: str, progress: Progress = no_progress
) -> LogContent | None:
    """Verify every segment, batch and record of a log; None: there are no segments.

    Raises:
        WalCorruption: the log is damaged; the text says where.
        OSError: it cannot be read.
    """
    return _Verification(filesystem, directory, progress).run()


def cluster_of(filesystem: FileSystem, directory: str) -> int | None:
    """Return the cluster that the first segment names; None: it is damaged itself, or missing."""
    try:
        for event in LogScan(filesystem, directory).events():
            if isinstance(event, SegmentBegin):
                return event.header.cluster_id
    except WalCorruption:
        return None
    return None


def log_part(content: LogContent) -> Part:
    """Describe a log that is whole."""
    index, tail = content.index, content.tail
    summary = f"entries {index.first_index} to {index.last_index}, each checksum and link verified"
    if tail.tail is Tail.TORN:
        summary += f"; the last batch is torn and will be cut at the next start: {tail.reason}"
    return Part(
        "log",
        Verdict.OK,
        summary,
        {
            "segments": content.segments_count,
            "batches": content.batches_count,
            "bytes": content.log_bytes,
            "first_index": index.first_index,
            "last_index": index.last_index,
            "term": index.hard_state.term,
            "commit": index.hard_state.commit,
            "checkpoint_mark": index.snapshot.index,
            "torn_bytes": tail.dirty_bytes,
        },
    )
