"""Responsible for making reads linearizable: one ReadIndex for all reads that arrived before it.

A round's index is asked for after each of its reads has arrived, so reading once that index is
applied sees everything acknowledged before the read began (Raft §8). Reads that arrive while a
round is on its way collect for the next one: joining it could miss a write that was acknowledged in
between. After answers the next round waits a moment for the reads that usually follow them (`Company`).

    collecting --take--> round --result--> waiting for apply --reached--> served

Invariants
    - Every request to raft, a repetition too, has an id of its own: an answer delayed by a paused
      process can never be taken for the answer to a later question.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from zetcd.gateway.company import Company
from zetcd.gateway.pending import Pending
from zetcd.messages.node import ReadIndex, ReadIndexResult
from zetcd.scalars import Index

#: A round that raft refused (no leader, leader changed) is asked again.
RETRY_SECONDS: Final = 0.02


@dataclass(slots=True)
class _Round:
    """The reads that one index answers."""

    pendings: list[Pending]
    #: Every one of these was asked after the last read had arrived.
    request_ids: list[int] = field(default_factory=list)
    ask_at: float = 0.0


class ReadRounds:
    """The linearizable reads of one gateway that do not have an index yet."""

    def __init__(self, resend_seconds: float) -> None:
        """Start empty; a round without an answer is asked again after ``resend_seconds``."""
        self._resend_seconds = resend_seconds
        self._collecting: list[Pending] = []
        self._company = Company()
        self._round: _Round | None = None
        self._last_request_id = 0
        #: Figures for status.
        self.rounds_count = 0
        self.repeated_count = 0

    def add(self, pending: Pending) -> None:
        """Let a read take part in the next round."""
        self._collecting.append(pending)
        self._company.arrived()

    def take(self, now: float) -> ReadIndex | None:
        """Return the question that is due now."""
        current = self._round
        if current is not None and now < current.ask_at:
            return None
        if current is None or not any(pending.is_open for pending in current.pendings):
            current = self._next_round(now)
            if current is None:
                return None
        self.repeated_count += bool(current.request_ids)
        self._last_request_id += 1
        current.request_ids.append(self._last_request_id)
        current.ask_at = now + self._resend_seconds
        return ReadIndex(self._last_request_id)

    def _next_round(self, now: float) -> _Round | None:
        """Return what has collected, None = nothing, or others are expected to join it."""
        self._round = None
        if self._company.is_expected(len(self._collecting), now):
            return None
        pendings = [pending for pending in self._collecting if pending.is_open]
        self._collecting = []
        self._round = _Round(pendings) if pendings else None
        self.rounds_count += bool(pendings)
        return self._round

    def result(self, result: ReadIndexResult, now: float) -> tuple[Index, list[Pending]] | None:
        """Consume raft's answer; returns the index and who may read once it is applied."""
        current = self._round
        if current is None or result.request_id not in current.request_ids:
            return None
        if result.error:
            # An answer to an earlier repetition says nothing about the newest one.
            if result.request_id == current.request_ids[-1]:
                current.ask_at = now + RETRY_SECONDS
            return None
        self._round = None
        self._company.answered(len(current.pendings))
        return result.index, current.pendings

    def ask_again(self, now: float) -> None:
        """Repeat the question at once: raft has restarted or has a new leader."""
        if self._round is not None:
            self._round.ask_at = now

    def wake_at(self) -> float:
        """Return when `take` has something to do, infinity = never without input."""
        if self._round is not None:
            return self._round.ask_at
        if not self._collecting:
            return float("inf")
        return self._company.leave_at(len(self._collecting))
