"""Where the members are: the log's word, and their own."""

from __future__ import annotations

from zetcd.membership import PeerTable
from zetcd.messages.cluster import Member
from zetcd.messages.node import MemberTable, PeerIntroduction

ONE, TWO = Member(1, "a", ("tcp://h:1",)), Member(2, "b", ("tcp://h:2",))


def reached(table: PeerTable) -> dict[int, tuple[str, ...]]:
    table.check()
    return {each.id: each.peer_urls for each in table.members()}


def test_the_log_says_where_the_members_are() -> None:
    table = PeerTable()
    assert reached(table) == {}
    table.update(MemberTable((ONE, TWO)))
    assert reached(table) == {1: ("tcp://h:1",), 2: ("tcp://h:2",)}
    table.update(MemberTable((ONE,), (TWO,)))
    assert reached(table) == {1: ("tcp://h:1",)}
    assert table.removed(2) == TWO
    assert table.removed(1) is None


def test_a_member_that_the_log_does_not_name_yet_can_be_answered() -> None:
    table = PeerTable()
    assert table.introduce(PeerIntroduction(2, ("tcp://h:2",)))
    assert not table.introduce(PeerIntroduction(2, ("tcp://h:2",))), "no news"
    table.update(MemberTable((ONE,)))
    assert reached(table) == {1: ("tcp://h:1",), 2: ("tcp://h:2",)}


def test_a_member_that_has_moved_is_found_until_the_log_says_something_newer() -> None:
    table = PeerTable()
    table.update(MemberTable((ONE, TWO)))
    assert not table.introduce(PeerIntroduction(2, TWO.peer_urls)), "no news"
    assert table.introduce(PeerIntroduction(2, ("tcp://new:2",)))
    # Something else has changed: what the member said of itself still counts.
    table.update(MemberTable((TWO,)))
    assert reached(table)[2] == ("tcp://new:2",)
    table.update(MemberTable((Member(2, "b", ("tcp://newer:2",)),)))
    assert reached(table)[2] == ("tcp://newer:2",)


def test_who_was_removed_cannot_introduce_itself() -> None:
    table = PeerTable()
    assert table.introduce(PeerIntroduction(2, ("tcp://h:2",)))
    table.update(MemberTable((ONE,), (TWO,)))
    assert reached(table) == {1: ("tcp://h:1",)}
    assert not table.introduce(PeerIntroduction(2, ("tcp://h:2",)))


def test_an_introduction_without_a_place_is_none() -> None:
    assert not PeerTable().introduce(PeerIntroduction(2, ()))


def test_introductions_are_bounded() -> None:
    table = PeerTable()
    taken = [table.introduce(PeerIntroduction(each, ("tcp://h:1",))) for each in range(1, 200)]
    assert sum(taken) == len(reached(table)) == 64
    # Who is known already may move all the same.
    assert table.introduce(PeerIntroduction(1, ("tcp://h:9",)))
