"""Responsible for many deadlines of which few ever fall due: each is two dictionary entries.

Deadlines are rounded up to a slot: 50 ms when near, coarser when further than a minute or an hour.
A client watches its own deadline exactly; the server's only frees what nobody waits for any more.
"""

from __future__ import annotations

import heapq
from typing import Final, Generic, TypeVar

T = TypeVar("T")

_SLOTS_PER_SECOND: Final = 20
_MINUTE: Final = 60 * _SLOTS_PER_SECOND
_HOUR: Final = 60 * _MINUTE
#: Further deadlines are as good as none.
_HORIZON: Final = 30 * 24 * _HOUR


class TimerWheel(Generic[T]):
    """Items by the slot in which they fall due.

    Invariants:
        - `_heap` holds the number of every slot in `_slots` exactly once.
        - An item is found under the slot that `add` returned until it is removed or taken.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._slots: dict[int, dict[int, T]] = {}
        self._heap: list[int] = []

    def add(self, key: int, item: T, at: float, now: float) -> int:
        """Let ``item`` fall due at ``at``; returns its slot, which `remove` needs."""
        slot = int(at * _SLOTS_PER_SECOND) + 1
        distance = slot - int(now * _SLOTS_PER_SECOND)
        if distance > _MINUTE:
            distance = min(distance, _HORIZON)
            grain = _SLOTS_PER_SECOND if distance <= _HOUR else _MINUTE
            slot = -(-(int(now * _SLOTS_PER_SECOND) + distance) // grain) * grain
        items = self._slots.get(slot)
        if items is None:
            items = self._slots[slot] = {}
            heapq.heappush(self._heap, slot)
        items[key] = item
        return slot

    def remove(self, key: int, slot: int) -> None:
        """Forget an item that may already have been taken."""
        items = self._slots.get(slot)
        if items is not None:
            items.pop(key, None)

    def take_due(self, now: float) -> list[T]:
        """Return and forget what is due, in order of slots."""
        due: list[T] = []
        current = int(now * _SLOTS_PER_SECOND)
        while self._heap and self._heap[0] <= current:
            due.extend(self._slots.pop(heapq.heappop(self._heap)).values())
        return due

    def next_due(self) -> float | None:
        """Return when `take_due` may next have something; None: never."""
        while self._heap and not self._slots[self._heap[0]]:
            del self._slots[heapq.heappop(self._heap)]
        return self._heap[0] / _SLOTS_PER_SECOND if self._heap else None
