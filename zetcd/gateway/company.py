"""Responsible for guessing whether a request that could leave now will soon have company.

Clients in closed loops send their next request as soon as they have an answer. Answers come in batches,
so the next requests trickle in one after the other, and the first of them would leave alone: batches of
one and of many would alternate, and everything behind the gateway is paid per batch. So after answers a
proposal, or a round of reads, waits until as many requests are there as usually follow, and never longer than
`GATHER_SECONDS` after the answers. A request that does not follow answers is not held up at all, and
neither is the only client: it is its own company.

    answers to 30 ──► 24 usually follow ──► 5 are here, 1 ms later: wait
                                        ──► 24 are here: leave
                                        ──► 11 are here, 4 ms later: leave, and expect fewer next time
"""

from __future__ import annotations

from typing import Final

#: Longest that answers let a later request wait for others, in seconds. A client needs a fraction of a
#: millisecond to send its next one, but on a machine whose cores all are busy clients are as slow as the rest:
#: with 2 ms batches of clients of gRPC were half as large there, with 8 ms hardly larger.
GATHER_SECONDS: Final = 0.004
#: Weight of what followed the newest answers in the share that is expected to.
_NEWEST_WEIGHT: Final = 0.25
#: Below this share it is not worth waiting: a batch would hardly grow.
_SHARE_MIN: Final = 0.25


class Company:
    """What one gateway has learnt about requests that follow answers."""

    def __init__(self) -> None:
        """Expect that every answer is followed by a request, until seen otherwise."""
        self._share = 1.0
        #: Answers of the window, 0 = none is open; and requests that have come since it opened.
        self._answers = 0
        self._arrivals = 0
        #: Monotonic seconds at which it closes, 0 = at most a window's length after the next question.
        self._until = 0.0

    def answered(self, count: int) -> None:
        """Note ``count`` answers: opens a window, or adds to the open one without making it longer."""
        if not self._answers:
            self._arrivals = 0
            self._until = 0.0
        self._answers += count

    def arrived(self) -> None:
        """Note a request."""
        self._arrivals += 1

    def is_expected(self, waiting: int, now: float) -> bool:
        """Say whether ``waiting`` requests should wait for more at ``now``, in monotonic seconds."""
        if not self._answers:
            return False
        if not self._until:
            self._until = now + GATHER_SECONDS
        if now >= self._until or self._arrivals >= self._answers:
            self._close()
            return False
        return self._is_worth_waiting(waiting)

    def _close(self) -> None:
        newest = min(1.0, self._arrivals / self._answers)
        self._share += (newest - self._share) * _NEWEST_WEIGHT
        self._answers = 0

    def leave_at(self, waiting: int) -> float:
        """Return when ``waiting`` requests leave if no more come, in monotonic seconds, 0 = at once."""
        return self._until if self._is_worth_waiting(waiting) else 0.0

    def _is_worth_waiting(self, waiting: int) -> bool:
        """Whether more requests than are there usually follow the answers of the open window."""
        return (
            self._arrivals < self._answers
            and self._share >= _SHARE_MIN
            and waiting < self._answers * self._share
        )
