"""Who a node is that a running cluster was told of."""

from __future__ import annotations

import pytest

from zetcd.errors import CannotJoin
from zetcd.membership import Found, identify
from zetcd.messages.cluster import Member
from zetcd.messages.node import MembersAnswer

OLD = Member(1, "a", ("tcp://h:1",))
NEW = Member(7, "", ("tcp://h:2", "tcp://h:3"))
CLUSTER = {"a": ("tcp://h:1",), "b": ("tcp://h:3", "tcp://h:2")}


def answer(*members: Member, index: int = 10, cluster_id: int = 0xC) -> MembersAnswer:
    return MembersAnswer(cluster_id, 1, index, members)


def test_a_node_is_the_member_that_has_its_peer_urls() -> None:
    assert identify([answer(OLD, NEW)], "b", CLUSTER) == Found(0xC, 7)


def test_of_several_answers_the_newest_counts() -> None:
    replaced = Member(6, "", NEW.peer_urls)
    answers = [answer(OLD, replaced, index=9), answer(OLD, NEW), answer(OLD, index=8)]
    assert identify(answers, "b", CLUSTER) == Found(0xC, 7)


def test_a_node_that_the_cluster_was_not_told_of_is_told_what_to_do() -> None:
    with pytest.raises(
        CannotJoin, match=r"c has no member with .* its members are a=tcp://h:1\. "
    ) as e:
        identify([answer(OLD)], "b", CLUSTER)
    assert "zetcdctl member add b --peer-urls=tcp://h:2,tcp://h:3" in e.value.detail


@pytest.mark.parametrize(
    "members",
    [
        (OLD, NEW, Member(8, "d", ("tcp://h:8",))),
        (Member(1, "a", ("tcp://h:9",)), NEW),
        (NEW,),
    ],
    ids=["one more", "one elsewhere", "one less"],
)
def test_what_is_configured_must_be_what_the_members_say(members: tuple[Member, ...]) -> None:
    with pytest.raises(CannotJoin, match="does not name the members of cluster c, which are"):
        identify([answer(*members)], "b", CLUSTER)


def test_members_of_two_clusters_are_none() -> None:
    with pytest.raises(CannotJoin, match="several clusters: c, d"):
        identify([answer(OLD, NEW), answer(OLD, NEW, cluster_id=0xD)], "b", CLUSTER)
