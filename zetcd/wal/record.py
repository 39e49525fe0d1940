"""Responsible for records: what a batch is made of. Must never know where in a file a record is.

A record is a head of 8 bytes (type, three zero bytes, body length), the body, and zero bytes up to
a multiple of 8. Checksums belong to the batch, which is valid as a whole or not at all.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

from zetcd.errors import InvariantViolation, WalCorruption
from zetcd.messages.codec import DECODE_ERRORS, decoder_of, encode
from zetcd.messages.raft import ConfState, HardState, LogEntry, SnapshotMetadata
from zetcd.messages.storage import StorageAppend
from zetcd.scalars import Index, Term

#: Records start at multiples of this.
RECORD_ALIGNMENT_BYTES: Final = 8

_HEAD: Final = struct.Struct(">B3xI")
_ENTRIES: Final = struct.Struct(">QQII")
_HARD_STATE: Final = struct.Struct(">QQQ")
_CHECKPOINT: Final = struct.Struct(">QQ")
_TRAILER: Final = struct.Struct(">QQ")
_PADDING: Final = tuple(bytes(count) for count in range(RECORD_ALIGNMENT_BYTES))

_decode_entries: Final = decoder_of(tuple[LogEntry, ...]).decode
_decode_conf_state: Final = decoder_of(ConfState).decode


class RecordType(IntEnum):
    """First byte of a record. 0 is never used: zeros are never a record."""

    ENTRIES = 1
    HARD_STATE = 2
    CHECKPOINT = 3
    TRAILER = 4


class EntriesRecord(NamedTuple):
    """Consecutive log entries of one term; they replace everything at ``first_index`` and above."""

    first_index: Index
    term: Term
    #: Number of entries, at least 1.
    entries_count: int
    #: MessagePack of ``tuple[LogEntry, ...]``.
    payload: bytes

    def entries(self) -> tuple[LogEntry, ...]:
        """Return the decoded entries.

        Raises:
            WalCorruption: the payload is not what the record's head says.
        """
        try:
            entries = _decode_entries(self.payload)
        except DECODE_ERRORS as error:
            raise WalCorruption(
                f"entries from index {self.first_index} do not decode: {error}"
            ) from None
        if len(entries) != self.entries_count or any(
            entry.index != self.first_index + position or entry.term != self.term
            for position, entry in enumerate(entries)
        ):
            raise WalCorruption(
                f"entries from index {self.first_index} are not what their record says"
            )
        return entries


class HardStateRecord(NamedTuple):
    """The newest of these in the log is raft's hard state."""

    hard_state: HardState


class CheckpointRecord(NamedTuple):
    """A snapshot of the state machine at this point of the log is durable elsewhere."""

    snapshot: SnapshotMetadata


class TrailerRecord(NamedTuple):
    """Last record of a full segment."""

    #: Number of the segment that follows.
    next_number: int
    #: Its `SegmentHeader.first_index`.
    next_index: Index


Record: TypeAlias = EntriesRecord | HardStateRecord | CheckpointRecord | TrailerRecord


def _framed(kind: RecordType, body: bytes) -> bytes:
    padding = _PADDING[-len(body) % RECORD_ALIGNMENT_BYTES]
    return b"".join((_HEAD.pack(kind, len(body)), body, padding))


def encode_record(record: Record) -> bytes:
    """Return the bytes of one record, padded to `RECORD_ALIGNMENT_BYTES`."""
    if type(record) is EntriesRecord:
        first_index, term, count, payload = record
        return _framed(RecordType.ENTRIES, _ENTRIES.pack(first_index, term, count, 0) + payload)
    if type(record) is HardStateRecord:
        state = record.hard_state
        body = _HARD_STATE.pack(state.term, state.vote, state.commit)
        return _framed(RecordType.HARD_STATE, body)
    if type(record) is CheckpointRecord:
        snapshot = record.snapshot
        body = _CHECKPOINT.pack(snapshot.index, snapshot.term) + encode(snapshot.conf_state)
        return _framed(RecordType.CHECKPOINT, body)
    if type(record) is TrailerRecord:
        return _framed(RecordType.TRAILER, _TRAILER.pack(record.next_number, record.next_index))
    raise InvariantViolation(f"{type(record).__name__} is not a record")


def decode_records(body: bytes, count: int) -> Iterator[Record]:
    """Yield the ``count`` records at the start of ``body``, the verified body of a batch.

    Raises:
        WalCorruption: a record is malformed although the checksum of its batch was right.
    """
    position = 0
    for _ in range(count):
        if position + _HEAD.size > len(body):
            raise WalCorruption(f"record at +{position} lies outside its batch")
        kind, length = _HEAD.unpack_from(body, position)
        start = position + _HEAD.size
        if start + length > len(body):
            raise WalCorruption(f"record at +{position} has {length} bytes, its batch has not")
        try:
            yield _decode_record(kind, body[start : start + length])
        except (struct.error, *DECODE_ERRORS) as error:
            raise WalCorruption(f"record at +{position} does not decode: {error}") from None
        position = start + length + -length % RECORD_ALIGNMENT_BYTES


def _decode_record(kind: int, body: bytes) -> Record:
    if kind == RecordType.ENTRIES:
        first_index, term, count, _ = _ENTRIES.unpack_from(body)
        return EntriesRecord(first_index, term, count, body[_ENTRIES.size :])
    if kind == RecordType.HARD_STATE:
        return HardStateRecord(HardState(*_HARD_STATE.unpack(body)))
    if kind == RecordType.CHECKPOINT:
        index, term = _CHECKPOINT.unpack_from(body)
        conf_state = _decode_conf_state(body[_CHECKPOINT.size :])
        return CheckpointRecord(SnapshotMetadata(index, term, conf_state))
    if kind == RecordType.TRAILER:
        return TrailerRecord(*_TRAILER.unpack(body))
    raise WalCorruption(
        f"record type {kind} is unknown; a newer version of zetcd may have written it"
    )


def entries_records(entries: Sequence[LogEntry]) -> Iterator[EntriesRecord]:
    """Yield one record for each run of ``entries`` with the same term."""
    if entries[0].term == entries[-1].term:
        # Terms never decrease along the log, so this is one run; almost always the case.
        yield EntriesRecord(entries[0].index, entries[0].term, len(entries), encode(entries))
        return
    starts = [0, *(at for at in range(1, len(entries)) if entries[at].term != entries[at - 1].term)]
    for start, end in pairwise([*starts, len(entries)]):
        run = entries[start:end]
        yield EntriesRecord(run[0].index, run[0].term, len(run), encode(run))


def append_records(appends: Sequence[StorageAppend], hard_state: HardState | None) -> list[Record]:
    """Return the records of ``appends`` in replay order, then ``hard_state`` if given."""
    records: list[Record] = []
    for append in appends:
        if append.snapshot is not None:
            records.append(CheckpointRecord(append.snapshot))
        if append.entries:
            records.extend(entries_records(append.entries))
    if hard_state is not None:
        records.append(HardStateRecord(hard_state))
    return records
