"""Responsible for dropping history; not to be confused with log compaction.

`schedule_compaction` makes the history before a revision unreadable at once. `compact_step` then
removes it, a bounded slice at a time, each in a write transaction that may also hold other work.

What goes, for a compaction at R: of each key every change older than its newest one at or before R,
and that one too if it is a tombstone before R. A tombstone exactly at R stays: a watch from R must
still see it.

Why it does not look at every live key: changes before the previous compaction are already the only
ones of their keys. So each record from there to R removes the one change before it of the same
key, and the work is proportional to the changes since, whatever the number of live keys.

A restart goes on where the persisted state says; doing a record twice changes nothing.
"""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from zetcd.errors import Compacted, FutureRev
from zetcd.mvcc.backend import Table, WriteTable, WriteTransaction
from zetcd.mvcc.index_key import index_key
from zetcd.mvcc.record import key_of, unpack_header
from zetcd.mvcc.revision import (
    TOMBSTONE,
    entry_of,
    older_bound,
    pack_key,
    record_key_of,
    unpack_key,
)
from zetcd.mvcc.state import StoreState
from zetcd.scalars import Revision

#: Bytes of records that one step looks at before it stops.
STEP_BYTES_MAX = 4 * 1024 * 1024


class CompactionStep(NamedTuple):
    """What one step did."""

    #: Nothing is left to remove.
    is_finished: bool
    #: Changes removed.
    removed: int


def check_compaction(state: StoreState, revision: Revision) -> None:
    """Check that history can be dropped at ``revision``.

    Raises:
        Compacted: it already is.
        FutureRev: it is not there yet.
    """
    if revision <= state.compact_revision:
        raise Compacted
    if revision > state.current_revision:
        raise FutureRev


def schedule_compaction(state: StoreState, revision: Revision) -> None:
    """Make the history before ``revision`` unreadable; the caller saves the state.

    Raises:
        Compacted, FutureRev: see `check_compaction`.
    """
    check_compaction(state, revision)
    # An unfinished older compaction is taken over: its removal goes on with the new revision. Only a
    # tombstone exactly at the old one, which was kept when it was looked at, may go now.
    if state.compact_next_main == state.compact_revision:
        state.compact_next_sub = 0
    state.compact_revision = revision


def is_compacting(state: StoreState) -> bool:
    """Return whether history is still to be removed."""
    return state.compact_finished_revision < state.compact_revision


def compact_step(
    transaction: WriteTransaction, state: StoreState, *, records_max: int
) -> CompactionStep:
    """Look at the next records; the caller saves the state in the same transaction.

    Args:
        transaction: Where to remove.
        state: Of the store; changed in place.
        records_max: Records to look at, at most.
    """
    if not is_compacting(state):
        return CompactionStep(is_finished=True, removed=0)
    revision = state.compact_revision
    rev = transaction.table(Table.REV)
    index = transaction.table(Table.INDEX)
    start = pack_key(state.compact_next_main, state.compact_next_sub)
    slice_ = _slice(rev, start, pack_key(revision + 1, 0), records_max)
    removed = sum(_remove_superseded(rev, index, item, revision) for item in slice_.items)
    if slice_.is_last:
        state.compact_finished_revision = revision
        # Tombstones kept at this revision are the next compaction's first.
        state.compact_next_main, state.compact_next_sub = revision, 0
    else:
        main, sub = unpack_key(slice_.items[-1][0])
        state.compact_next_main, state.compact_next_sub = main, sub + 1
    return CompactionStep(slice_.is_last, removed)


class _Slice(NamedTuple):
    """Records read before the table is changed."""

    items: list[tuple[bytes, bytes]]
    is_last: bool


def _slice(rev: WriteTable, start: bytes, stop: bytes, records_max: int) -> _Slice:
    """Return the next records, bounded by number and bytes."""
    items: list[tuple[bytes, bytes]] = []
    total = 0
    for item in islice(rev.scan(start, stop), records_max):
        items.append(item)
        total += len(item[1])
        if total >= STEP_BYTES_MAX:
            return _Slice(items, is_last=False)
    return _Slice(items, is_last=len(items) < records_max)


def _remove_superseded(
    rev: WriteTable, index: WriteTable, item: tuple[bytes, bytes], revision: Revision
) -> int:
    """Remove the change before this one of the same key, and this one if it is an old tombstone."""
    record_key, record = item
    main, sub = unpack_key(record_key)
    place = index_key(key_of(record))
    removed = 0
    older = index.seek_value(place, older_bound(main, sub))
    if older is not None:
        rev.delete(record_key_of(older))
        index.discard(place, older)
        removed += 1
    create_revision, version, _, flags, _ = unpack_header(record)
    if flags & TOMBSTONE and main < revision:
        rev.delete(record_key)
        index.discard(place, entry_of(main, sub, create_revision, version, flags))
        removed += 1
    return removed
