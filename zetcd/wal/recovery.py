"""Responsible for the cut rule: is a bad batch a torn write, or is the log corrupt?

Only the last batch may wait for its fdatasync, and what a lost sector leaves behind is zeros,
because segments start out as zeros and every cut restores them. Hence a torn write has both marks:
nothing valid comes after it, and at least one of its sectors (or its end) is missing, that is zero.
A batch that is damaged and has all its sectors was written completely and changed later:
corruption. It may have been acknowledged, so it is never cut.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from zetcd.wal.batch import (
    BATCH_ALIGNMENT_BYTES,
    BATCH_MAGIC,
    BatchHeader,
    Cursor,
    continuation_error,
    decode_batch_header,
)
from zetcd.wal.segment import SECTOR_BYTES, SegmentHeader

_ZERO_SECTOR: Final = bytes(SECTOR_BYTES)


class Tail(IntEnum):
    """What follows the last valid batch of a segment."""

    #: Zeros only.
    CLEAN = 1
    #: A batch that was being written when the machine or the process stopped.
    TORN = 2
    #: Damage of something that may have been acknowledged.
    CORRUPT = 3


class TailVerdict(NamedTuple):
    """What to do with the end of a segment."""

    tail: Tail
    #: Why, for people; empty if clean.
    reason: str = ""
    #: Torn: bytes from the cursor on that must be zeroed.
    dirty_bytes: int = 0


def judge_tail(rest: bytes, cursor: Cursor, segment: SegmentHeader, seed: int) -> TailVerdict:
    """Decide about the bytes after the last valid batch.

    Args:
        rest: the segment from ``cursor.offset`` to its end; a short file ends in zeros.
        cursor: end of the last valid batch.
        segment: header of the segment.
        seed: its `SegmentHeader.seed`.
    """
    dirty_bytes = len(rest.rstrip(b"\0"))
    if dirty_bytes == 0:
        return TailVerdict(Tail.CLEAN)
    later = _find_later_batch(rest, cursor, seed)
    if later is not None:
        return TailVerdict(
            Tail.CORRUPT,
            f"a damaged batch is followed by the valid batch {later.sequence} "
            f"at offset {later.offset}",
        )
    header = _header_at_start(rest, seed)
    if header is None:
        return _judge_headless(rest, dirty_bytes)
    reason = continuation_error(header, cursor, segment)
    if reason:
        return TailVerdict(Tail.CORRUPT, reason)
    reach = rest[: header.length].ljust(header.length, b"\0")
    if _is_sector_missing(reach, cursor.offset):
        return TailVerdict(
            Tail.TORN, f"batch {header.sequence} was not written completely", dirty_bytes
        )
    return TailVerdict(
        Tail.CORRUPT,
        f"batch {header.sequence} fails its checksum although none of its sectors is missing",
    )


def _header_at_start(rest: bytes, seed: int) -> BatchHeader | None:
    if len(rest) < BATCH_ALIGNMENT_BYTES:
        return None
    return decode_batch_header(rest, 0, seed)


def _judge_headless(rest: bytes, dirty_bytes: int) -> TailVerdict:
    """Decide about a batch whose header is not valid: its length is unknown."""
    head = rest[:BATCH_ALIGNMENT_BYTES]
    if not any(head):
        return TailVerdict(Tail.TORN, "the first sector of the last batch is missing", dirty_bytes)
    # Every batch ends in its end mark. With zeros alone behind the header, that mark is missing,
    # however long the batch was to be: its write never completed, or a bit flipped in free space.
    if dirty_bytes <= BATCH_ALIGNMENT_BYTES:
        return TailVerdict(Tail.TORN, "nothing follows the header of the last batch", dirty_bytes)
    return TailVerdict(Tail.CORRUPT, "the batch header fails its checksum and records follow it")


def _find_later_batch(rest: bytes, cursor: Cursor, seed: int) -> BatchHeader | None:
    """Return the first valid header after the bad batch: proof that the bad one was durable.

    The salted checksum, the offset and the sequence number keep bytes that a client stored from
    passing for a batch.
    """
    position = rest.find(BATCH_MAGIC, BATCH_ALIGNMENT_BYTES)
    while 0 <= position <= len(rest) - BATCH_ALIGNMENT_BYTES:
        if position % BATCH_ALIGNMENT_BYTES == 0:
            header = decode_batch_header(rest, position, seed)
            if header is not None and _is_later(header, cursor, position):
                return header
        position = rest.find(BATCH_MAGIC, position + 1)
    return None


def _is_later(header: BatchHeader, cursor: Cursor, position: int) -> bool:
    return header.offset == cursor.offset + position and header.sequence > cursor.sequence


def _is_sector_missing(batch: bytes, offset: int) -> bool:
    """Say whether the end of ``batch`` or the part of it in any sector of the disk is all zero."""
    if batch[-1] == 0:
        return True
    position = 0
    while position < len(batch):
        end = min(position + SECTOR_BYTES - (offset + position) % SECTOR_BYTES, len(batch))
        part = batch[position:end]
        if part == _ZERO_SECTOR[: len(part)]:
            return True
        position = end
    return False
