"""Responsible for one comparison of all members: whom to ask, whom to give up, what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from zetcd.divergence.comparison import Comparison, MemberHash, Outcome, compare_hashes
from zetcd.messages.cluster import Member
from zetcd.messages.node import HashAnswer, HashProgress, HashQuery
from zetcd.scalars import NodeID, RequestID, Revision

#: A query without a final answer is repeated.
REPEAT_SECONDS: Final = 1.0
#: A member that says nothing for so long is given up; its snapshot actor may be busy for a while.
SILENT_SECONDS_MAX: Final = 15.0
#: A member that has not applied the revision after so long is given up.
BEHIND_SECONDS_MAX: Final = 60.0
#: Nobody is waited for longer than this, however busy.
ROUND_SECONDS_MAX: Final = 1800.0


class RoundResult(NamedTuple):
    """What a round has shown."""

    revision: Revision
    comparison: Comparison
    #: (member, reason) of everybody whose hash is missing, by member.
    failures: tuple[tuple[NodeID, str], ...]
    #: Members whose hashes were compared.
    compared_count: int

    @property
    def is_passed(self) -> bool:
        """Every member holds the same; anything less is not passed."""
        return not self.failures and self.comparison.outcome is Outcome.EQUAL

    @property
    def deserves_repetition(self) -> bool:
        """A compaction came in between: the next try will most likely succeed."""
        is_incomparable = self.comparison.outcome is Outcome.INCOMPARABLE
        return is_incomparable or any(reason == _COMPACTED for _, reason in self.failures)


_COMPACTED: Final = "its history was compacted meanwhile"


@dataclass(slots=True)
class _Asked:
    """One member in a round."""

    ask_at: float
    #: When it last said anything, at first when the round began.
    heard_at: float
    #: Since when it says that it is behind; infinity = it does not.
    behind_since: float = float("inf")
    answer: MemberHash | None = None
    failure: str = ""

    @property
    def is_over(self) -> bool:
        return self.answer is not None or bool(self.failure)


class Round:
    """One comparison at one revision; ends with a `RoundResult`.

    Invariant: every member has an answer, or a failure, or will be asked again.
    """

    __slots__ = ("_asked", "_end_at", "_node_id", "_round_id", "_voters", "revision")

    def __init__(
        self,
        node_id: NodeID,
        round_id: RequestID,
        revision: Revision,
        members: Sequence[Member],
        now: float,
    ) -> None:
        """Compare the history of ``members`` (``node_id`` among them) up to ``revision``."""
        self._node_id = node_id
        self._round_id = round_id
        self.revision = revision
        self._asked = {each.id: _Asked(now, now) for each in sorted(members, key=_id_of)}
        self._voters = tuple(sorted(each.id for each in members if not each.is_learner))
        self._end_at = now + ROUND_SECONDS_MAX

    def step(self, answer: HashAnswer, now: float) -> None:
        """Take an answer; one to another round says nothing."""
        asked = self._asked.get(answer.sender)
        if answer.round_id != self._round_id or asked is None or asked.is_over:
            return
        asked.heard_at = now
        if answer.progress is HashProgress.DONE:
            asked.answer = MemberHash(answer.sender, answer.hash, answer.compact_revision)
        elif answer.progress is HashProgress.COMPACTED:
            asked.failure = _COMPACTED
        elif answer.progress is HashProgress.BEHIND:
            asked.behind_since = min(asked.behind_since, now)
        else:
            asked.behind_since = float("inf")

    def queries(self, now: float) -> list[HashQuery]:
        """Give up whom nobody should wait for, and return what is to be asked now."""
        queries: list[HashQuery] = []
        for member_id, asked in self._asked.items():
            if asked.is_over:
                continue
            asked.failure = self._reason_to_give_up(asked, now)
            if not asked.failure and asked.ask_at <= now:
                asked.ask_at = now + REPEAT_SECONDS
                query = HashQuery(self._node_id, member_id, self._round_id, self.revision)
                queries.append(query)
        return queries

    def _reason_to_give_up(self, asked: _Asked, now: float) -> str:
        if now - asked.heard_at >= SILENT_SECONDS_MAX:
            return f"it did not answer for {SILENT_SECONDS_MAX:.0f} s"
        if now - asked.behind_since >= BEHIND_SECONDS_MAX:
            return f"it was behind revision {self.revision} for {BEHIND_SECONDS_MAX:.0f} s"
        if now >= self._end_at:
            return f"it was not done after {ROUND_SECONDS_MAX:.0f} s"
        return ""

    def result(self) -> RoundResult | None:
        """Return what came of it, None while somebody is waited for."""
        if not all(asked.is_over for asked in self._asked.values()):
            return None
        hashes = [each.answer for each in self._asked.values() if each.answer is not None]
        failures = [(key, each.failure) for key, each in self._asked.items() if each.failure]
        comparison = compare_hashes(hashes, self._voters)
        return RoundResult(self.revision, comparison, tuple(failures), len(hashes))

    def wake_at(self) -> float:
        """Return when `queries` has something to do."""
        due = (each.ask_at for each in self._asked.values() if not each.is_over)
        return min(due, default=0.0)


def _id_of(member: Member) -> NodeID:
    return member.id
