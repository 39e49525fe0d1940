"""Changes of the membership among real raft, wal and apply actors: who decides, and who has to go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.actors.memory_cluster import GATEWAY, MemoryCluster, MemoryNode
from zetcd.actors import apply_actor
from zetcd.actors.actor import APPLY, RAFT
from zetcd.actors.entry import ActorSetting
from zetcd.errors import (
    ExitCode,
    LearnerNotReady,
    MemberNotFound,
    MemberRemoved,
    NoLeader,
    NotLeader,
    PeerURLExist,
    RequestTooManyRequests,
    TooManyLearners,
    Unhealthy,
)
from zetcd.messages.cluster import Member, PublishRequest
from zetcd.messages.codec import UnionDecoder, encode
from zetcd.messages.node import ChangeMember, ChangeMemberRefused, MemberChanged, Origin
from zetcd.messages.raft import ConfChange, ConfChangeType, PeerMessage, TimeoutNow
from zetcd.runtime.mailbox import MemoryMailbox
from zetcd.runtime.peer_socket import KIND_RAFT

NEW = 0xD


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[MemoryCluster]:
    cluster = MemoryCluster(tmp_path)
    yield cluster
    cluster.close()


def started(cluster: MemoryCluster) -> MemoryNode:
    """Start all, let them publish their names; return the leader."""
    leader = cluster.start()
    # Apply publishes by itself, too, two seconds after it has started; here nobody waits.
    for node in cluster.nodes:
        leader.propose(PublishRequest(Member(node.id, node.config.name)))
    cluster.advance(0.5)
    return leader


def ask(node: MemoryNode, kind: ConfChangeType, node_id: int, member: Member | None = None) -> int:
    """Ask for a change as the gateway of ``node``; return the name of the question."""
    mailbox = node.gateway.mailbox
    origin = Origin(node.id, GATEWAY.role, 0, mailbox.incarnation)
    node.last_batch_id += 1
    request_id = node.last_batch_id
    context = b"" if member is None else encode(member)
    change = ConfChange(kind, node_id, context, request_id, encode(origin))
    assert mailbox.send(RAFT, ChangeMember(origin, request_id, change))
    node.cluster.settle()
    return request_id


def add(node: MemoryNode, url: str, *, is_learner: bool = True, node_id: int = NEW) -> int:
    kind = ConfChangeType.ADD_LEARNER if is_learner else ConfChangeType.ADD_NODE
    return ask(node, kind, node_id, Member(node_id, "", (url,), is_learner=is_learner))


def remove(node: MemoryNode, removed: MemoryNode) -> int:
    return ask(node, ConfChangeType.REMOVE_NODE, removed.id)


def error_of(node: MemoryNode, request_id: int) -> int:
    """Return why a change was refused, 0 = it was not; it is done then."""
    node.cluster.advance(0.1)
    refused = [
        each for each in node.gateway.of(ChangeMemberRefused) if each.request_id == request_id
    ]
    changed = [each for each in node.gateway.of(MemberChanged) if each.request_id == request_id]
    assert len(refused) + len(changed) == 1, (refused, changed)
    return refused[0].error if refused else 0


def remove_leader(node: MemoryNode, leader: MemoryNode) -> None:
    """Have the leader removed, as a gateway does: a passing refusal is asked again."""
    for _ in range(50):
        error = error_of(node, remove(node, leader))
        if not error:
            return
        assert error in (NotLeader.number, NoLeader.number, RequestTooManyRequests.number)
    raise AssertionError("the leader stays")


def ids_of(node: MemoryNode) -> list[int]:
    """Return the members as apply of ``node`` knows them."""
    actor = node.actors[APPLY]
    assert isinstance(actor, apply_actor.ApplyActor)
    return [each.id for each in actor._applier.members]


def exit_codes(node: MemoryNode) -> set[ExitCode]:
    """Return the exit codes of the actors that have ended."""
    return {actor.exit_code for actor in node.actors.values() if not actor.is_running}


@pytest.mark.parametrize("is_at_leader", [True, False])
def test_a_member_is_added_whoever_is_asked(cluster: MemoryCluster, is_at_leader: bool) -> None:
    leader = started(cluster)
    node = leader if is_at_leader else cluster.others(leader)[0]
    assert error_of(node, add(node, "tcp://d.test:2380")) == 0
    cluster.advance(0.5)
    assert all(NEW in ids_of(each) for each in cluster.nodes)
    # Raft sends to the new one, and wal may answer it.
    assert leader.links.peers[NEW] == ("tcp://d.test:2380",)


def test_the_leader_says_why_not(cluster: MemoryCluster) -> None:
    leader = started(cluster)
    node = cluster.others(leader)[0]
    assert error_of(node, add(node, "tcp://a.test:2380")) == PeerURLExist.number
    assert error_of(node, ask(node, ConfChangeType.REMOVE_NODE, 99)) == MemberNotFound.number
    assert error_of(node, add(node, "tcp://d.test:2380")) == 0
    second = add(node, "tcp://e.test:2380", node_id=0xE)
    assert error_of(node, second) == TooManyLearners.number
    # It has not got a single entry.
    assert error_of(node, ask(node, ConfChangeType.ADD_NODE, NEW)) == LearnerNotReady.number


def test_a_change_waits_for_the_one_before(cluster: MemoryCluster) -> None:
    leader = started(cluster)
    for node in cluster.others(leader):
        node.kill()
    add(leader, "tcp://d.test:2380")
    assert error_of(leader, add(leader, "tcp://e.test:2380")) == RequestTooManyRequests.number


def test_without_a_leader_nothing_is_done(cluster: MemoryCluster) -> None:
    for node in cluster.nodes:
        node.start()
    cluster.settle()
    node = cluster.nodes[0]
    assert error_of(node, add(node, "tcp://d.test:2380")) == NoLeader.number


def test_a_member_that_is_down_can_be_removed_and_then_not_another(cluster: MemoryCluster) -> None:
    leader = started(cluster)
    down, other = cluster.others(leader)
    down.kill()
    cluster.advance(1.5)
    assert error_of(leader, remove(leader, other)) == Unhealthy.number
    assert error_of(leader, remove(leader, down)) == 0
    cluster.advance(1.0)
    assert down.id not in leader.links.peers
    assert other.put(b"k").header.revision == 2


def test_a_removed_follower_ends_and_does_not_start_again(cluster: MemoryCluster) -> None:
    leader = started(cluster)
    removed = cluster.others(leader)[0]
    assert error_of(leader, remove(leader, removed)) == 0
    assert removed.id not in ids_of(removed)
    cluster.advance(5.0)
    assert exit_codes(removed) == {ExitCode.REMOVED}
    assert leader.put(b"k").header.revision == 2
    removed.kill()
    mailbox = MemoryMailbox(removed.post, APPLY, removed.next_incarnation())
    setting = ActorSetting(removed.config, cluster.clock, mailbox, cluster.context)
    with pytest.raises(MemberRemoved, match="its data directory"):
        apply_actor.build(setting)
    removed.post.remove(APPLY)


def test_a_removed_leader_ends_and_the_others_elect_another(cluster: MemoryCluster) -> None:
    leader = started(cluster)
    other = cluster.others(leader)[0]
    # Asked elsewhere: the answer comes from there.
    remove_leader(other, leader)
    # It was not the leader any more when that was proposed.
    assert leader.id not in ids_of(other)
    assert other.info.leader not in (0, leader.id)
    cluster.advance(6.0)
    assert exit_codes(leader) == {ExitCode.REMOVED}
    leader.kill()
    successor = cluster.wait_for_leader(but=leader)
    assert successor.put(b"k").header.revision == 2


def test_a_leader_that_nobody_relieves_is_removed_all_the_same(cluster: MemoryCluster) -> None:
    leader = started(cluster)
    term = leader.info.term
    other, third = cluster.others(leader)
    # The others never hear that one of them is to take over.
    decode = UnionDecoder(PeerMessage).decode

    def forget_transfers() -> None:
        frames = cluster.network.in_flight
        kept = [
            each
            for each in frames
            if each.kind != KIND_RAFT or not isinstance(decode(each.body), TimeoutNow)
        ]
        frames.clear()
        frames.extend(kept)

    cluster.network_filter = forget_transfers
    remove_leader(leader, leader)
    assert leader.info.term == term
    cluster.advance(6.0)
    assert exit_codes(leader) == {ExitCode.REMOVED}
    leader.kill()
    assert cluster.wait_for_leader(but=leader) in (other, third)


def test_a_member_that_was_away_when_it_was_removed_is_told_so(cluster: MemoryCluster) -> None:
    leader = started(cluster)
    away = cluster.others(leader)[0]
    away.kill()
    cluster.advance(1.5)
    assert error_of(leader, remove(leader, away)) == 0
    away.start()
    cluster.advance(3.0)
    # Its own log does not say so: the others do.
    assert exit_codes(away) == {ExitCode.REMOVED}
    assert away.id in ids_of(away)
    assert leader.put(b"k").header.revision == 2
