"""Responsible for ``auto-compaction-mode = "periodic"``: the history of a period is kept."""

from __future__ import annotations

from collections import deque
from typing import Final

from zetcd.compactor.compactor import Standing
from zetcd.scalars import Revision

#: Compactions are at most this far apart, however long the period is (etcd).
COMPACT_INTERVAL_SECONDS_MAX: Final = 3600.0
#: Samples for each interval between two compactions (etcd).
SAMPLES_PER_INTERVAL: Final = 10


class PeriodicCompactor:
    """Compacts at the revision that was current a period ago.

    Invariant: ``_samples`` spans one period at most, oldest first.
    """

    def __init__(self, period_seconds: float, now: float) -> None:
        """Begin to sample; the first compaction comes after a whole period."""
        self._period = period_seconds
        self._interval = min(period_seconds, COMPACT_INTERVAL_SECONDS_MAX)
        self._pause = self._interval / SAMPLES_PER_INTERVAL
        self._samples: deque[Revision] = deque(maxlen=round(period_seconds / self._pause) + 1)
        self._proposed: Revision = 0
        self._done: Revision = 0
        #: When the last compaction was done; at first, the start.
        self._done_at = now
        self._is_first = True
        self.next_at = now

    def look(self, standing: Standing, now: float) -> Revision | None:
        """See `Compactor.look`."""
        self.next_at = now + self._pause
        self._note_done(standing.compact_revision, now)
        self._samples.append(standing.current_revision)
        revision = self._samples[0]
        wait = self._period if self._is_first else self._interval
        # What the clock lost in rounding must not cost a whole pause.
        is_due = now - self._done_at >= wait - self._pause / 2
        if not (standing.is_leading and is_due) or revision in (self._done, 0):
            return None
        self._is_first = False
        if revision <= standing.compact_revision:
            # A client was faster; as etcd, this counts as done.
            self._done, self._done_at = revision, now
            return None
        self._proposed = revision
        return revision

    def _note_done(self, compact_revision: Revision, now: float) -> None:
        """Notice that the compaction that was proposed has happened."""
        if self._proposed and compact_revision >= self._proposed:
            self._done, self._done_at = self._proposed, now - self._pause
            self._proposed = 0
