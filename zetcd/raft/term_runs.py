"""Responsible for the term of every log index, in memory proportional to the number of terms."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from zetcd.messages.storage import TermRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zetcd.scalars import Index, Term


class TermRuns:
    """Maps the indexes of a log to their terms.

    A log's terms never decrease (Raft §5.3), so it is a few runs of equal terms:

    ::

        index   11 12 13 14 15 16         firsts  11 14 16
        term     2  2  2  5  5  6    =    terms    2  5  6

    Does not know where the log ends: callers ask only for indexes within it.

    Invariants: both lists have the same length, and both ascend strictly.
    """

    __slots__ = ("firsts", "terms")

    def __init__(self, runs: Sequence[TermRun] = ()) -> None:
        """Start with ``runs``, ascending."""
        self.firsts: list[Index] = [run.first_index for run in runs]
        self.terms: list[Term] = [run.term for run in runs]

    def term_at(self, index: Index) -> Term:
        """Return the term of ``index``, which must not lie before the first run."""
        firsts = self.firsts
        if index >= firsts[-1]:
            return self.terms[-1]
        place = bisect_right(firsts, index) - 1
        assert place >= 0, "index lies before the log"
        return self.terms[place]

    def append(self, index: Index, term: Term) -> None:
        """Note that ``index``, the new last one, has ``term``."""
        terms = self.terms
        if terms and terms[-1] == term:
            return
        assert not terms or (terms[-1] < term and self.firsts[-1] < index), (
            "terms must not decrease"
        )
        self.firsts.append(index)
        terms.append(term)

    def truncate_from(self, index: Index) -> None:
        """Forget ``index`` and everything behind it."""
        firsts = self.firsts
        while firsts and firsts[-1] >= index:
            firsts.pop()
            self.terms.pop()

    def drop_before(self, index: Index) -> None:
        """Forget everything before ``index``, which lies in a known run or just behind the log."""
        place = bisect_right(self.firsts, index) - 1
        if place < 0:
            return
        del self.firsts[:place]
        del self.terms[:place]
        self.firsts[0] = index

    def clear(self) -> None:
        """Forget everything."""
        self.firsts.clear()
        self.terms.clear()

    def last_at_most(self, index: Index, term: Term) -> Index:
        """Return the last position at or before ``index`` whose term is at most ``term``.

        Returns:
            The index, or the one just before the first run if there is none.
        """
        place = bisect_right(self.firsts, index) - 1
        while place >= 0 and self.terms[place] > term:
            index = self.firsts[place] - 1
            place -= 1
        return index

    def check(self) -> None:
        """Assert the invariants."""
        assert len(self.firsts) == len(self.terms)
        assert self.firsts == sorted(set(self.firsts)), "runs must ascend"
        assert self.terms == sorted(set(self.terms)), "terms must ascend"
