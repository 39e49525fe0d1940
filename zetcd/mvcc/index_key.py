"""Responsible for how a user's key of any length becomes a key of the index.

LMDB's keys have at most 511 bytes. A key of up to `PLAIN_BYTES_MAX` bytes is its own index key. A
longer one is indexed by its first `PLAIN_BYTES_MAX` bytes and the SHA-256 of the whole key; the
record holds the whole key. Worked example, with a limit of 3 instead of 470:

    key        "ab"    "abc"   "abcz"       "abca"       "abd"
    index key  "ab"    "abc"   "abc"+H(..)  "abc"+H(..)  "abd"

Invariants
    - A long index key has `LONG_BYTES` bytes, a plain one at most `PLAIN_BYTES_MAX`: never
    confused.
    - Keys that share their first `PLAIN_BYTES_MAX` bytes are adjacent in the index: first the plain
      one, then the group of long ones, whose order is the order of their hashes and not their own.
      Whoever reads in key order sorts each group by whole keys.
"""

from __future__ import annotations

import hashlib
from typing import Final

#: Longest key that is its own index key, in bytes.
PLAIN_BYTES_MAX: Final = 470
#: Bytes of the index key of a longer key.
LONG_BYTES: Final = PLAIN_BYTES_MAX + 32
#: Range end that means "to the end of the key space".
TO_END: Final = b"\0"


def index_key(key: bytes) -> bytes:
    """Return the index key of ``key``."""
    if len(key) <= PLAIN_BYTES_MAX:
        return key
    return key[:PLAIN_BYTES_MAX] + hashlib.sha256(key).digest()


def scan_bounds(key: bytes, range_end: bytes) -> tuple[bytes, bytes | None]:
    """Return index bounds ``[start, stop)`` that hold every key of ``[key, range_end)``.

    They may hold more: if a bound is a long key, the group it belongs to is included whole and must
    be filtered by whole keys. A ``range_end`` of ``a zero byte`` is no bound.
    """
    start = key[:PLAIN_BYTES_MAX]
    if range_end == TO_END:
        return start, None
    if len(range_end) <= PLAIN_BYTES_MAX:
        return start, range_end
    return start, range_end[:PLAIN_BYTES_MAX] + b"\xff" * (LONG_BYTES - PLAIN_BYTES_MAX + 1)


def has_plain_bounds(key: bytes, range_end: bytes) -> bool:
    """Return whether `scan_bounds` holds the keys of ``[key, range_end)`` and no others."""
    return max(len(key), len(range_end)) <= PLAIN_BYTES_MAX
