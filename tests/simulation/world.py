"""Responsible for simulated time: a queue of events, one source of randomness per concern, the trace.

Everything that happens is an event of this queue, and everything random comes from the seed, so the
same seed gives the same run, event for event.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from heapq import heappop, heappush

from zetcd.runtime.clock import ManualClock


class Violation(AssertionError):
    """A promise was broken."""


class World:
    """Time, chance and the record of what happened."""

    def __init__(self, seed: int, *, is_traced: bool = False) -> None:
        self.seed = seed
        self.clock = ManualClock()
        #: Events so far; orders what happens at the same moment.
        self.step = 0
        self._scheduled = 0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._is_traced = is_traced
        self._digest = hashlib.blake2b(digest_size=16)
        self.counts: dict[str, int] = {}

    @property
    def now(self) -> float:
        return self.clock.seconds

    def rng(self, concern: str) -> random.Random:
        """Return the randomness of one concern: another draw elsewhere does not change it."""
        return random.Random(f"{self.seed}/{concern}")

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Let ``action`` happen at ``time``."""
        self._scheduled += 1
        now = self.clock.seconds
        heappush(self._events, (max(now, time), self._scheduled, action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Let ``action`` happen in ``seconds``."""
        self.at(self.now + seconds, action)

    def run_until(self, time: float, is_done: Callable[[], bool] | None = None) -> bool:
        """Let everything happen up to ``time``, or until ``is_done``; return whether it was."""
        events, clock = self._events, self.clock
        while events and events[0][0] <= time:
            clock.seconds, _, action = heappop(events)
            self.step += 1
            action()
            if is_done is not None and is_done():
                return True
        self.clock.seconds = max(self.now, time)
        return False

    def note(self, kind: str, text: str) -> None:
        """Record what happened: counted, in the digest, and shown if the run is traced."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        self._digest.update(f"{self.now!r} {kind} {text}\n".encode())
        if self._is_traced:
            print(f"{self.now:10.6f} {kind:<10} {text}")

    def note_bytes(self, content: bytes) -> None:
        """Add bytes to the digest only."""
        self._digest.update(content)

    @property
    def digest(self) -> str:
        """The trace in 16 bytes; equal digests, equal runs."""
        return self._digest.hexdigest()


class NodeClock:
    """The monotonic clock of one machine: starts anywhere, and anew when the machine does."""

    def __init__(self, world: World, offset: float) -> None:
        self._world = world
        self.offset = offset

    def now(self) -> float:
        return self._world.clock.seconds + self.offset
