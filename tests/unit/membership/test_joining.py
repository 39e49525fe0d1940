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
    with pytest.raises(CannotJoin) as e:
        identify([answer(OLD)], "b", CLUSTER)
    shown = (
        "{ClusterID:c Members:[&{ID:1 RaftAttributes:{PeerURLs:[tcp://h:1] IsLearner:false} "
        "Attributes:{Name:a ClientURLs:[]}}]}"
    )
    assert e.value.detail.startswith(
        f"error validating peerURLs {shown}: member count is unequal. "
    )
    assert "zetcdctl member add b --peer-urls=tcp://h:2,tcp://h:3" in e.value.detail


ELSEWHERE = r"PeerURLs: no match found for existing member \(1, \[tcp://h:9\]\)"
SAME_NUMBER = r"PeerURLs: no match found for existing member \(8, \[tcp://h:8\]\)"


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ((OLD, NEW, Member(8, "d", ("tcp://h:8",))), "member count is unequal"),
        ((Member(1, "a", ("tcp://h:9",)), NEW), ELSEWHERE),
        ((OLD, Member(8, "d", ("tcp://h:8",))), SAME_NUMBER),
        ((NEW,), "member count is unequal"),
    ],
    ids=["one more", "one elsewhere", "another one", "one less"],
)
def test_what_is_configured_must_be_what_the_members_say(
    members: tuple[Member, ...], text: str
) -> None:
    with pytest.raises(CannotJoin, match=rf"error validating peerURLs .*: {text}\. "):
        identify([answer(*members)], "b", CLUSTER)


def test_members_of_two_clusters_are_none() -> None:
    with pytest.raises(CannotJoin, match=r"cluster ID mismatch: .* several clusters: c, d"):
        identify([answer(OLD, NEW), answer(OLD, NEW, cluster_id=0xD)], "b", CLUSTER)


def of_versions(*versions: str) -> list[MembersAnswer]:
    return [MembersAnswer(0xC, 1, 10, (OLD, NEW), each) for each in versions]


@pytest.mark.parametrize(
    "versions",
    [("3.6.14",), ("3.6.0",), ("3.5.21",), ("3.6.2", "3.7.0"), ("", "3.6.1"), ("",)],
)
def test_a_node_may_be_of_the_clusters_version_or_one_minor_newer(
    versions: tuple[str, ...],
) -> None:
    assert identify(of_versions(*versions), "b", CLUSTER, "3.6.14") == Found(0xC, 7)


@pytest.mark.parametrize(
    "versions",
    [
        ("3.7.0",),
        ("3.4.9",),
        ("3.4.9", "3.5.0"),
        ("4.6.0",),
        ("2.6.0",),
        ("new",),
        ("3.6.1", "3.6"),
    ],
)
def test_a_cluster_of_another_version_is_not_joined(versions: tuple[str, ...]) -> None:
    with pytest.raises(CannotJoin, match=r"incompatible with current running cluster: "):
        identify(of_versions(*versions), "b", CLUSTER, "3.6.14")
