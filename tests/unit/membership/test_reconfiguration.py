"""Which changes of the membership the leader may propose, and etcd's reason if not."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

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
    ZetcdError,
)
from zetcd.membership import Rules, Standing, check
from zetcd.messages.cluster import Member
from zetcd.messages.codec import encode
from zetcd.messages.raft import ConfChange, ConfChangeType

STRICT = Rules(is_strict=True, learners_max=1)
LAX = Rules(is_strict=False, learners_max=1)
NEW = 9


def voters(*ids: int) -> tuple[Member, ...]:
    return tuple(Member(each, f"node{each}", (f"tcp://h:{each}",)) for each in ids)


def learner(node_id: int) -> Member:
    return Member(node_id, f"node{node_id}", (f"tcp://h:{node_id}",), is_learner=True)


def standing(
    members: tuple[Member, ...],
    connected: set[int] | None = None,
    *,
    matches: dict[int, int] | None = None,
    removed: tuple[int, ...] = (),
    last_index: int = 100,
) -> Standing:
    """What member 1 knows as the leader; by default it hears everybody, and all are in sync."""
    ids = {each.id for each in members} - {1}
    return Standing(
        members=members,
        removed=removed,
        leader=1,
        connected=frozenset(ids if connected is None else connected),
        matches=dict.fromkeys(ids, last_index) | (matches or {}),
        last_index=last_index,
    )


def add(*urls: str, is_learner: bool = False, node_id: int = NEW) -> ConfChange:
    kind = ConfChangeType.ADD_LEARNER if is_learner else ConfChangeType.ADD_NODE
    return ConfChange(kind, node_id, encode(Member(node_id, "", urls or ("tcp://h:9",))))


def remove(node_id: int) -> ConfChange:
    return ConfChange(ConfChangeType.REMOVE_NODE, node_id)


def promote(node_id: int) -> ConfChange:
    return ConfChange(ConfChangeType.ADD_NODE, node_id)


def update(node_id: int, *urls: str) -> ConfChange:
    return ConfChange(ConfChangeType.UPDATE_NODE, node_id, encode(Member(node_id, "", urls)))


def unstarted(members: tuple[Member, ...], *ids: int) -> tuple[Member, ...]:
    return tuple(replace(each, name="") if each.id in ids else each for each in members)


@pytest.mark.parametrize(
    ("change", "given"),
    [
        pytest.param(add(), standing(voters(1)), id="one becomes two"),
        pytest.param(add(), standing(voters(1, 2)), id="two become three"),
        pytest.param(add(), standing(voters(1, 2, 3)), id="three become four"),
        pytest.param(add(), standing(voters(1, 2, 3, 4, 5), {2, 3, 4}), id="one of five is down"),
        pytest.param(
            add(is_learner=True), standing(voters(1, 2, 3), {2}), id="a learner with one down"
        ),
        pytest.param(remove(3), standing(voters(1, 2, 3), {2}), id="the one that is down"),
        pytest.param(remove(1), standing(voters(1, 2, 3)), id="the leader"),
        pytest.param(remove(2), standing(voters(1, 2)), id="two become one"),
        pytest.param(remove(9), standing((*voters(1, 2), learner(9)), set()), id="a learner"),
        pytest.param(promote(9), standing((*voters(1, 2, 3), learner(9)), {2}), id="promoted"),
        pytest.param(
            promote(9), standing((*voters(1), learner(9)), matches={9: 90}), id="90 % is in sync"
        ),
        pytest.param(update(2, "tcp://h:2"), standing(voters(1, 2)), id="its own URL again"),
        pytest.param(update(2, "tcp://x:2"), standing(voters(1, 2), set()), id="it has moved"),
    ],
)
def test_what_may_be(change: ConfChange, given: Standing) -> None:
    check(change, given, STRICT)


@pytest.mark.parametrize(
    ("change", "given", "error"),
    [
        pytest.param(add(), standing(voters(1, 2, 3), {2}), Unhealthy, id="one of three is down"),
        pytest.param(
            add(), standing(unstarted(voters(1, 2), 2)), MemberNotEnoughStarted, id="not started"
        ),
        pytest.param(
            add(), standing(unstarted(voters(1), 1)), MemberNotEnoughStarted, id="none started"
        ),
        pytest.param(add("tcp://h:2"), standing(voters(1, 2, 3)), PeerURLExist, id="URL is taken"),
        pytest.param(
            add("tcp://x:1", "tcp://h:3"),
            standing(voters(1, 2, 3)),
            PeerURLExist,
            id="one of its URLs is taken",
        ),
        pytest.param(add(node_id=2), standing(voters(1, 2, 3)), MemberExist, id="id is taken"),
        pytest.param(
            add(), standing(voters(1, 2, 3), removed=(NEW,)), MemberNotFound, id="id was removed"
        ),
        pytest.param(
            add(is_learner=True),
            standing((*voters(1, 2, 3), learner(4))),
            TooManyLearners,
            id="a second learner",
        ),
        pytest.param(remove(7), standing(voters(1, 2, 3)), MemberNotFound, id="nobody removed"),
        pytest.param(remove(1), standing(voters(1)), MemberNotEnoughStarted, id="the last"),
        pytest.param(remove(2), standing(voters(1, 2, 3), {2}), Unhealthy, id="one that is needed"),
        pytest.param(
            remove(1), standing(voters(1, 2, 3), {2}), Unhealthy, id="the leader, one is down"
        ),
        pytest.param(
            remove(1),
            standing(unstarted(voters(1, 2, 3), 2)),
            MemberNotEnoughStarted,
            id="who is left has not started",
        ),
        pytest.param(promote(7), standing(voters(1)), MemberNotFound, id="nobody promoted"),
        pytest.param(promote(2), standing(voters(1, 2)), MemberNotLearner, id="a voter"),
        pytest.param(promote(1), standing(voters(1, 2)), MemberNotLearner, id="the leader itself"),
        pytest.param(
            promote(9),
            standing((*voters(1, 2), learner(9)), matches={9: 89}),
            LearnerNotReady,
            id="89 % is not in sync",
        ),
        pytest.param(
            promote(9),
            standing((*unstarted(voters(1, 2, 3), 2, 3), learner(9))),
            MemberNotEnoughStarted,
            id="two of three have not started",
        ),
        pytest.param(
            update(7, "tcp://x:1"), standing(voters(1)), MemberNotFound, id="nobody moves"
        ),
        pytest.param(update(2, "tcp://h:1"), standing(voters(1, 2)), PeerURLExist, id="moves in"),
        pytest.param(update(2), standing(voters(1, 2)), MemberBadURLs, id="moves nowhere"),
    ],
)
def test_what_may_not_be(change: ConfChange, given: Standing, error: type[ZetcdError]) -> None:
    with pytest.raises(error):
        check(change, given, STRICT)


@pytest.mark.parametrize(
    "change", [add(), remove(2), add(is_learner=True)], ids=["add", "remove", "learner"]
)
def test_without_strict_reconfig_check_the_quorum_is_the_operators_matter(
    change: ConfChange,
) -> None:
    check(change, standing(unstarted(voters(1, 2, 3), 2, 3), set()), LAX)


def test_the_last_voter_stays_whatever_the_configuration() -> None:
    with pytest.raises(MemberNotEnoughStarted):
        check(remove(1), standing((*voters(1), learner(2))), LAX)


def test_more_learners_are_a_matter_of_configuration() -> None:
    given = standing((*voters(1, 2, 3), learner(4)))
    check(add(is_learner=True), given, Rules(is_strict=True, learners_max=2))
