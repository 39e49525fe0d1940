"""Responsible for HashKV: one number over the history up to a revision, equal on all members.

The hash is CRC-32C over the table's name and then key and record of every surviving change up to
the revision, in revision order. "Surviving" is decided by the compact revision alone: a change that
compaction drops is left out whether it has been removed yet or not, since that differs between
members.

`HashKV` works in slices, each in a fresh read transaction, so that nobody holds one for long.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, NamedTuple

import google_crc32c

from zetcd.errors import Compacted, FutureRev
from zetcd.messages.cluster import HashKVResponse
from zetcd.messages.kv import ResponseHeader
from zetcd.mvcc.backend import ReadTransaction, Table
from zetcd.mvcc.index_key import index_key
from zetcd.mvcc.record import key_of, unpack_header
from zetcd.mvcc.revision import TOMBSTONE, entry_bound, pack_key, record_key_of, unpack_key
from zetcd.mvcc.state import load_state
from zetcd.mvcc.view import View
from zetcd.scalars import Revision, Term

#: Bytes of records after which a slice ends.
SLICE_BYTES_MAX: Final = 4 * 1024 * 1024
_NAME: Final = b"key"


class HashResult(NamedTuple):
    """A finished hash."""

    hash: int
    #: Compact revision that decided which changes count.
    compact_revision: Revision
    #: Revision up to which changes count.
    hash_revision: Revision
    #: Current revision when the hash was finished.
    current_revision: Revision

    def response(self, raft_term: Term) -> HashKVResponse:
        """Return the answer to a `HashKVRequest`."""
        header = ResponseHeader(self.current_revision, raft_term)
        return HashKVResponse(header, self.hash, self.compact_revision, self.hash_revision)


class HashKV:
    """Computes one hash, slice by slice.

    Invariants:
        - ``revision`` is pinned by the first slice.
        - If history is compacted meanwhile the hash starts over with the new compact revision, so
          the result is always that of one point in time.
    """

    __slots__ = ("_compact_revision", "_crc", "_next", "revision")

    def __init__(self, revision: Revision = 0) -> None:
        """Prepare the hash up to ``revision``; 0 or less = the current one at the first slice."""
        #: Revision up to which changes count; 0 until the first slice.
        self.revision = max(revision, 0)
        self._compact_revision: Revision = -1
        self._crc = 0
        self._next = b""

    def step(self, transaction: ReadTransaction, *, records_max: int) -> HashResult | None:
        """Hash the next records; return the result after the last one.

        Raises:
            FutureRev: the revision is not there yet.
            Compacted: it is not there any more.
        """
        state = load_state(transaction)
        self.revision = self.revision or state.current_revision
        if self.revision > state.current_revision:
            raise FutureRev
        if self.revision < state.compact_revision:
            raise Compacted
        if state.compact_revision != self._compact_revision:
            self._compact_revision = state.compact_revision
            self._crc = google_crc32c.value(_NAME)
            self._next = pack_key(0, 0)
        is_removing = state.compact_finished_revision < state.compact_revision
        view = View(transaction, state)
        stop = pack_key(self.revision + 1, 0)
        count = total = 0
        for record_key, record in islice(
            transaction.table(Table.REV).scan(self._next, stop), records_max
        ):
            count += 1
            total += len(record)
            if not is_removing or self._survives(view, record_key, record):
                self._crc = google_crc32c.extend(self._crc, record_key + record)
            self._next = record_key + b"\0"
            if total >= SLICE_BYTES_MAX:
                return None
        if count == records_max:
            return None
        return HashResult(self._crc, self._compact_revision, self.revision, state.current_revision)

    def _survives(self, view: View, record_key: bytes, record: bytes) -> bool:
        """Return whether compaction keeps a change that it may not have looked at yet."""
        main, _ = unpack_key(record_key)
        if main > self._compact_revision:
            return True
        if unpack_header(record)[3] & TOMBSTONE and main < self._compact_revision:
            return False
        place = index_key(key_of(record))
        newest = view.index.seek_value(place, entry_bound(self._compact_revision))
        return newest is not None and record_key_of(newest) == record_key
