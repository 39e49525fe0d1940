"""Responsible for judging, by their silence, whether wal and apply of this node do their work.

Raft lives in a process of its own, so it can be well while the two that make a member useful are not: dead,
stopped by a signal, stuck. Whatever they say shows that they live. One that has said nothing for a while is
asked; one question at a time, so that a stopped process finds one, not a pile, when it wakes up.

* apply never waits for a disk: silent for an election timeout, it counts as stuck.
* wal waits for fdatasync, and a slow disk is no reason to hand over: a leader commits through its
  followers. So its silence counts after an election timeout only if its process is stopped or gone, which
  the caller finds out; else when it is twice as long as a write may wait for the disk. (The core
  itself counts how long writes wait, see `fitness`; this is for a wal that is stuck without one.)

Time is counted in ticks of this process: a pause of raft itself is not taken for the silence of others.

Must never be used to decide what is durable or applied.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from zetcd.scalars import Ticks


class Silence:
    """How long one neighbour has said nothing.

    Invariant: at most one question is unanswered.
    """

    __slots__ = ("_ask_ticks", "is_asked", "ticks")

    def __init__(self, ask_ticks: Ticks) -> None:
        """Begin as if it had just been heard; ask after ``ask_ticks``."""
        self._ask_ticks = ask_ticks
        #: Since it was heard.
        self.ticks: Ticks = 0
        self.is_asked = False

    def heard(self) -> None:
        """Note that it has said something."""
        self.ticks = 0
        self.is_asked = False

    def restarted(self) -> None:
        """Note a new process in its place, which was asked nothing and has yet to show that it works."""
        self.is_asked = False

    def tick(self) -> bool:
        """Let one tick pass; return whether to ask now."""
        self.ticks += 1
        is_due = self.ticks >= self._ask_ticks and not self.is_asked
        self.is_asked = self.is_asked or is_due
        return is_due


class Questions(NamedTuple):
    """Whom to ask."""

    wal: bool
    apply: bool


class Liveness:
    """The silences of wal and apply, and what follows from them."""

    def __init__(self, *, silence_ticks_max: Ticks, unstable_ticks_max: Ticks) -> None:
        """Start with both just heard.

        Args:
            silence_ticks_max: an election timeout.
            unstable_ticks_max: for so long a write may wait for the disk.
        """
        ask_ticks = max(1, silence_ticks_max // 4)
        self._silence_ticks_max = silence_ticks_max
        self._wal_ticks_max = max(silence_ticks_max, 2 * unstable_ticks_max)
        self.wal = Silence(ask_ticks)
        self.apply = Silence(ask_ticks)

    def tick(self) -> Questions:
        """Let one tick pass."""
        return Questions(self.wal.tick(), self.apply.tick())

    def complaint(self, is_wal_stopped: Callable[[], bool]) -> str:
        """Return why this member cannot do a leader's work; empty = it can.

        Args:
            is_wal_stopped: says whether the process of wal is stopped or gone; called only in doubt.
        """
        if self.apply.ticks >= self._silence_ticks_max:
            return "apply is silent"
        if self.wal.ticks >= self._wal_ticks_max:
            return "wal is silent"
        if self.wal.ticks >= self._silence_ticks_max and is_wal_stopped():
            return "wal is stopped"
        return ""
