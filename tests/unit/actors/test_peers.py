"""What a raft actor and other members say to each other beside raft."""

from __future__ import annotations

import pytest

from zetcd.actors.peers import Peers
from zetcd.config import parse_config
from zetcd.errors import MemberRemoved
from zetcd.messages.base import Message
from zetcd.messages.cluster import Member
from zetcd.messages.codec import UnionDecoder, encode
from zetcd.messages.node import (
    MembersAnswer,
    MembersQuery,
    MemberTable,
    PeerControl,
    PeerIntroduction,
    PeerJoin,
    PeerRejected,
)
from zetcd.messages.raft import Append
from zetcd.runtime.memory_peer_links import MemoryNetwork, MemoryPeerLinks
from zetcd.runtime.peer_socket import KIND_CONTROL, KIND_JOIN, KIND_RAFT
from zetcd.version import API_VERSION

OTHER, GONE = Member(2, "b", ("tcp://h:2",)), Member(3, "c", ("tcp://h:3",))
_DECODERS = {KIND_CONTROL: UnionDecoder(PeerControl), KIND_JOIN: UnionDecoder(PeerJoin)}


class Scene:
    """One node's peers, and what it has sent."""

    def __init__(self) -> None:
        self.config = parse_config("")
        self.me = Member(self.config.member_id(), "a", self.config.initial_advertise_peer_urls)
        self.network = MemoryNetwork()
        self.links = MemoryPeerLinks(self.network, self.me.id)
        self.peers = Peers(self.config, self.links, 0.0)
        for each in (0, OTHER.id, GONE.id):
            MemoryPeerLinks(self.network, each)

    def sent(self) -> list[tuple[int, Message]]:
        frames, found = self.network.in_flight, []
        while frames:
            frame = frames.popleft()
            found.append((frame.to, _DECODERS[frame.kind].decode(frame.body)))
        return found


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_links_and_wal_follow_the_member_table(scene: Scene) -> None:
    table = scene.peers.update(MemberTable((scene.me, OTHER), (GONE,)), 0.0)
    assert table == MemberTable((OTHER, scene.me) if OTHER.id < scene.me.id else (scene.me, OTHER))
    assert scene.links.peers == {2: ("tcp://h:2",)}


def test_who_is_silent_is_told_where_this_member_is(scene: Scene) -> None:
    scene.peers.update(MemberTable((scene.me, OTHER)), 0.0)
    scene.peers.introduce(0.5)
    assert scene.sent() == []
    scene.peers.introduce(1.0)
    introduction = PeerIntroduction(scene.me.id, scene.config.initial_advertise_peer_urls)
    assert scene.sent() == [(2, introduction)]
    scene.peers.heard(2, 1.9)
    scene.peers.introduce(2.0)
    assert scene.sent() == []
    scene.peers.introduce(3.0)
    assert scene.sent() == [(2, introduction)]


def test_whoever_introduces_itself_can_be_answered(scene: Scene) -> None:
    assert scene.peers.introduced(PeerIntroduction(2, ("tcp://h:2",))) == MemberTable(
        (Member(2, "", ("tcp://h:2",)),)
    )
    assert scene.links.peers == {2: ("tcp://h:2",)}
    assert scene.peers.introduced(PeerIntroduction(2, ("tcp://h:2",))) is None


def test_connected_is_who_was_heard_within_an_election_timeout(scene: Scene) -> None:
    scene.peers.update(MemberTable((scene.me, OTHER, GONE)), 0.0)
    scene.peers.heard(2, 10.0)
    scene.peers.heard(3, 10.5)
    assert scene.peers.connected(10.9) == {2, 3}
    assert scene.peers.connected(11.2) == {3}


def test_who_was_removed_is_not_listened_to_and_told_so_now_and_then(scene: Scene) -> None:
    scene.peers.update(MemberTable((scene.me, OTHER), (GONE,)), 0.0)
    assert scene.peers.heard(OTHER.id, 1.0)
    assert [scene.peers.heard(GONE.id, each) for each in (1.0, 1.1, 1.4, 1.6)] == [False] * 4
    told = scene.sent()
    assert [to for to, _ in told] == [GONE.id, GONE.id]
    rejected = told[0][1]
    assert isinstance(rejected, PeerRejected)
    assert rejected.error == MemberRemoved.number
    assert "was removed from cluster" in rejected.reason
    assert GONE.id not in scene.peers.connected(1.6)


def test_who_is_removed_is_told_the_last_commit_again_for_a_while(scene: Scene) -> None:
    scene.peers.update(MemberTable((scene.me, OTHER, GONE)), 0.0)
    news = encode(Append(scene.me.id, GONE.id, 2, 7, 2, 7, is_news=True))
    scene.peers.last_news[GONE.id] = news
    scene.peers.update(MemberTable((scene.me, OTHER), (GONE,)), 1.0)
    assert GONE.id in scene.links.peers
    for now in (1.0, 1.05, 1.5):
        scene.peers.take_leave(now)
    frames = [(each.to, each.kind, each.body) for each in scene.network.in_flight]
    assert frames == [(GONE.id, KIND_RAFT, news)] * 2
    scene.peers.take_leave(2.0)
    scene.peers.take_leave(3.0)
    assert len(scene.network.in_flight) == 2
    assert GONE.id not in scene.links.peers


def test_a_node_that_wants_to_join_is_told_who_the_members_are(scene: Scene) -> None:
    body = memoryview(encode(MembersQuery(("tcp://h:9",))))
    scene.peers.answer_join(body, 7, 1.0)
    assert scene.sent() == [], "it does not know yet"
    scene.peers.update(MemberTable((scene.me, OTHER)), 0.0)
    scene.peers.answer_join(body, 7, 1.0)
    scene.peers.answer_join(body, 7, 1.05)
    answer = MembersAnswer(
        scene.config.cluster_id(), scene.me.id, 7, (scene.me, OTHER), API_VERSION
    )
    assert scene.sent() == [(0, answer)], "not more often than its interval says"


@pytest.mark.parametrize("body", [b"", b"\xc1", encode(MembersAnswer(1, 1, 1, ()))])
def test_nonsense_in_the_place_of_a_question_is_not_answered(scene: Scene, body: bytes) -> None:
    scene.peers.update(MemberTable((scene.me,)), 0.0)
    scene.peers.answer_join(memoryview(body), 7, 1.0)
    assert scene.sent() == []


def test_senders_that_nobody_knows_are_bounded(scene: Scene) -> None:
    for sender in range(1_000):
        assert scene.peers.heard(sender, 1.0)
    assert len(scene.peers.heard_at) == 64
    scene.peers.update(MemberTable((scene.me, OTHER)), 0.0)
    assert set(scene.peers.heard_at) == {OTHER.id}
