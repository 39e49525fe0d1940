"""Responsible for deciding what a replay starts from, where it is compared, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from zetcd.mvcc.state import StoreState
from zetcd.scalars import Index, Term
from zetcd.wal.log_index import LogIndex


@dataclass(frozen=True, slots=True, order=True)
class Base:
    """A state of the tables that a replay can start from."""

    index: Index
    term: Term
    #: File name of the checkpoint; empty = the empty store.
    name: str = ""


#: Before the first entry there is nothing.
EMPTY_BASE = Base(0, 0)


class Comparison(Enum):
    """How the store and the replay can be compared."""

    #: Both stand at the same index: everything must be equal.
    EXACT = 1
    #: The store is ahead of the log: what both hold of the history must be equal.
    HISTORY = 2
    #: Not at all; the plan says why.
    NONE = 3


class Plan(NamedTuple):
    """What to replay."""

    #: None = no replay is possible.
    base: Base | None
    comparison: Comparison
    #: Index at which the store is compared.
    compare_index: Index = 0
    #: Index at which the replay ends.
    end_index: Index = 0
    #: Why there is no comparison or no replay.
    reason: str = ""
    is_corrupt: bool = False


def plan_replay(
    index: LogIndex, bases: Sequence[Base], state: StoreState | None, *, prefers_oldest: bool
) -> Plan:
    """Choose a base for the log, and where the store can be compared.

    Args:
        index: Of the log.
        bases: Checkpoints that have been verified, in any order.
        state: How far the store is; None = there is no store to compare.
        prefers_oldest: Replay as much as possible instead of as little.
    """
    commit = index.hard_state.commit
    usable = sorted(each for each in (EMPTY_BASE, *bases) if _leads_up_to(each, index))
    if not usable:
        return Plan(
            None,
            Comparison.NONE,
            reason=f"the log begins at index {index.first_index}, and no checkpoint leads up to it",
            is_corrupt=True,
        )
    reason = "there is no store to compare"
    if state is not None:
        applied = state.consistent_index
        below = [each for each in usable if each.index <= applied]
        if below:
            return _comparing_plan(index, below[0 if prefers_oldest else -1], state)
        reason = f"the store is at index {applied}, before every state that a replay can start from"
    base = usable[0 if prefers_oldest else -1]
    end = max(commit, base.index)
    return Plan(base, Comparison.NONE, end_index=end, reason=reason)


def _leads_up_to(base: Base, index: LogIndex) -> bool:
    """Return whether the log goes on where ``base`` ends."""
    if base.index < index.first_index - 1:
        return False
    # Above the commit index the log may hold entries that never happened: the base counts.
    return base.index > index.hard_state.commit or index.term_of(base.index) in (None, base.term)


def _comparing_plan(index: LogIndex, base: Base, state: StoreState) -> Plan:
    applied, commit = state.consistent_index, index.hard_state.commit
    term = base.term if applied == base.index else index.term_of(applied)
    if term == state.applied_term or applied == 0:
        # What is applied is committed, also where the log on disk does not say so yet.
        return Plan(base, Comparison.EXACT, applied, max(applied, commit))
    if applied <= commit:
        reason = (
            f"the store has applied index {applied} with term {state.applied_term}, "
            f"the committed entry there has term {term}"
        )
        return Plan(base, Comparison.NONE, end_index=commit, reason=reason, is_corrupt=True)
    end = max(commit, base.index)
    return Plan(base, Comparison.HISTORY, end, end)
