"""Responsible for sets of key ranges; used to find keys that a transaction writes twice."""

from __future__ import annotations

from bisect import bisect_right

from zetcd.mvcc.index_key import TO_END


class IntervalSet:
    """A union of ranges ``[start, end)``, kept sorted and disjoint.

    Invariants:
        - ``_starts`` is ascending; range i ends at or before the start of range i + 1.
        - An end of None is the end of the key space; only the last range has it.
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self) -> None:
        """Start empty."""
        self._starts: list[bytes] = []
        self._ends: list[bytes | None] = []

    def add(self, key: bytes, range_end: bytes) -> None:
        """Add the range of a request: ``range_end`` b"" = one key, a zero byte = to the end."""
        if not range_end:
            self._insert(key, key + b"\0")
        elif range_end == TO_END:
            self._insert(key, None)
        elif key < range_end:
            self._insert(key, range_end)

    def update(self, other: IntervalSet) -> None:
        """Add every range of ``other``."""
        for start, end in zip(other._starts, other._ends, strict=True):
            self._insert(start, end)

    def covers(self, key: bytes) -> bool:
        """Return whether ``key`` lies in one of the ranges."""
        position = bisect_right(self._starts, key) - 1
        if position < 0:
            return False
        end = self._ends[position]
        return end is None or key < end

    def _insert(self, start: bytes, end: bytes | None) -> None:
        """Add a range, swallowing those that it touches."""
        low = bisect_right(self._starts, start)
        if low > 0:
            before = self._ends[low - 1]
            if before is None or before >= start:
                low -= 1
                start = self._starts[low]
        high = low
        while high < len(self._starts) and (end is None or self._starts[high] <= end):
            other = self._ends[high]
            if end is not None and (other is None or other > end):
                end = other
            high += 1
        self._starts[low:high] = [start]
        self._ends[low:high] = [end]
