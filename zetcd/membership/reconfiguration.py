"""Responsible for saying whether the leader may propose a change of one member, and why not.

Errors and their order are etcd's. Two things are meant as there and measured otherwise: a member is
*connected* if the leader has heard it within an election timeout (etcd: if a stream to it has been open
for 5 s), and *started* once it has published its name.

Must never change anything: what is allowed here takes effect through the log only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from zetcd.errors import (
    LearnerNotReady,
    MemberBadURLs,
    MemberExist,
    MemberNotEnoughStarted,
    MemberNotFound,
    MemberNotLearner,
    PeerURLExist,
    TooManyLearners,
    Unhealthy,
)
from zetcd.messages.cluster import Member
from zetcd.messages.codec import decoder_of
from zetcd.messages.raft import ConfChange, ConfChangeType
from zetcd.scalars import Index, NodeID

_MEMBER_DECODER: Final = decoder_of(Member)
#: A learner whose log is so much of the leader's, in percent, is in sync with it (etcd).
_IN_SYNC_PERCENT: Final = 90


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration of the leader says."""

    #: etcd's ``strict-reconfig-check``: refuse what would endanger the quorum.
    is_strict: bool
    #: etcd's ``max-learners``.
    learners_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the leader knows when it decides; every change before this one is in it."""

    members: tuple[Member, ...]
    #: Ids that were removed.
    removed: tuple[NodeID, ...]
    #: This member.
    leader: NodeID
    #: Other members that it has heard lately.
    connected: frozenset[NodeID]
    #: Up to where the log of each other member matches.
    matches: Mapping[NodeID, Index]
    last_index: Index

    def member(self, node_id: NodeID) -> Member | None:
        """Return the member with this id, if there is one."""
        return next((each for each in self.members if each.id == node_id), None)

    def voters(self) -> list[Member]:
        """Return those who count in quorums."""
        return [each for each in self.members if not each.is_learner]


def check(change: ConfChange, standing: Standing, rules: Rules) -> None:
    """Say nothing if ``change`` may be proposed.

    Raises:
        ZetcdError: why not, in etcd's words.
    """
    if change.type is ConfChangeType.REMOVE_NODE:
        _check_removal(change.node_id, standing, rules)
    elif change.type is ConfChangeType.UPDATE_NODE:
        if standing.member(change.node_id) is None:
            raise MemberNotFound
        _check_urls(change, standing)
    elif change.context:
        _check_addition(change, standing, rules)
    else:
        _check_promotion(change.node_id, standing, rules)


def _check_addition(change: ConfChange, standing: Standing, rules: Rules) -> None:
    """Check a new member; it counts as not connected until it has shown otherwise."""
    is_learner = change.type is ConfChangeType.ADD_LEARNER
    if rules.is_strict and not is_learner:
        voters = standing.voters()
        started = _started_count(voters)
        # One voter may become two: how else would a cluster begin to grow.
        if not (started == 1 and len(voters) == 1):
            _require_started(started, len(voters) + 1)
            _require_connected(_connected_count(voters, standing), len(voters) + 1)
    if standing.member(change.node_id) is not None:
        raise MemberExist
    if change.node_id in standing.removed:
        raise MemberNotFound(f"the id {change.node_id:x} was removed and cannot come back")
    _check_urls(change, standing)
    if is_learner:
        count = sum(each.is_learner for each in standing.members)
        if count >= rules.learners_max:
            raise TooManyLearners(f"{count}, at most {rules.learners_max} are allowed")


def _check_urls(change: ConfChange, standing: Standing) -> None:
    """Refuse URLs that are none, or another member's."""
    urls = _MEMBER_DECODER.decode(change.context).peer_urls if change.context else ()
    if not urls:
        raise MemberBadURLs("there is none")
    for other in standing.members:
        for url in other.peer_urls:
            if other.id != change.node_id and url in urls:
                raise PeerURLExist(f"{url} is a peer URL of member {other.id:x}")


def _check_promotion(node_id: NodeID, standing: Standing, rules: Rules) -> None:
    member = standing.member(node_id)
    if member is None:
        raise MemberNotFound
    match = standing.last_index if node_id == standing.leader else standing.matches.get(node_id, 0)
    if match * 100 < standing.last_index * _IN_SYNC_PERCENT:
        raise LearnerNotReady(f"it has {match} of {standing.last_index} entries")
    voters = standing.voters()
    if rules.is_strict and member.is_learner:
        _require_started(_started_count(voters) + 1, len(voters) + 1)
    if not member.is_learner:
        raise MemberNotLearner


def _check_removal(node_id: NodeID, standing: Standing, rules: Rules) -> None:
    member = standing.member(node_id)
    if member is None:
        raise MemberNotFound
    if member.is_learner:
        return
    rest = [each for each in standing.voters() if each.id != node_id]
    if not rest:
        # Strict or not: nobody would be left to remember anything.
        raise MemberNotEnoughStarted("it is the last voting member")
    if not rules.is_strict:
        return
    _require_started(_started_count(rest), len(rest))
    if node_id == standing.leader or node_id in standing.connected:
        _require_connected(_connected_count(rest, standing), len(rest))


def _started_count(voters: list[Member]) -> int:
    return sum(bool(each.name) for each in voters)


def _connected_count(voters: list[Member], standing: Standing) -> int:
    """Return how many of ``voters`` are there: the leader itself, and whom it hears."""
    return sum(each.id == standing.leader or each.id in standing.connected for each in voters)


def _quorum(voters_count: int) -> int:
    return voters_count // 2 + 1


def _require_started(started: int, voters_count: int) -> None:
    quorum = _quorum(voters_count)
    if started < quorum:
        raise MemberNotEnoughStarted(
            f"{started} of {voters_count} would be started, {quorum} must be"
        )


def _require_connected(connected: int, voters_count: int) -> None:
    quorum = _quorum(voters_count)
    if connected < quorum:
        raise Unhealthy(f"{connected} of {voters_count} would be connected, {quorum} must be")
