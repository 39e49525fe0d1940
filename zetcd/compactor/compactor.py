"""Responsible for what both modes of automatic compaction have in common: their face, and what they see."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from zetcd.scalars import Revision


class Standing(NamedTuple):
    """Where the member stands when a compactor looks."""

    current_revision: Revision
    #: History before it is gone already; 0 = never compacted.
    compact_revision: Revision
    #: Only the leader compacts.
    is_leading: bool


class Compactor(Protocol):
    """One mode of automatic compaction."""

    #: When `look` is due; read-only for others.
    next_at: float

    def look(self, standing: Standing, now: float) -> Revision | None:
        """Take a sample; return the revision to compact at, or None.

        Called once ``next_at`` has come, also on members that do not lead.
        """
        ...
