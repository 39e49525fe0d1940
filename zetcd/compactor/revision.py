"""Responsible for ``auto-compaction-mode = "revision"``: a number of revisions is kept."""

from __future__ import annotations

from typing import Final

from zetcd.compactor.compactor import Standing
from zetcd.scalars import Revision

#: How often the revision is looked at (etcd).
INTERVAL_SECONDS: Final = 300.0


class RevisionCompactor:
    """Compacts at the current revision less the retention."""

    def __init__(self, retention: int, now: float) -> None:
        """Keep ``retention`` revisions."""
        self._retention = retention
        self.next_at = now + INTERVAL_SECONDS

    def look(self, standing: Standing, now: float) -> Revision | None:
        """See `Compactor.look`."""
        self.next_at = now + INTERVAL_SECONDS
        revision = standing.current_revision - self._retention
        if not standing.is_leading or revision <= max(standing.compact_revision, 0):
            return None
        return revision
