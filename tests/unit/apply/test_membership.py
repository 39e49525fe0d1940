"""Membership changes one at a time."""

from __future__ import annotations

import pytest

from zetcd.apply.membership import changed_member
from zetcd.messages.cluster import Member
from zetcd.messages.codec import encode
from zetcd.messages.raft import ConfChange, ConfChangeType, ConfState
from zetcd.raft.membership import next_conf_state

BEFORE = ConfState(voters=(1, 5), learners=(3,))


@pytest.mark.parametrize(
    ("kind", "node_id", "after"),
    [
        (ConfChangeType.ADD_NODE, 4, ConfState((1, 4, 5), (3,))),
        (ConfChangeType.ADD_NODE, 3, ConfState((1, 3, 5), ())),
        (ConfChangeType.ADD_NODE, 0, BEFORE),
        (ConfChangeType.ADD_LEARNER, 2, ConfState((1, 5), (2, 3))),
        (ConfChangeType.ADD_LEARNER, 5, BEFORE),
        (ConfChangeType.REMOVE_NODE, 5, ConfState((1,), (3,))),
        (ConfChangeType.REMOVE_NODE, 3, ConfState((1, 5), ())),
        (ConfChangeType.REMOVE_NODE, 9, BEFORE),
        (ConfChangeType.UPDATE_NODE, 5, BEFORE),
    ],
)
def test_what_a_change_makes_of_the_membership(
    kind: ConfChangeType, node_id: int, after: ConfState
) -> None:
    assert next_conf_state(BEFORE, ConfChange(kind, node_id)) == after


def change(kind: ConfChangeType, node_id: int, member: Member | None = None) -> ConfChange:
    return ConfChange(kind, node_id, b"" if member is None else encode(member))


def after(members: dict[int, Member], what: ConfChange) -> Member | None:
    before = ConfState(
        tuple(sorted(each.id for each in members.values() if not each.is_learner)),
        tuple(sorted(each.id for each in members.values() if each.is_learner)),
    )
    return changed_member(members, what, next_conf_state(before, what))


def test_a_new_member_is_what_the_change_says() -> None:
    given = Member(0, "", ("peer",))
    assert after({}, change(ConfChangeType.ADD_LEARNER, 4, given)) == Member(
        4, "", ("peer",), is_learner=True
    )
    assert after({}, change(ConfChangeType.ADD_NODE, 4)) == Member(4)


def test_promotion_and_update_keep_what_was_published() -> None:
    known = {4: Member(4, "four", ("old",), ("client",), is_learner=True)}
    promoted = after(known, change(ConfChangeType.ADD_NODE, 4))
    assert promoted == Member(4, "four", ("old",), ("client",))
    updated = after(known, change(ConfChangeType.UPDATE_NODE, 4, Member(4, "x", ("new",))))
    # An update never promotes a learner.
    assert updated == Member(4, "four", ("new",), ("client",), is_learner=True)


def test_a_removed_member_is_gone_and_an_unknown_one_not_updated() -> None:
    known = {4: Member(4), 5: Member(5)}
    assert after(known, change(ConfChangeType.REMOVE_NODE, 4)) is None
    assert after({}, change(ConfChangeType.UPDATE_NODE, 4, Member(4))) is None
    assert after(known, change(ConfChangeType.UPDATE_NODE, 4)) == Member(4)


def test_what_rafts_rule_does_not_take_changes_nothing_here() -> None:
    alone = {4: Member(4, "four")}
    assert after(alone, change(ConfChangeType.REMOVE_NODE, 4)) == Member(4, "four")
    demoted = after(alone, change(ConfChangeType.ADD_LEARNER, 4, Member(4, is_learner=True)))
    assert demoted == Member(4, "four")
