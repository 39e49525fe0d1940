"""Responsible for finding keys: which are live in a range at a revision, and what they hold.

The one place that knows how the index is read. It reads the index only; records are fetched by
whoever needs values, after filters and limits have thrown out what is not asked for.

Cost: a range of n keys costs O(n), however long the history of each key is: the index gives the
newest entry of a key first, and an older revision is one search away. Keys that were deleted and
not yet compacted away still count as n.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, TypeAlias

from zetcd.errors import Compacted, FutureRev
from zetcd.messages.kv import KeyValue
from zetcd.mvcc.backend import ReadTable, ReadTransaction, Table, WriteTransaction
from zetcd.mvcc.index_key import PLAIN_BYTES_MAX, has_plain_bounds, index_key, scan_bounds
from zetcd.mvcc.record import HEADER_BYTES, key_of, lease_of
from zetcd.mvcc.revision import (
    ENTRY_BYTES,
    ENTRY_FLAGS,
    HAS_LEASE,
    MAIN_MAX,
    SUB_MAX,
    TOMBSTONE,
    entry_bound,
    pack_key,
    record_key_of,
    unpack_entry,
)
from zetcd.mvcc.state import StoreState, load_state
from zetcd.scalars import Revision

#: Keys counted at once; where they are not all older than the revision, one by one.
_COUNT_BATCH_KEYS: Final = 256
#: Flags of entries that are no live key.
_DEAD_FLAGS: Final = bytes(flags for flags in range(256) if flags & TOMBSTONE)

#: A live key and its index entry.
Found: TypeAlias = tuple[bytes, bytes]


class View:
    """The key space as one transaction sees it, at any revision that is not compacted.

    ``state`` is shared with the writer inside a write transaction, so that its changes are seen.
    """

    __slots__ = ("index", "rev", "state")

    def __init__(
        self, transaction: ReadTransaction | WriteTransaction, state: StoreState | None = None
    ) -> None:
        """Look at the tables of ``transaction``; without a ``state`` it is loaded."""
        self.rev: ReadTable = transaction.table(Table.REV)
        self.index: ReadTable = transaction.table(Table.INDEX)
        self.state = load_state(transaction) if state is None else state

    def resolve_revision(self, revision: Revision) -> Revision | None:
        """Return the revision to read at; None = current (asked for with 0 or less, or by number).

        Raises:
            FutureRev: it is not there yet.
            Compacted: it is not there any more.
        """
        if revision <= 0:
            return None
        if revision > self.state.current_revision:
            raise FutureRev
        if revision < self.state.compact_revision:
            raise Compacted
        return revision

    def entry(self, key: bytes, revision: Revision | None = None) -> bytes | None:
        """Return the index entry of ``key`` at ``revision`` (None = current) if it is live."""
        place = index_key(key)
        entry = self.index.get(place)
        if revision is not None and entry is not None and entry < entry_bound(revision):
            entry = self.index.seek_value(place, entry_bound(revision))
        return None if entry is None or entry[ENTRY_FLAGS] & TOMBSTONE else entry

    def get(self, key: bytes, revision: Revision | None = None) -> KeyValue | None:
        """Return ``key`` at ``revision`` (None = current), or None."""
        entry = self.entry(key, revision)
        if entry is None:
            return None
        return _key_value(key, unpack_entry(entry), self._record(entry))

    def live(
        self, key: bytes, range_end: bytes, revision: Revision | None = None
    ) -> Iterator[Found]:
        """Yield the live keys of ``[key, range_end)`` in key order.

        ``revision`` None is the current one. ``range_end`` is b"" for one key and a zero byte
        for all keys from ``key`` on. The index must not be changed while the iterator is used.
        """
        if not range_end:
            entry = self.entry(key, revision)
            return iter(()) if entry is None else iter(((key, entry),))
        start, stop = scan_bounds(key, range_end)
        if stop is not None and stop <= start:
            return iter(())
        newest = self.index.scan(start, stop)
        found = _not_deleted(newest) if revision is None else self._live_at(newest, revision)
        ordered = self._ordered(found)
        if has_plain_bounds(key, range_end):
            return ordered
        return _within(ordered, key, None if stop is None else range_end)

    def count(self, key: bytes, range_end: bytes, revision: Revision | None = None) -> int:
        """Return the number of keys that `live` yields."""
        if not range_end or not has_plain_bounds(key, range_end):
            return sum(1 for _ in self.live(key, range_end, revision))
        start, stop = scan_bounds(key, range_end)
        return self.count_some(start, stop, revision)[0]

    def count_some(
        self,
        start: bytes,
        stop: bytes | None,
        revision: Revision | None,
        keys_max: int = sys.maxsize,
    ) -> tuple[int, bytes | None]:
        """Count live keys among the first ``keys_max`` index keys of ``[start, stop)``.

        Returns:
            Their number, and the index key to go on from; None = there is none.
        """
        total, place = 0, None if stop is not None and stop <= start else start
        while place is not None and keys_max > 0:
            keys = min(_COUNT_BATCH_KEYS, keys_max)
            entries, following = self.index.first_values(place, stop, keys)
            if revision is not None and entries and min(entries) < entry_bound(revision):
                newest = islice(self.index.scan(place, stop), keys)
                total += sum(1 for _ in self._live_at(newest, revision))
            else:
                flags = b"".join(entries)[ENTRY_FLAGS::ENTRY_BYTES]
                total += len(flags.translate(None, _DEAD_FLAGS))
            keys_max -= keys
            place = following
        return total, place

    def kvs(self, found: Sequence[Found], *, keys_only: bool = False) -> tuple[KeyValue, ...]:
        """Return what the found keys hold; with ``keys_only`` the values stay empty."""
        if keys_only:
            return tuple([self._key_only(key, entry) for key, entry in found])
        heads = [unpack_entry(entry) for _, entry in found]
        records = self.rev.get_many(
            [pack_key(MAIN_MAX - head[0], SUB_MAX - head[1]) for head in heads]
        )
        return tuple(
            [
                _key_value(key, head, record)
                for (key, _), head, record in zip(found, heads, records, strict=True)
            ]
        )

    def whole_key(self, place: bytes) -> bytes:
        """Return the key that an index key stands for."""
        if len(place) <= PLAIN_BYTES_MAX:
            return place
        entry = self.index.get(place)
        assert entry is not None, "index key without entries"
        return key_of(self._record(entry))

    def _record(self, entry: bytes) -> bytes:
        """Return the record that an index entry points to."""
        record = self.rev.get(record_key_of(entry))
        assert record is not None, "index entry without its record"
        return record

    def _key_only(self, key: bytes, entry: bytes) -> KeyValue:
        """Return a found key without its value; the record is read for a lease only."""
        main, _, create_revision, version, flags = unpack_entry(entry)
        lease = lease_of(self._record(entry)) if flags & HAS_LEASE else 0
        return KeyValue(key, create_revision, MAIN_MAX - main, version, b"", lease)

    def _live_at(self, newest: Iterator[Found], revision: Revision) -> Iterator[Found]:
        """Yield index keys that were live at ``revision``, with their entry of then."""
        bound = entry_bound(revision)
        for place, entry in newest:
            then: bytes | None = entry
            if entry < bound:
                then = self.index.seek_value(place, bound)
            if then is not None and not then[ENTRY_FLAGS] & TOMBSTONE:
                yield place, then

    def _ordered(self, found: Iterator[Found]) -> Iterator[Found]:
        """Replace index keys by keys; sort each group of long keys that share their head."""
        group: list[Found] = []
        for item in found:
            place = item[0]
            if group and place[:PLAIN_BYTES_MAX] != group[0][0][:PLAIN_BYTES_MAX]:
                yield from sorted(group)
                group.clear()
            if len(place) <= PLAIN_BYTES_MAX:
                yield item
            else:
                group.append((key_of(self._record(item[1])), item[1]))
        yield from sorted(group)


def _key_value(key: bytes, head: tuple[int, ...], record: bytes) -> KeyValue:
    """Return a key as its index entry and its record have it."""
    main, _, create_revision, version, flags = head
    lease = lease_of(record) if flags & HAS_LEASE else 0
    value = record[HEADER_BYTES + len(key) :]
    return KeyValue(key, create_revision, MAIN_MAX - main, version, value, lease)


def _not_deleted(newest: Iterator[Found]) -> Iterator[Found]:
    """Keep the index keys whose newest entry is no tombstone.

    No generator expression, here or below: mypyc would make a list of all keys of it.
    """
    for item in newest:
        if not item[1][ENTRY_FLAGS] & TOMBSTONE:
            yield item


def _within(found: Iterator[Found], key: bytes, range_end: bytes | None) -> Iterator[Found]:
    """Keep the keys of ``[key, range_end)``; None = to the end."""
    for item in found:
        if item[0] >= key and (range_end is None or item[0] < range_end):
            yield item


__all__ = ["Found", "View"]
