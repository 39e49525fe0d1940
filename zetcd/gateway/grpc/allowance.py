"""Responsible for counting what a peer may do often, but not forever: a token bucket."""

from __future__ import annotations


class Allowance:
    """Tokens that come back with time.

    Invariants:
        - 0 <= tokens <= burst, as of `spent_at`.
    """

    __slots__ = ("_burst", "_per_second", "_spent_at", "_tokens")

    def __init__(self, per_second: float, burst: float) -> None:
        """Start full."""
        self._per_second = per_second
        self._burst = burst
        self._tokens = float(burst)
        self._spent_at = 0.0

    def spend(self, count: float, now: float) -> bool:
        """Take ``count`` tokens; False: there are not so many."""
        refilled = self._tokens + max(now - self._spent_at, 0.0) * self._per_second
        self._spent_at = max(self._spent_at, now)
        self._tokens = min(refilled, self._burst)
        if self._tokens < count:
            return False
        self._tokens -= count
        return True

    def earn(self, count: float) -> None:
        """Add tokens for something useful, up to the burst at the next `spend`."""
        self._tokens += count
