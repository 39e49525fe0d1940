"""Records keep everything about a change but its revision."""

from zetcd.messages.kv import EventType, KeyValue
from zetcd.mvcc.record import HEADER_BYTES, decode_record, event_of, key_of, lease_of, pack_header
from zetcd.mvcc.revision import TOMBSTONE


def test_a_record_decodes_to_its_key() -> None:
    record = pack_header(3, 2, -7, 0, 4) + b"\0key" + b"va\0lue"
    assert decode_record(9, record) == KeyValue(b"\0key", 3, 9, 2, b"va\0lue", -7)
    assert key_of(record) == b"\0key"
    assert lease_of(record) == -7
    assert event_of(9, record).type is EventType.PUT


def test_a_tombstone_has_key_and_revision_only() -> None:
    event = event_of(9, pack_header(0, 0, 0, TOMBSTONE, 3) + b"key")
    assert event.type is EventType.DELETE
    assert event.kv == KeyValue(b"key", 0, 9)


def test_the_header_has_the_documented_size() -> None:
    assert HEADER_BYTES == 29
