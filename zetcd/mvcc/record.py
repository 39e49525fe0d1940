"""Responsible for the bytes of one change: what the table `rev` keeps for each revision.

    0                8         16      24      25            29
    +----------------+---------+-------+-------+-------------+-----+-------+
    | create revision| version | lease | flags | key length  | key | value |
    +----------------+---------+-------+-------+-------------+-----+-------+

All numbers are big endian; the lease is signed, as etcd's ids are. Main and sub-revision are the
key of the record.
"""

from __future__ import annotations

import struct
from typing import Final

from zetcd.messages.kv import Event, EventType, KeyValue
from zetcd.mvcc.revision import TOMBSTONE
from zetcd.scalars import LeaseID, Revision

_HEADER: Final = struct.Struct(">QQqBI")
#: Bytes before the key.
HEADER_BYTES: Final = _HEADER.size

#: ``pack_header(create_revision, version, lease, flags, key_length)``; the key and the value
#: follow.
pack_header = _HEADER.pack
#: ``unpack_header(record)`` is what `pack_header` was given.
unpack_header = _HEADER.unpack_from


def decode_record(main: Revision, record: bytes) -> KeyValue:
    """Return the key as the change at ``main`` left it."""
    create_revision, version, lease, _, key_length = unpack_header(record)
    end = HEADER_BYTES + key_length
    return KeyValue(record[HEADER_BYTES:end], create_revision, main, version, record[end:], lease)


def key_of(record: bytes) -> bytes:
    """Return the whole key of a record."""
    return record[HEADER_BYTES : HEADER_BYTES + unpack_header(record)[4]]


def lease_of(record: bytes) -> LeaseID:
    """Return the lease of a record; 0 = none."""
    lease: int = unpack_header(record)[2]
    return lease


def event_of(main: Revision, record: bytes) -> Event:
    """Return the change as watchers see it."""
    kv = decode_record(main, record)
    is_tombstone = unpack_header(record)[3] & TOMBSTONE
    return Event(EventType.DELETE if is_tombstone else EventType.PUT, kv)
