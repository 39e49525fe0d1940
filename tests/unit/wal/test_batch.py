"""Batches: golden bytes, and the scan from one to the next."""

from __future__ import annotations

import pytest

from zetcd.messages.raft import EntryType, HardState, LogEntry
from zetcd.wal.batch import (
    BATCH_ALIGNMENT_BYTES,
    END_MARK,
    TRAILER_BATCH_BYTES,
    Batch,
    Cursor,
    Stop,
    batch_bytes,
    draft_batch,
    encode_batch,
    next_batch,
    start_of,
)
from zetcd.wal.record import HardStateRecord, Record, TrailerRecord, entries_records
from zetcd.wal.segment import SegmentHeader

SEGMENT = SegmentHeader(0xC1, 0xA1, 0, 4096, 1, 0, 1, 0x5A17, 0)
SEED = SEGMENT.seed
START = start_of(SEGMENT)


def records(size: int = 4) -> list[Record]:
    entries = (LogEntry(EntryType.NORMAL, 1, 1, b"d" * size),)
    return [*entries_records(entries), HardStateRecord(HardState(1, 0xA1, 0))]


def batch_at(cursor: Cursor, size: int = 4) -> tuple[Batch, bytes]:
    batch = encode_batch(draft_batch(records(size)), cursor, last_index=1)
    return batch, batch_bytes(batch, SEED)


def test_golden_bytes_of_a_batch() -> None:
    """The format must not drift: a change here needs a new format version."""
    _, encoded = batch_at(START)
    assert [line.hex(" ", 8) for line in lines(encoded)] == GOLDEN_BATCH


def lines(encoded: bytes) -> list[bytes]:
    return [encoded[at : at + 32] for at in range(0, len(encoded), 32)]


@pytest.mark.parametrize("size", range(0, 130, 3))
def test_batches_are_aligned_and_never_end_in_zero(size: int) -> None:
    batch, encoded = batch_at(START, size)
    assert len(encoded) == batch.header.length
    assert len(encoded) % BATCH_ALIGNMENT_BYTES == 0
    assert encoded.endswith(END_MARK)
    assert encoded[0] != 0
    assert encoded[BATCH_ALIGNMENT_BYTES - 1] != 0


def test_a_trailer_fits_into_the_room_kept_for_it() -> None:
    assert draft_batch([TrailerRecord(2**63, 2**63)]).length == TRAILER_BATCH_BYTES


def test_the_scan_goes_from_batch_to_batch_and_stops_at_zeros() -> None:
    first, first_bytes = batch_at(START)
    second, second_bytes = batch_at(first.end, size=200)
    window = first_bytes + second_bytes + bytes(100)
    found = next_batch(window, START.offset, START, SEGMENT, SEED)
    assert found.batch == first
    found = next_batch(window, START.offset, first.end, SEGMENT, SEED)
    assert found.batch == second
    assert next_batch(window, START.offset, second.end, SEGMENT, SEED).stop is Stop.ZERO


def test_the_scan_asks_for_the_bytes_it_misses() -> None:
    batch, encoded = batch_at(START)
    for size, needed in ((10, BATCH_ALIGNMENT_BYTES), (100, batch.header.length)):
        scan = next_batch(encoded[:size], START.offset, START, SEGMENT, SEED)
        assert (scan.stop, scan.needed_bytes) == (Stop.MORE, needed)


@pytest.mark.parametrize(
    ("cursor", "reason"),
    [
        (START._replace(sequence=2), "batch 2 is missing, here is batch 1"),
        (START._replace(chain=1), "does not continue the log"),
        (START._replace(offset=START.offset + 64), "belongs at offset 512"),
        (START._replace(offset=4096), "without a trailer"),
    ],
)
def test_an_intact_batch_in_the_wrong_place_is_bad(cursor: Cursor, reason: str) -> None:
    _, encoded = batch_at(START)
    scan = next_batch(encoded, cursor.offset, cursor, SEGMENT, SEED)
    assert scan.stop is Stop.BAD
    assert reason in scan.reason


@pytest.mark.parametrize("length", [0, 64, 100, 8192, 1 << 31])
def test_an_absurd_length_is_bad(length: int) -> None:
    batch, _ = batch_at(START)
    absurd = Batch(batch.header._replace(length=length), batch.body)
    encoded = batch_bytes(absurd, SEED)
    scan = next_batch(encoded, START.offset, START, SEGMENT, SEED)
    assert scan.stop is Stop.BAD
    assert f"claims {length} bytes" in scan.reason


def test_a_batch_of_another_segment_is_bad() -> None:
    _, encoded = batch_at(START)
    other = SEGMENT._replace(salt=1)
    assert next_batch(encoded, START.offset, START, other, other.seed).stop is Stop.BAD


GOLDEN_BATCH = [
    "7a574231000000c0 0000000000000001 0000000000000200 0000000000000001",
    "0000000000000001 0000000200000000 00000000a5a8ab3e 2adaff8ba55a57a5",
    "0100000000000023 0000000000000001 0000000000000001 0000000100000000",
    "9194000101c40464 6464640000000000 0200000000000018 0000000000000001",
    "00000000000000a1 0000000000000000 0000000000000000 0000000000000000",
    "0000000000000000 0000000000000000 0000000000000000 7a65746364454e44",
]
