"""Responsible for when rounds begin, and for remembering what came of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from zetcd.divergence.comparison import Outcome
from zetcd.divergence.round import RoundResult

#: Rounds spread over this share of the interval, so that clusters on one disk do not hash together.
JITTER_SHARE: Final = 0.25
#: A round that a compaction has spoilt is repeated after this long, and so often.
REPEAT_PAUSE_SECONDS: Final = 1.0
REPETITIONS_MAX: Final = 3


class RandomSource(Protocol):
    """Where the spread of rounds comes from; `random.Random` is one."""

    def random(self) -> float:
        """Return a number in [0, 1)."""


@dataclass(slots=True)
class Tally:
    """Rounds of this process, for status."""

    passed: int = 0
    #: Somebody's hash was missing or could not be compared.
    failed: int = 0
    different: int = 0
    #: What came of the last round, for people; empty = there was none.
    last: str = ""


class Schedule:
    """Says when the leader begins a round.

    Invariant: rounds begin only while leading, at least ``interval_seconds`` less the jitter after
    the last one ended, apart from repetitions.
    """

    __slots__ = ("_interval_seconds", "_repetitions", "_rng", "next_at", "tally")

    def __init__(self, interval_seconds: float, rng: RandomSource) -> None:
        """Start without leading; an interval of 0 means never."""
        self._interval_seconds = interval_seconds
        self._rng = rng
        self._repetitions = 0
        #: When the next round begins; infinity = not leading, off, or one is under way.
        self.next_at = float("inf")
        self.tally = Tally()

    def lead(self, now: float) -> None:
        """Begin to lead: the first round comes after one interval."""
        self._repetitions = 0
        self._plan(now)

    def stop(self) -> None:
        """Begin nothing: not leading any more, or a round is under way."""
        self.next_at = float("inf")

    def skip(self, now: float) -> None:
        """Plan the next round without this one: there is nobody to compare with."""
        self.tally.last = "alone"
        self._plan(now)

    def finished(self, result: RoundResult, now: float) -> None:
        """Count a round and plan the next one."""
        tally = self.tally
        if result.deserves_repetition and self._repetitions < REPETITIONS_MAX:
            self._repetitions += 1
            self.next_at = now + REPEAT_PAUSE_SECONDS
            if result.comparison.outcome is not Outcome.DIFFERENT:
                return
        else:
            self._repetitions = 0
            self._plan(now)
        tally.last = describe(result)
        if result.comparison.outcome is Outcome.DIFFERENT:
            tally.different += 1
        elif result.is_passed:
            tally.passed += 1
        else:
            tally.failed += 1

    def _plan(self, now: float) -> None:
        if not self._interval_seconds:
            self.next_at = float("inf")
            return
        share = 1 + JITTER_SHARE * (2 * self._rng.random() - 1)
        self.next_at = now + self._interval_seconds * share


def describe(result: RoundResult) -> str:
    """Return what came of a round in a few words."""
    where = f"at revision {result.revision}"
    failures = [f"{member_id:016x}: {reason}" for member_id, reason in result.failures]
    if result.comparison.outcome is Outcome.DIFFERENT:
        suspects = [f"{each:016x}" if each else "unknown" for each in result.comparison.suspects]
        return f"DIFFERENT {where}, member {', '.join(suspects)}"
    if result.is_passed:
        return f"passed {where}, {result.compared_count} members"
    return f"failed {where}: {'; '.join(failures) or 'compact revisions differ'}"
