"""Responsible for what the hub needs to read of the store's past; the actor has it over LMDB.

All reads of one turn see one snapshot, which is at least as new as every message the turn received:
apply commits before it tells anyone. The actor gives the snapshot back at the end of the turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from zetcd.messages.kv import KeyValue
from zetcd.messages.node import RevisionEvents
from zetcd.scalars import Revision


class History(Protocol):
    """The store's revisions, as far as compaction left them."""

    @property
    def current_revision(self) -> Revision:
        """Newest revision of the store."""
        ...

    @property
    def compact_revision(self) -> Revision:
        """Revision of the last compaction, 0 if none; it and all later ones are complete."""
        ...

    def events(self, from_revision: Revision, to_revision: Revision) -> Iterator[RevisionEvents]:
        """Yield every revision of [from_revision, to_revision] with all its events, ascending.

        Lazy: the hub stops reading when it has enough bytes. ``from_revision`` is not compacted.
        """
        ...

    def get_at(self, key: bytes, revision: Revision) -> KeyValue | None:
        """Return ``key`` as it was at ``revision`` (not compacted), or None if it did not exist."""
        ...
