"""Responsible for when the operations of an open loop are due: evenly spaced, whatever the answers do.

Latency counts from the time when an operation was due. If it counted from when it was sent, a server that
stands still for a second would cost one slow request instead of all those that should have been sent
meanwhile (coordinated omission).
"""

from __future__ import annotations


class OpenLoop:
    """Hands out operations at a fixed rate."""

    def __init__(self, *, rate: float, start: float, until: float) -> None:
        """Plan ``rate`` operations a second from ``start`` on; none at ``until`` or later."""
        if rate <= 0:
            raise ValueError(f"rate must be positive, not {rate}")
        self._rate = rate
        self._start = start
        self._until = until
        self._number = 0

    @property
    def next_due(self) -> float | None:
        """Return when the next operation is due; None: there is none."""
        # From the number and not from the last time: sums of fractions drift.
        due = self._start + self._number / self._rate
        return due if due < self._until else None

    def take_due(self, now: float) -> list[float]:
        """Return the times of all operations that are due by now, each once."""
        taken: list[float] = []
        while (due := self.next_due) is not None and due <= now:
            taken.append(due)
            self._number += 1
        return taken
