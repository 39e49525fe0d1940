"""Responsible for framing batches and for the scan from one batch to the next.

A batch is what one pwrite writes and one fdatasync makes durable, and it counts as a whole or not
at all. Invariants of the bytes:
    - a batch starts at a multiple of 64, so its header never straddles a sector;
    - its first and its last byte are never zero, so a missing first or last sector always shows;
    - its header verifies without the rest of the log, its body verifies with the header alone, and
      both are tied to the log before them by the chain and the sequence number.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import google_crc32c

from zetcd.scalars import Index
from zetcd.wal.record import EntriesRecord, Record, encode_record
from zetcd.wal.segment import SEGMENT_HEADER_BYTES, SegmentHeader

#: Batches start at multiples of this and have such a length; also the length of a batch header.
BATCH_ALIGNMENT_BYTES: Final = 64
#: First bytes of a batch.
BATCH_MAGIC: Final = b"zWB1"
#: Last bytes of a batch header.
HEADER_MARK: Final = b"\xa5ZW\xa5"
#: Last bytes of a batch.
END_MARK: Final = b"zetcdEND"
#: Bytes of a batch that holds nothing but a segment trailer; kept free at the end of every segment.
TRAILER_BATCH_BYTES: Final = 128
#: Longest batch: bounds what recovery reads at once, and keeps the length far from 32 bits.
BATCH_BYTES_MAX: Final = 1 << 30

_HEADER: Final = struct.Struct(">4sIQQQQIIII")
_HEADER_END: Final = struct.Struct(">I4s")
_PADDING: Final = tuple(bytes(count) for count in range(BATCH_ALIGNMENT_BYTES))


class Cursor(NamedTuple):
    """Where the next batch of the log is and what it must continue."""

    #: Byte offset in the segment.
    offset: int
    #: Sequence number of the next batch.
    sequence: int
    #: Checksum of the bodies of all batches before.
    chain: int


class BatchHeader(NamedTuple):
    """The fixed part of a batch."""

    #: Bytes of the whole batch.
    length: int
    #: Counts the batches of the log from 1.
    sequence: int
    #: Byte offset in the segment.
    offset: int
    #: Lowest index that the batch writes; 0 = it has no entries.
    first_index: Index
    #: Last index of the log after the batch.
    last_index: Index
    record_count: int
    reserved: int
    #: Chain before and after this batch.
    previous_chain: int
    chain: int


class Batch(NamedTuple):
    """A verified batch."""

    header: BatchHeader
    #: Records and padding and the end mark.
    body: bytes

    @property
    def end(self) -> Cursor:
        """Where the batch after this one is."""
        header = self.header
        return Cursor(header.offset + header.length, header.sequence + 1, header.chain)


class BatchDraft(NamedTuple):
    """Records on their way into a batch, already encoded."""

    records: Sequence[Record]
    #: Records, padding, end mark.
    body: bytes

    @property
    def length(self) -> int:
        """Bytes that the whole batch will have."""
        return BATCH_ALIGNMENT_BYTES + len(self.body)


class Stop(IntEnum):
    """Why a scan found no batch."""

    #: The window ends before the batch does.
    MORE = 1
    #: The header is all zero: nothing was written here, or its sector is missing.
    ZERO = 2
    #: Something is here, and it is not the next batch.
    BAD = 3


class Scan(NamedTuple):
    """Outcome of looking for one batch."""

    batch: Batch | None
    stop: Stop | None = None
    #: For `Stop.MORE`: bytes that the window must have, counted from the cursor.
    needed_bytes: int = 0
    #: For `Stop.BAD`.
    reason: str = ""


def start_of(segment: SegmentHeader) -> Cursor:
    """Return the cursor of a segment's first batch."""
    return Cursor(SEGMENT_HEADER_BYTES, segment.first_sequence, segment.chain)


def draft_batch(records: Sequence[Record]) -> BatchDraft:
    """Encode ``records`` into the body of a batch."""
    parts = [encode_record(record) for record in records]
    used = sum(map(len, parts)) + len(END_MARK)
    parts.append(_PADDING[-used % BATCH_ALIGNMENT_BYTES])
    parts.append(END_MARK)
    return BatchDraft(records, b"".join(parts))


def encode_batch(draft: BatchDraft, cursor: Cursor, *, last_index: Index) -> Batch:
    """Return the batch that ``draft`` becomes at ``cursor``; `batch_bytes` gives its bytes.

    ``last_index`` is that of the log after this batch.
    """
    first_index = min((r.first_index for r in draft.records if type(r) is EntriesRecord), default=0)
    header = BatchHeader(
        length=draft.length,
        sequence=cursor.sequence,
        offset=cursor.offset,
        first_index=first_index,
        last_index=last_index,
        record_count=len(draft.records),
        reserved=0,
        previous_chain=cursor.chain,
        chain=google_crc32c.extend(cursor.chain, draft.body),
    )
    return Batch(header, draft.body)


def batch_bytes(batch: Batch, seed: int) -> bytes:
    """Return the bytes of ``batch`` in the segment whose `SegmentHeader.seed` is ``seed``."""
    fields = _HEADER.pack(BATCH_MAGIC, *batch.header)
    end = _HEADER_END.pack(google_crc32c.extend(seed, fields), HEADER_MARK)
    return b"".join((fields, end, batch.body))


def decode_batch_header(window: bytes, position: int, seed: int) -> BatchHeader | None:
    """Return the header at ``position``, None unless its own checksum is right."""
    fields = window[position : position + _HEADER.size]
    crc, mark = _HEADER_END.unpack_from(window, position + _HEADER.size)
    if mark != HEADER_MARK or fields[:4] != BATCH_MAGIC:
        return None
    if crc != google_crc32c.extend(seed, fields):
        return None
    return BatchHeader(*_HEADER.unpack(fields)[1:])


def next_batch(window: bytes, base: int, cursor: Cursor, segment: SegmentHeader, seed: int) -> Scan:
    """Look for the batch at ``cursor``.

    Args:
        window: bytes of the segment from offset ``base`` on.
        base: at most ``cursor.offset``.
        cursor: what the previous batch ended with.
        segment: the segment's header.
        seed: its `SegmentHeader.seed`, computed once.
    """
    position = cursor.offset - base
    if cursor.offset + BATCH_ALIGNMENT_BYTES > segment.segment_bytes:
        return Scan(None, Stop.BAD, reason="the segment ends without a trailer")
    if position + BATCH_ALIGNMENT_BYTES > len(window):
        return Scan(None, Stop.MORE, BATCH_ALIGNMENT_BYTES)
    header = decode_batch_header(window, position, seed)
    if header is None:
        if window[position : position + BATCH_ALIGNMENT_BYTES] == _ZERO_HEADER:
            return Scan(None, Stop.ZERO)
        return Scan(None, Stop.BAD, reason="the batch header fails its checksum")
    reason = continuation_error(header, cursor, segment)
    if reason:
        return Scan(None, Stop.BAD, reason=reason)
    if position + header.length > len(window):
        return Scan(None, Stop.MORE, header.length)
    body = window[position + BATCH_ALIGNMENT_BYTES : position + header.length]
    if google_crc32c.extend(cursor.chain, body) != header.chain or body[-8:] != END_MARK:
        return Scan(
            None, Stop.BAD, reason=f"the body of batch {header.sequence} fails its checksum"
        )
    return Scan(Batch(header, body))


_ZERO_HEADER: Final = bytes(BATCH_ALIGNMENT_BYTES)


def continuation_error(header: BatchHeader, cursor: Cursor, segment: SegmentHeader) -> str:
    """Say why an intact ``header`` cannot be the batch at ``cursor``; empty if it can."""
    if header.offset != cursor.offset:
        return f"the batch belongs at offset {header.offset}"
    if header.sequence != cursor.sequence:
        return f"batch {cursor.sequence} is missing, here is batch {header.sequence}"
    if header.previous_chain != cursor.chain:
        return f"batch {header.sequence} does not continue the log before it"
    room = segment.segment_bytes - header.offset
    is_length_sane = BATCH_ALIGNMENT_BYTES < header.length <= min(room, BATCH_BYTES_MAX)
    if not is_length_sane or header.length % BATCH_ALIGNMENT_BYTES:
        return f"batch {header.sequence} claims {header.length} bytes"
    return ""
