"""The cut rule: torn or corrupt."""

from __future__ import annotations

import pytest

from zetcd.messages.raft import EntryType, LogEntry
from zetcd.wal.batch import Batch, Cursor, batch_bytes, draft_batch, encode_batch, start_of
from zetcd.wal.record import entries_records
from zetcd.wal.recovery import Tail, judge_tail
from zetcd.wal.segment import SegmentHeader

SEGMENT = SegmentHeader(1, 2, 0, 16384, 1, 0, 1, 0x5A17, 0)
SEED = SEGMENT.seed
START = start_of(SEGMENT)


def batch_at(cursor: Cursor, size: int = 2000) -> tuple[Batch, bytearray]:
    entries = (LogEntry(EntryType.NORMAL, 1, 1, b"d" * size),)
    draft = draft_batch(list(entries_records(entries)))
    batch = encode_batch(draft, cursor, last_index=1)
    return batch, bytearray(batch_bytes(batch, SEED))


def judged(rest: bytes | bytearray, cursor: Cursor = START) -> tuple[Tail, str]:
    verdict = judge_tail(bytes(rest), cursor, SEGMENT, SEED)
    return verdict.tail, verdict.reason


def test_zeros_are_a_clean_end() -> None:
    assert judged(bytes(1000)) == (Tail.CLEAN, "")
    assert judged(b"") == (Tail.CLEAN, "")


@pytest.mark.parametrize("sector", range(4))
def test_a_missing_sector_is_a_torn_write(sector: int) -> None:
    _, encoded = batch_at(START)
    encoded[sector * 512 : (sector + 1) * 512] = bytes(512)
    tail, _ = judged(encoded)
    assert tail is Tail.TORN


def test_a_torn_write_says_how_much_is_dirty() -> None:
    _, encoded = batch_at(START)
    encoded[:512] = bytes(512)
    assert judge_tail(bytes(encoded) + bytes(99), START, SEGMENT, SEED).dirty_bytes == len(encoded)


@pytest.mark.parametrize("at", [0, 5, 40, 63, 64, 700, -1])
def test_damage_without_a_missing_sector_is_corruption(at: int) -> None:
    _, encoded = batch_at(START)
    encoded[at] ^= 4
    tail, _ = judged(encoded)
    assert tail is Tail.CORRUPT


@pytest.mark.parametrize("at", range(64))
def test_one_bit_behind_the_log_is_a_torn_write(at: int) -> None:
    """No batch ends with its header: without its end mark it was never written completely."""
    rest = bytearray(1024)
    rest[at] = 1
    assert judge_tail(bytes(rest), START, SEGMENT, SEED).tail is Tail.TORN
    rest[64] = 1
    assert judged(rest)[0] is Tail.CORRUPT


def test_a_damaged_header_with_nothing_behind_it_is_a_torn_write() -> None:
    _, encoded = batch_at(START)
    encoded[5] ^= 4
    encoded[64:] = bytes(len(encoded) - 64)
    verdict = judge_tail(bytes(encoded), START, SEGMENT, SEED)
    assert (verdict.tail, verdict.dirty_bytes) == (Tail.TORN, 64)


def test_a_missing_sector_before_a_valid_batch_is_corruption() -> None:
    first, encoded = batch_at(START)
    second, following = batch_at(first.end)
    encoded[512:1024] = bytes(512)
    tail, reason = judged(encoded + following)
    assert tail is Tail.CORRUPT
    assert f"valid batch 2 at offset {second.header.offset}" in reason


def test_a_batch_with_an_old_sequence_number_does_not_prove_anything() -> None:
    first, encoded = batch_at(START)
    _, stale = batch_at(Cursor(first.end.offset, START.sequence, 0))
    encoded[512:1024] = bytes(512)
    tail, _ = judged(encoded + stale)
    assert tail is Tail.TORN


def test_an_intact_header_that_does_not_continue_the_log_is_corruption() -> None:
    _, encoded = batch_at(START)
    tail, reason = judged(encoded, START._replace(chain=1))
    assert tail is Tail.CORRUPT
    assert "does not continue" in reason
