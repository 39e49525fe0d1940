"""Responsible for saying from the members' hashes whether they agree, and who does not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from enum import Enum
from typing import Final, NamedTuple

from zetcd.scalars import NodeID, Revision

#: In an alarm: it is not known which member is wrong.
UNKNOWN_MEMBER: Final[NodeID] = 0


class MemberHash(NamedTuple):
    """What a member answered; all of one revision."""

    member_id: NodeID
    hash: int
    #: Which changes the hash leaves out.
    compact_revision: Revision


class Outcome(Enum):
    """What a comparison showed."""

    EQUAL = "equal"
    DIFFERENT = "different"
    #: Made with different compact revisions: says nothing.
    INCOMPARABLE = "incomparable"


class Comparison(NamedTuple):
    """The result of `compare_hashes`."""

    outcome: Outcome
    #: Members whose history is wrong, ascending; `UNKNOWN_MEMBER` alone if nobody can tell.
    suspects: tuple[NodeID, ...] = ()


def compare_hashes(hashes: Sequence[MemberHash], voters: Collection[NodeID]) -> Comparison:
    """Compare hashes of one revision.

    Args:
        hashes: One of each member that answered.
        voters: All voters, answered or not: what most of them hold counts as right.
    """
    groups: dict[Revision, list[MemberHash]] = {}
    for each in hashes:
        groups.setdefault(each.compact_revision, []).append(each)
    suspects: dict[NodeID, None] = {}
    for group in groups.values():
        suspects.update(dict.fromkeys(_suspects(group, voters)))
    if suspects:
        return Comparison(Outcome.DIFFERENT, tuple(sorted(suspects)))
    return Comparison(Outcome.EQUAL if len(groups) <= 1 else Outcome.INCOMPARABLE)


def _suspects(group: Sequence[MemberHash], voters: Collection[NodeID]) -> tuple[NodeID, ...]:
    """Return who differs among hashes that can be compared."""
    if len({each.hash for each in group}) == 1:
        return ()
    votes = Counter(each.hash for each in group if each.member_id in voters)
    for value, count in votes.items():
        if count * 2 > len(voters):
            return tuple(each.member_id for each in group if each.hash != value)
    return (UNKNOWN_MEMBER,)
