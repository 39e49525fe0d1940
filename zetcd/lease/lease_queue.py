"""Responsible for finding the leases that are due, cheaply while most of them are renewed in time.

A heap of (time, id) with lazy deletion. Moving a lease to a later time, which is what a keep-alive
does, only notes the new time; the stale item is put back when it comes to the top.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

from zetcd.scalars import LeaseID

#: Stale items that may remain beside the live ones before the heap is rebuilt.
_STALE_ITEMS_MAX: Final = 64


class LeaseQueue:
    """Leases by the time at which they are due, in seconds.

    Invariants:
        - Every id in ``_due`` has an item in the heap at or before its time.
        - The heap has at most twice as many items as there are ids, plus a few.
    """

    __slots__ = ("_due", "_heap", "_queued")

    def __init__(self) -> None:
        """Start empty."""
        #: When each lease is due.
        self._due: dict[LeaseID, float] = {}
        #: The earliest item of each lease in the heap.
        self._queued: dict[LeaseID, float] = {}
        self._heap: list[tuple[float, LeaseID]] = []

    def __len__(self) -> int:
        return len(self._due)

    def __contains__(self, lease: LeaseID) -> bool:
        return lease in self._due

    def push(self, lease: LeaseID, due: float) -> None:
        """Add a lease, or move it to another time."""
        self._due[lease] = due
        queued = self._queued.get(lease)
        if queued is None or due < queued:
            self._queued[lease] = due
            heappush(self._heap, (due, lease))
            self._rebuild_if_stale()

    def remove(self, lease: LeaseID) -> None:
        """Take a lease out, if it is in."""
        self._due.pop(lease, None)

    def clear(self) -> None:
        """Take all leases out."""
        self._due.clear()
        self._queued.clear()
        self._heap.clear()

    def next_due(self) -> float | None:
        """Return when the first lease is due, or None."""
        self._settle()
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: float, limit: int) -> list[LeaseID]:
        """Take out the leases that are due at ``now``, earliest first, at most ``limit``."""
        popped: list[LeaseID] = []
        while len(popped) < limit:
            self._settle()
            if not self._heap or self._heap[0][0] > now:
                break
            _, lease = heappop(self._heap)
            del self._queued[lease]
            del self._due[lease]
            popped.append(lease)
        return popped

    def check(self) -> None:
        """Assert the invariants."""
        items = set(self._heap)
        for lease, due in sorted(self._due.items()):
            queued = self._queued[lease]
            assert queued <= due, "an item would come too late"
            assert (queued, lease) in items, "a lease without an item"
        assert len(self._heap) <= 2 * len(self._due) + _STALE_ITEMS_MAX + 1

    def _settle(self) -> None:
        """Bring the heap into a state where its first item is a lease that is due at that time."""
        while self._heap:
            time, lease = self._heap[0]
            due = self._due.get(lease)
            is_current = self._queued.get(lease) == time
            if due == time and is_current:
                return
            heappop(self._heap)
            if not is_current:
                continue
            if due is None:
                del self._queued[lease]
            else:
                self._queued[lease] = due
                heappush(self._heap, (due, lease))

    def _rebuild_if_stale(self) -> None:
        """Drop stale items when they outnumber the leases."""
        if len(self._heap) <= 2 * len(self._due) + _STALE_ITEMS_MAX:
            return
        self._queued = dict(self._due)
        self._heap = [(due, lease) for lease, due in self._due.items()]
        heapify(self._heap)
