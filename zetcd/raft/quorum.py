"""Responsible for the arithmetic of majorities; knows ids and numbers, nothing of messages."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from zetcd.scalars import Index, NodeID


class VoteResult(IntEnum):
    """Outcome of an election so far."""

    #: Neither a majority of yes nor of no.
    PENDING = 0
    LOST = 1
    WON = 2


def majority(voters_count: int) -> int:
    """Return how many of ``voters_count`` are a majority; 1 for none, so that none never is."""
    return voters_count // 2 + 1


def committed_index(match_indexes: list[Index]) -> Index:
    """Return the highest index that a majority has; 0 without voters.

    Args:
        match_indexes: one for each voter, in any order; sorted in place.

    With the indexes sorted in descending order, the one at the place of the last voter of a
    majority is reached by all before it:

    >>> committed_index([5, 9, 2])
    5
    >>> committed_index([5, 9, 2, 2])
    2
    """
    if not match_indexes:
        return 0
    match_indexes.sort()
    return match_indexes[len(match_indexes) - majority(len(match_indexes))]


def vote_result(voters: Collection[NodeID], votes: Mapping[NodeID, bool]) -> VoteResult:
    """Return the outcome of ``votes``; answers of non-voters are ignored."""
    needed = majority(len(voters))
    granted = sum(1 for voter in voters if votes.get(voter) is True)
    if granted >= needed:
        return VoteResult.WON
    refused = sum(1 for voter in voters if votes.get(voter) is False)
    if len(voters) - refused < needed:
        return VoteResult.LOST
    return VoteResult.PENDING


def has_majority(voters: Collection[NodeID], present: Collection[NodeID]) -> bool:
    """Return whether ``present`` contains a majority of ``voters``."""
    return sum(1 for voter in voters if voter in present) >= majority(len(voters))
