"""Responsible for latencies in a small, mergeable form: counts in buckets of bounded relative width.

Exact below 256 µs, then 128 buckets for each power of two: no value is off by more than 0.8 %. The rule
is the same as in ``bench/peers/loadgen/histogram.go``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import msgspec

_EXACT_BITS = 8
_PER_DOUBLED = 1 << (_EXACT_BITS - 1)


def bucket_of(value: int) -> int:
    """Return the bucket that counts ``value``."""
    shift = value.bit_length() - _EXACT_BITS
    return value if shift <= 0 else shift * _PER_DOUBLED + (value >> shift)


def bounds_of(bucket: int) -> tuple[int, int]:
    """Return the least and the greatest value of a bucket."""
    shift = max(0, bucket // _PER_DOUBLED - 1)
    low = (bucket - shift * _PER_DOUBLED) << shift
    return low, low + (1 << shift) - 1


class Buckets(msgspec.Struct, frozen=True):
    """A histogram as it is written: pairs of bucket and count, ascending."""

    counts: tuple[tuple[int, int], ...] = ()
    max: int = 0


class Histogram:
    """Counts microseconds."""

    def __init__(self, buckets: Buckets = Buckets()) -> None:  # noqa: B008 - frozen
        self._counts = dict(buckets.counts)
        self.max = buckets.max

    @classmethod
    def merged(cls, parts: Iterable[Buckets]) -> Self:
        """Return one histogram of all."""
        whole = cls()
        for part in parts:
            whole.add(part)
        return whole

    @property
    def count(self) -> int:
        """Return how many values were recorded."""
        return sum(self._counts.values())

    def record(self, microseconds: int) -> None:
        """Count one value; a negative one counts as 0."""
        value = max(0, microseconds)
        bucket = bucket_of(value)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.max = max(self.max, value)

    def add(self, other: Buckets) -> None:
        """Count everything that another has counted."""
        for bucket, count in other.counts:
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.max = max(self.max, other.max)

    def buckets(self) -> Buckets:
        """Return what was counted."""
        return Buckets(tuple(sorted(self._counts.items())), self.max)

    def percentile(self, share: float) -> int | None:
        """Return the least value that ``share`` of the recorded ones do not exceed; None if it is not known.

        Fewer than ten values beyond it would make it a matter of luck: the median needs 20 values, the
        99th percentile 1,000, the 99.9th 10,000.
        """
        count = self.count
        if count * (1 - share) < 10 - 1e-6:
            return None
        return self.value_at(share)

    def value_at(self, share: float) -> int:
        """Return the same from however few values; 0 if there is none."""
        rank, seen = max(1, -int(-self.count * share // 1)), 0
        for bucket, count in sorted(self._counts.items()):
            seen += count
            if seen >= rank:
                return min(bounds_of(bucket)[1], self.max)
        return 0

    def mean(self) -> float:
        """Return the mean, from the middle of each bucket."""
        total = sum(sum(bounds_of(bucket)) / 2 * count for bucket, count in self._counts.items())
        return total / self.count if self._counts else 0.0
