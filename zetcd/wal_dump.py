"""Responsible for ``zetcd wal dump``: shows and verifies a log without changing it.

Works on a stopped member's log, on a copy, and on the log of a running member (whose last batch may
look torn while it is being written). Never prints what clients stored, only sizes and counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from zetcd.errors import ExitCode, WalCorruption

if TYPE_CHECKING:
    # At run time the commands import lazily: `zetcd --help` must not pay for a log reader.
    from zetcd.messages.raft import LogEntry
    from zetcd.runtime.log_scan import BatchFound, LogScan, SegmentEnd
    from zetcd.wal.log_index import LogIndex
    from zetcd.wal.record import Record
    from zetcd.wal.segment import SegmentHeader

_COLUMNS: Final = "{offset:>10} {batch:>8}  {kind:<10} {what}"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing in the log."""

    kind: str
    #: Byte offset in the segment of the batch that holds it.
    offset: int = 0
    #: Sequence number of that batch; 0 = not in a batch.
    batch: int = 0
    #: The rest, by name; numbers as numbers.
    facts: dict[str, int | str] = field(default_factory=dict)

    def text(self) -> str:
        """Return a line for people."""
        what = "  ".join(f"{name}={value}" for name, value in self.facts.items())
        if not self.batch:
            return f"{self.kind}: {what}"
        return _COLUMNS.format(offset=self.offset, batch=self.batch, kind=self.kind, what=what)

    def json(self) -> str:
        """Return one JSON object."""
        import msgspec  # noqa: PLC0415 - see the top

        place = {"offset": self.offset, "batch": self.batch} if self.batch else {}
        return msgspec.json.encode({"kind": self.kind, **place, **self.facts}).decode()


@click.group(name="wal")
def wal_group() -> None:
    """Look at the write-ahead log."""


@wal_group.command(name="dump")
@click.argument("directory", type=click.Path(exists=True, file_okay=False))
@click.option("--json", "is_json", is_flag=True, help="One JSON object per line.")
@click.option("--entries", "with_entries", is_flag=True, help="One line for every log entry, too.")
@click.pass_context
def dump_command(
    context: click.Context, directory: str, *, is_json: bool, with_entries: bool
) -> None:
    """Print and verify the log in DIRECTORY (a wal directory, or a data directory with one).

    Exit code 4 if the log is corrupt; a torn last batch is not corruption.
    """
    try:
        for row in dump_rows(log_directory(directory), with_entries=with_entries):
            click.echo(row.json() if is_json else row.text())
    except WalCorruption as error:
        click.echo(f"corrupt: {error.detail}", err=True)
        context.exit(ExitCode.CORRUPTION)
    except OSError as error:
        click.echo(f"cannot read the log: {error}", err=True)
        context.exit(ExitCode.FAILED)


def log_directory(directory: str) -> str:
    """Return the log's directory: ``directory`` itself, or ``wal`` below it."""
    below = Path(directory) / "wal"
    return str(below if below.is_dir() else Path(directory))


def dump_rows(directory: str, *, with_entries: bool) -> Iterator[Row]:
    """Yield a row for everything in the log, then a summary.

    Raises:
        WalCorruption: the log is damaged; what is before the damage has been yielded.
    """
    from zetcd.runtime.files import OSFileSystem  # noqa: PLC0415 - see the top
    from zetcd.runtime.log_scan import LogScan, SegmentBegin, SegmentEnd  # noqa: PLC0415

    scan = LogScan(OSFileSystem(), directory)
    replay = _Replay(scan)
    for event in scan.events():
        if isinstance(event, SegmentBegin):
            replay.begin(event.header)
            yield _segment_row(event.header)
        elif isinstance(event, SegmentEnd):
            replay.end = event
        else:
            replay.take(event)
            header = event.batch.header
            for record in event.records:
                yield from _record_rows(record, header.offset, header.sequence, with_entries)
    yield replay.summary()


class _Replay:
    """Replays the log as recovery does, for its checks and for the summary."""

    def __init__(self, scan: LogScan) -> None:
        self._scan = scan
        self._index: LogIndex | None = None
        self._segment = 0
        self._segments_count = self._batches_count = self._entries_count = 0
        self.end: SegmentEnd | None = None

    def begin(self, header: SegmentHeader) -> None:
        """Go on with a segment."""
        from zetcd.wal.log_index import LogIndex  # noqa: PLC0415 - see the top

        if self._index is None:
            self._index = LogIndex(
                first_index=header.first_index, previous_term=header.previous_term
            )
        self._segment = header.number
        self._segments_count += 1

    def take(self, found: BatchFound) -> None:
        """Replay a batch."""
        from zetcd.wal.log_index import Location  # noqa: PLC0415 - see the top

        assert self._index is not None, "a batch is in a segment"
        header = found.batch.header
        location = Location(self._segment, header.offset)
        try:
            self._entries_count += self._index.replay(
                found.records, location, ends_at=header.last_index
            )
        except WalCorruption as error:
            raise self._scan.error(error.detail) from None
        self._batches_count += 1

    def summary(self) -> Row:
        """Check the whole and return the last row."""
        index, end = self._index, self.end
        if index is None or end is None:
            return Row("summary", facts={"verified": "no segments here"})
        try:
            index.check_recovered()
        except WalCorruption as error:
            raise self._scan.error(error.detail) from None
        verdict = end.verdict
        verified = "ok"
        if verdict.dirty_bytes:
            verified = (
                f"ok, but the last batch is torn and would be cut: {verdict.reason} "
                f"({verdict.dirty_bytes} bytes from offset {end.cursor.offset})"
            )
        return Row(
            "summary",
            facts={
                "segments": self._segments_count,
                "batches": self._batches_count,
                "entries": self._entries_count,
                "first_index": index.first_index,
                "last_index": index.last_index,
                "term": index.hard_state.term,
                "vote": f"{index.hard_state.vote:x}",
                "commit": index.hard_state.commit,
                "verified": verified,
            },
        )


def _segment_row(header: SegmentHeader) -> Row:
    return Row(
        "segment",
        facts={
            "name": header.name,
            "cluster": f"{header.cluster_id:x}",
            "member": f"{header.member_id:x}",
            "bytes": header.segment_bytes,
            "first_index": header.first_index,
            "previous_term": header.previous_term,
            "first_batch": header.first_sequence,
            "chain": f"{header.chain:08x}",
        },
    )


def _record_rows(record: Record, offset: int, batch: int, with_entries: bool) -> Iterator[Row]:
    from zetcd.wal.record import CheckpointRecord, EntriesRecord, HardStateRecord  # noqa: PLC0415

    facts: dict[str, int | str]
    if isinstance(record, EntriesRecord):
        facts = {
            "index": record.first_index,
            "last_index": record.first_index + record.entries_count - 1,
            "term": record.term,
            "count": record.entries_count,
            "bytes": len(record.payload),
        }
        yield Row("entries", offset, batch, facts)
        if with_entries:
            for entry in record.entries():
                yield Row("entry", offset, batch, _entry_facts(entry))
    elif isinstance(record, HardStateRecord):
        state = record.hard_state
        facts = {"term": state.term, "vote": f"{state.vote:x}", "commit": state.commit}
        yield Row("hard-state", offset, batch, facts)
    elif isinstance(record, CheckpointRecord):
        mark = record.snapshot
        facts = {
            "index": mark.index,
            "term": mark.term,
            "voters": ",".join(f"{each:x}" for each in mark.conf_state.voters),
            "learners": ",".join(f"{each:x}" for each in mark.conf_state.learners),
        }
        yield Row("checkpoint", offset, batch, facts)
    else:
        facts = {"next_segment": record.next_number, "next_index": record.next_index}
        yield Row("trailer", offset, batch, facts)


def _entry_facts(entry: LogEntry) -> dict[str, int | str]:
    """Describe an entry without showing what it stores."""
    from zetcd.messages.codec import DECODE_ERRORS, decoder_of  # noqa: PLC0415 - see the top
    from zetcd.messages.node import RawProposalBatch  # noqa: PLC0415
    from zetcd.messages.raft import ConfChange, EntryType  # noqa: PLC0415

    facts: dict[str, int | str] = {
        "index": entry.index,
        "term": entry.term,
        "type": entry.type.name.lower(),
        "bytes": len(entry.data),
    }
    try:
        if entry.type is EntryType.CONF_CHANGE:
            change = decoder_of(ConfChange).decode(entry.data)
            facts["change"] = change.type.name.lower()
            facts["node"] = f"{change.node_id:x}"
        elif entry.data:
            facts["requests"] = len(decoder_of(RawProposalBatch).decode(entry.data).requests)
        else:
            facts["requests"] = 0
    except DECODE_ERRORS:
        facts["requests"] = "unknown"
    return facts
