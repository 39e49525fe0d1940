"""Responsible for the bytes that name a change: the key of its record and its entry in the index.

A change is named by its main revision (one per transaction) and its sub-revision (counted from 0
within it). Records are sorted by revision, so that history is read forwards; index entries are
sorted newest first, so that the first value of a key is its latest state. For that an entry stores
the complement of the revision.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from zetcd.scalars import Revision

#: Greatest main revision; also the mask of its complement.
MAIN_MAX: Final = 2**64 - 1
#: Greatest sub-revision; also the mask of its complement.
SUB_MAX: Final = 2**32 - 1

#: The change deleted the key.
TOMBSTONE: Final = 1
#: The record names a lease.
HAS_LEASE: Final = 2

_KEY: Final = struct.Struct(">QQ")
#: Complement of main, complement of sub, create revision, version, flags.
_ENTRY: Final = struct.Struct(">QIQQB")
#: Bytes of an index entry.
ENTRY_BYTES: Final = _ENTRY.size
#: Position of the flags in an index entry.
ENTRY_FLAGS: Final = ENTRY_BYTES - 1

#: ``pack_key(main, sub)`` is the key of a record.
pack_key = _KEY.pack
#: ``unpack_key(key)`` is ``(main, sub)``.
unpack_key = _KEY.unpack
#: ``pack_entry(MAIN_MAX - main, SUB_MAX - sub, create_revision, version, flags)``; see `entry_of`.
pack_entry = _ENTRY.pack
#: Inverse of `pack_entry`.
unpack_entry = _ENTRY.unpack


class Entry(NamedTuple):
    """An index entry, decoded: what is known of a key at a revision without its record."""

    main: Revision
    sub: int
    create_revision: Revision
    version: int
    flags: int


def entry_of(
    main: Revision, sub: int, create_revision: Revision, version: int, flags: int
) -> bytes:
    """Return the bytes of an index entry."""
    return pack_entry(MAIN_MAX - main, SUB_MAX - sub, create_revision, version, flags)


def decode_entry(entry: bytes) -> Entry:
    """Return an index entry, decoded."""
    main, sub, create_revision, version, flags = unpack_entry(entry)
    return Entry(MAIN_MAX - main, SUB_MAX - sub, create_revision, version, flags)


def entry_bound(revision: Revision) -> bytes:
    """Return a bound: the first entry at or after it is the newest with main <= ``revision``."""
    return pack_entry(MAIN_MAX - revision, 0, 0, 0, 0)


def older_bound(main: Revision, sub: int) -> bytes:
    """Return a bound: the first entry at or after it is the newest before ``(main, sub)``."""
    if sub > 0:
        return pack_entry(MAIN_MAX - main, SUB_MAX - sub + 1, 0, 0, 0)
    return pack_entry(MAIN_MAX - main + 1, 0, 0, 0, 0)


def record_key_of(entry: bytes) -> bytes:
    """Return the key of the record that an index entry points to."""
    main, sub, _, _, _ = unpack_entry(entry)
    return pack_key(MAIN_MAX - main, SUB_MAX - sub)
