"""Responsible for reading the store's past on behalf of the watch hub, one snapshot per turn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from zetcd.messages.kv import KeyValue
from zetcd.messages.node import RevisionEvents
from zetcd.mvcc.backend import Backend, ReadTransaction
from zetcd.mvcc.history import read_history
from zetcd.mvcc.view import View
from zetcd.scalars import Revision

#: Events and bytes of one read of the store; the hub stops as soon as it has enough of it.
_SLICE_EVENTS_MAX: Final = 1_000
_SLICE_BYTES_MAX: Final = 1024 * 1024


class StoreHistory:
    """`zetcd.watch.History` over the store's tables.

    Invariant: a snapshot is open only between the first read of a turn and `release`.
    """

    def __init__(self) -> None:
        """Start without a store."""
        self.backend: Backend | None = None
        self._transaction: ReadTransaction | None = None
        self._open_view: View | None = None

    @property
    def current_revision(self) -> Revision:
        """Newest revision of the store."""
        return self._view().state.current_revision

    @property
    def compact_revision(self) -> Revision:
        """Revision of the last compaction, not positive if there was none."""
        return self._view().state.compact_revision

    def events(self, from_revision: Revision, to_revision: Revision) -> Iterator[RevisionEvents]:
        """Yield the revisions of [from_revision, to_revision] that changed anything, ascending."""
        position, last = from_revision, min(to_revision, self.current_revision)
        while position <= last:
            revisions, position = read_history(
                self._view(),
                position,
                events_max=_SLICE_EVENTS_MAX,
                bytes_max=_SLICE_BYTES_MAX,
            )
            for item in revisions:
                if item.revision > last:
                    return
                yield item

    def get_at(self, key: bytes, revision: Revision) -> KeyValue | None:
        """Return ``key`` as it was at ``revision``."""
        return self._view().get(key, revision)

    def release(self) -> None:
        """Give the snapshot back."""
        self._open_view = None
        if self._transaction is not None:
            self._transaction.__exit__(None, None, None)
            self._transaction = None

    def _view(self) -> View:
        if self._open_view is None:
            assert self.backend is not None
            self._transaction = self.backend.read()
            self._open_view = View(self._transaction)
        return self._open_view
