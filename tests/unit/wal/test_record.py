"""Records: framing, round trips, refusals."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zetcd.errors import WalCorruption
from zetcd.messages.codec import encode
from zetcd.messages.raft import ConfState, EntryType, HardState, LogEntry, SnapshotMetadata
from zetcd.messages.storage import StorageAppend
from zetcd.wal.record import (
    CheckpointRecord,
    EntriesRecord,
    HardStateRecord,
    Record,
    TrailerRecord,
    append_records,
    decode_records,
    encode_record,
    entries_records,
)


def entry(index: int, term: int = 1, data: bytes = b"x") -> LogEntry:
    return LogEntry(EntryType.NORMAL, term, index, data)


RECORDS: list[Record] = [
    EntriesRecord(5, 2, 2, encode((entry(5, 2), entry(6, 2, b"yy")))),
    HardStateRecord(HardState(3, 0xA1, 4)),
    CheckpointRecord(SnapshotMetadata(4, 2, ConfState((1, 2, 3), (9,)))),
    TrailerRecord(8, 7),
]


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_round_trips_and_is_aligned(record: Record) -> None:
    encoded = encode_record(record)
    assert len(encoded) % 8 == 0
    assert list(decode_records(encoded, 1)) == [record]


def test_several_records_follow_each_other() -> None:
    encoded = b"".join(map(encode_record, RECORDS))
    assert list(decode_records(encoded + bytes(40), len(RECORDS))) == RECORDS


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda b: b[:0], "lies outside"),
        (lambda b: b[:12], "its batch has not"),
        (lambda b: b"\x09" + b[1:], "type 9 is unknown"),
        (lambda b: b"\x02" + b[1:], "does not decode"),
        (lambda b: b[:4] + (1 << 31).to_bytes(4, "big") + b[8:], "its batch has not"),
    ],
)
def test_malformed_records_are_refused(damage: Callable[[bytes], bytes], reason: str) -> None:
    with pytest.raises(WalCorruption, match=reason):
        list(decode_records(damage(encode_record(RECORDS[0])), 1))


@pytest.mark.parametrize(
    "record",
    [
        EntriesRecord(5, 2, 2, b"\xc1"),
        EntriesRecord(5, 2, 2, encode((entry(5, 2),))),
        EntriesRecord(5, 2, 1, encode((entry(6, 2),))),
        EntriesRecord(5, 2, 1, encode((entry(5, 3),))),
    ],
)
def test_entries_that_differ_from_their_head_are_refused(record: EntriesRecord) -> None:
    with pytest.raises(WalCorruption, match="from index 5"):
        record.entries()


def test_entries_are_split_by_term() -> None:
    entries = (entry(1, 1), entry(2, 1), entry(3, 2), entry(4, 5), entry(5, 5))
    records = list(entries_records(entries))
    assert [(r.first_index, r.term, r.entries_count) for r in records] == [
        (1, 1, 2),
        (3, 2, 1),
        (4, 5, 2),
    ]
    assert tuple(e for r in records for e in r.entries()) == entries


def test_a_snapshot_comes_before_the_entries_that_follow_it() -> None:
    mark = SnapshotMetadata(4, 1, ConfState())
    records = append_records([StorageAppend((entry(5),), snapshot=mark)], HardState(1, 0, 4))
    assert [type(r) for r in records] == [CheckpointRecord, EntriesRecord, HardStateRecord]
