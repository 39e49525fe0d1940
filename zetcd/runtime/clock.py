"""Responsible for telling the time; the only place that asks the operating system for it.

Monotonic time decides, wall time is for display only: a clock that is stepped must not expire a
lease or start an election.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A source of time."""

    def now(self) -> float:
        """Return monotonic seconds; comparable only within one boot of one machine."""
        ...


class SystemClock:
    """The operating system's monotonic clock."""

    def now(self) -> float:
        """Return CLOCK_MONOTONIC in seconds."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to; for tests and simulation."""

    def __init__(self, start: float = 0.0) -> None:
        """Start at ``start`` seconds."""
        self.seconds = start

    def now(self) -> float:
        """Return the seconds last set."""
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Move forward by ``seconds`` (not negative)."""
        assert seconds >= 0
        self.seconds += seconds
