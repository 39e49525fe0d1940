"""Responsible for counting observations into buckets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from zetcd.metrics.definitions import DEFINITIONS


class Histogram:
    """Counts by size; a plain class with slots: one is touched for every fdatasync or tick."""

    __slots__ = ("_bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        """Start empty; ``bounds`` ascend."""
        self._bounds = tuple(bounds)
        #: Observations in each bucket, not added up; the last one is above all bounds.
        self.counts = [0] * (len(self._bounds) + 1)
        self.sum = 0.0

    @classmethod
    def of(cls, name: str) -> Histogram:
        """Return an empty histogram with the buckets of a metric."""
        return cls(DEFINITIONS[name].buckets)

    def observe(self, value: float) -> None:
        """Count a value; a bucket holds what is at most its bound."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value
