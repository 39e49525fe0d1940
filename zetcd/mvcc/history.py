"""Responsible for reading changes by revision, as watchers that catch up need them."""

from __future__ import annotations

from typing import NamedTuple

from zetcd.errors import Compacted
from zetcd.messages.kv import Event, KeyValue
from zetcd.messages.node import RevisionEvents
from zetcd.mvcc.record import event_of
from zetcd.mvcc.revision import pack_key, unpack_key
from zetcd.mvcc.view import View
from zetcd.scalars import Revision


class HistorySlice(NamedTuple):
    """Changes of consecutive revisions."""

    revisions: tuple[RevisionEvents, ...]
    #: Where to go on; greater than the current revision = nothing is left.
    next_revision: Revision


def read_history(
    view: View, start_revision: Revision, *, events_max: int, bytes_max: int
) -> HistorySlice:
    """Return the changes from ``start_revision`` on, whole revisions only.

    A slice ends after the revision in which a bound is reached, so it has at least one revision if
    there is any. Revisions that changed nothing any more, because compaction dropped all they did,
    are missing.

    Args:
        view: A fresh view.
        start_revision: First revision wanted.
        events_max: Events after which the slice ends.
        bytes_max: Bytes of keys and values after which the slice ends.

    Raises:
        Compacted: ``start_revision`` is before the compact revision.
    """
    state = view.state
    if start_revision < state.compact_revision:
        raise Compacted
    revisions: list[RevisionEvents] = []
    events: list[Event] = []
    total = 0
    open_revision = start_revision
    stop = pack_key(state.current_revision + 1, 0)
    records = view.rev.scan(pack_key(max(start_revision, 0), 0), stop)
    for events_count, (record_key, record) in enumerate(records):
        main, _ = unpack_key(record_key)
        if main != open_revision:
            if events:
                revisions.append(RevisionEvents(open_revision, tuple(events)))
                events = []
            if events_count >= events_max or total >= bytes_max:
                return HistorySlice(tuple(revisions), main)
            open_revision = main
        events.append(event_of(main, record))
        total += len(record)
    if events:
        revisions.append(RevisionEvents(open_revision, tuple(events)))
    return HistorySlice(tuple(revisions), max(start_revision, state.current_revision + 1))


def previous(view: View, key: bytes, revision: Revision) -> KeyValue | None:
    """Return ``key`` as it was just before ``revision``; None if absent or compacted meanwhile."""
    before = revision - 1
    if before < max(view.state.compact_revision, 1):
        return None
    return view.get(key, before)
