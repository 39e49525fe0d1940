"""The raft actor among real wal and apply actors: three nodes in one thread, and its corner cases."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import msgspec
import pytest
import structlog
import zmq

from tests.unit.actors.memory_cluster import GATEWAY, TICK_SECONDS, MemoryCluster, MemoryNode
from zetcd.actors import raft_actor
from zetcd.actors.actor import APPLY, RAFT, SUPERVISOR, WAL, WATCH
from zetcd.actors.entry import ActorSetting
from zetcd.actors.raft_actor import RaftActor
from zetcd.actors.raft_setting import raft_options
from zetcd.config import RaftConfig, parse_config
from zetcd.errors import NoLeader, PortInUse, Stopped
from zetcd.messages.codec import decoder_of, encode
from zetcd.messages.kv import PutRequest, PutResponse
from zetcd.messages.lease import (
    LeaseGrantRequest,
    LeaseKeepAliveRequest,
    LeaseKeepAliveResponse,
    LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse,
)
from zetcd.messages.node import (
    ActorReport,
    ApplyResults,
    ApplyWait,
    Drained,
    Hello,
    LeaderAnswer,
    LeaderInfo,
    LeaderQuery,
    LeaderRequest,
    Origin,
    Propose,
    ProposeRefused,
    RaftStatusRequest,
    ReadIndex,
    ReadIndexResult,
    Role,
    Shutdown,
    TransferLeader,
    WatchInterest,
)
from zetcd.messages.raft import ConfState, HardState, SnapshotMetadata
from zetcd.messages.storage import (
    Appended,
    ApplyState,
    StorageAppend,
    StorageApply,
    WalState,
)
from zetcd.runtime.clock import ManualClock
from zetcd.runtime.mailbox import Address, MemoryMailbox, MemoryPost
from zetcd.runtime.memory_peer_links import FrameInFlight, MemoryNetwork, MemoryPeerLinks
from zetcd.runtime.peer_socket import KIND_CONTROL, KIND_RAFT, PeerFrame

_LEASE_ANSWERS = decoder_of(tuple[LeaseKeepAliveResponse | LeaseTimeToLiveResponse, ...])


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[MemoryCluster]:
    cluster = MemoryCluster(tmp_path)
    yield cluster
    cluster.close()


def stores(cluster: MemoryCluster) -> list[tuple[int, int]]:
    """(consistent index, revision) of every node."""
    found = []
    for node in cluster.nodes:
        facts = dict(node.actors[APPLY].facts())
        found.append((int(facts["applied"]), int(facts["revision"])))
    return found


def assert_in_step(cluster: MemoryCluster) -> None:
    assert len(set(stores(cluster))) == 1, stores(cluster)


def ask_leader(node: MemoryNode, *questions: object) -> LeaderAnswer:
    before = len(node.gateway.of(LeaderAnswer))
    assert node.tell(RAFT, LeaderRequest(before + 1, msgspec.msgpack.encode(questions)))
    node.cluster.settle()
    answers = node.gateway.of(LeaderAnswer)[before:]
    assert [each.request_id for each in answers] == [before + 1]
    return answers[0]


def read_index(node: MemoryNode, request_id: int = 1) -> ReadIndexResult:
    assert node.tell(RAFT, ReadIndex(request_id))
    node.cluster.settle()
    result = node.gateway.of(ReadIndexResult)[-1]
    assert result.request_id == request_id
    return result


# --- the normal course of things ------------------------------------------------------------------


def test_a_leader_is_elected_and_everybody_is_told(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    for node in cluster.nodes:
        assert node.info.leader == leader.id
        for neighbour in (node.gateway, node.supervisor, node.watch):
            assert neighbour.of(LeaderInfo)[-1] == node.info
        # Terms ascend, and nothing is said twice in a row.
        infos = node.gateway.of(LeaderInfo)
        assert [each.term for each in infos] == sorted(each.term for each in infos)
        assert all(one != other for one, other in pairwise(infos))


def test_a_neighbour_that_starts_later_is_told_who_leads(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    leader.restart_gateway()
    cluster.settle()
    assert leader.gateway.of(LeaderInfo) == [LeaderInfo(leader.info.term, leader.id, Role.LEADER)]


def test_a_put_is_answered_with_its_revision_on_whichever_node(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    followers = cluster.others(leader)
    revisions = [
        node.put(b"k%d" % number).header.revision
        for number, node in enumerate((leader, followers[0], leader, followers[1]))
    ]
    assert revisions == [2, 3, 4, 5]
    # Nobody but the node that was asked answers.
    assert [len(node.gateway.of(ApplyResults)) for node in (leader, *followers)] == [2, 1, 1]
    cluster.advance(0.2)
    assert_in_step(cluster)


def test_the_proposals_of_one_turn_are_one_message_to_each_peer(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    batches = [leader.propose(PutRequest(b"k%d" % number)) for number in range(5)]
    leader.turn()
    appends = [f for f in cluster.network.in_flight if not f.is_urgent]
    assert sorted(f.to for f in appends) == sorted(n.id for n in cluster.others(leader))
    cluster.settle()
    assert all(leader.is_answered(each) for each in batches)


def test_a_read_index_is_at_least_what_was_written_before(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    leader.put(b"a")
    written = leader.status().committed
    for number, node in enumerate(cluster.nodes, 1):
        result = read_index(node, number)
        assert (result.index >= written, result.error) == (True, 0)


def test_keep_alives_are_answered_by_the_leader_wherever_they_are_asked(
    cluster: MemoryCluster,
) -> None:
    leader = cluster.start()
    leader.propose(LeaseGrantRequest(60, 77))
    cluster.settle()
    cluster.advance(20.0)
    for node in cluster.nodes:
        answer = ask_leader(node, LeaseTimeToLiveRequest(77), LeaseKeepAliveRequest(77))
        assert answer.error == 0
        left, renewed = _LEASE_ANSWERS.decode(answer.body)
        assert renewed.ttl == 60
        assert left.ttl == (40 if node is cluster.nodes[0] else 60)


def test_members_published_their_attributes_and_peers_follow_the_table(
    cluster: MemoryCluster,
) -> None:
    cluster.start()
    cluster.advance(3.0)
    for node in cluster.nodes:
        assert node.links.peers == {
            each.id: each.config.initial_advertise_peer_urls for each in cluster.others(node)
        }


def test_a_leader_hands_leadership_over_when_asked(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    target = cluster.others(leader)[1]
    # Also through a follower.
    cluster.others(leader)[0].tell(RAFT, TransferLeader(target.id))
    cluster.settle()
    assert target.is_leader
    assert target.info.term == leader.info.term


# --- without a leader -----------------------------------------------------------------------------


def test_without_a_leader_everything_is_refused_at_once(cluster: MemoryCluster) -> None:
    node = cluster.nodes[0]
    node.start()
    cluster.settle()
    batch_id = node.propose(PutRequest(b"a"))
    cluster.settle()
    assert node.gateway.of(ProposeRefused) == [ProposeRefused(batch_id, NoLeader.number)]
    assert read_index(node).error == NoLeader.number
    assert ask_leader(node, LeaseKeepAliveRequest(1)).error == NoLeader.number


def test_a_minority_stops_to_lead_and_refuses(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    for other in cluster.others(leader):
        other.kill()
    cluster.advance(2.5)
    assert leader.info.leader == 0
    batch_id = leader.propose(PutRequest(b"a"))
    cluster.settle()
    assert ProposeRefused(batch_id, NoLeader.number) in leader.gateway.of(ProposeRefused)


def test_reads_that_cannot_be_confirmed_are_refused_and_forgotten(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    for other in cluster.others(leader):
        other.kill()
    for number in range(1, 50):
        leader.tell(RAFT, ReadIndex(number))
        cluster.advance(0.1)
    results = leader.gateway.of(ReadIndexResult)
    assert all(each.error for each in results)
    cluster.advance(3.0)
    assert sorted(each.request_id for each in leader.gateway.of(ReadIndexResult)) == list(
        range(1, 50)
    )
    assert not leader.raft._reads


# --- restarts -------------------------------------------------------------------------------------


def test_a_restarted_apply_loses_nothing_and_does_nothing_twice(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    for _ in range(3):
        leader.put(b"a")
    leader.kill(APPLY)
    # Committed while nobody applies: it is kept for the next incarnation.
    batches = [cluster.others(leader)[0].propose(PutRequest(b"a")) for _ in range(3)]
    cluster.settle()
    leader.start(APPLY)
    cluster.settle()
    assert all(cluster.others(leader)[0].is_answered(each) for each in batches)
    answer = leader.put(b"a")
    assert answer.header.revision == 8
    cluster.advance(0.2)
    assert_in_step(cluster)


def test_an_apply_whose_store_was_lost_rebuilds_it_from_the_log(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    for number in range(20):
        leader.put(b"k%d" % number)
    leader.kill(APPLY)
    (Path(leader.config.store_dir()) / "trust").unlink()
    leader.start(APPLY)
    cluster.settle()
    assert leader.put(b"b").header.revision == 22
    cluster.advance(0.2)
    assert_in_step(cluster)


@pytest.mark.parametrize("is_power_loss", [False, True])
def test_a_member_that_restarts_catches_up(cluster: MemoryCluster, is_power_loss: bool) -> None:
    leader = cluster.start()
    member = cluster.others(leader)[0]
    leader.put(b"a")
    member.kill(RAFT, WAL, is_power_loss=is_power_loss)
    for number in range(30):
        leader.put(b"k%d" % number)
    member.start(WAL, RAFT)
    cluster.wait_for_leader()
    cluster.advance(1.0)
    assert_in_step(cluster)
    assert member.put(b"b").header.revision == 33


def test_a_leader_whose_raft_and_wal_restart_is_replaced_and_loses_nothing(
    cluster: MemoryCluster,
) -> None:
    leader = cluster.start()
    answers = [leader.put(b"a") for _ in range(5)]
    leader.kill(RAFT, WAL, is_power_loss=True)
    assert cluster.wait_for_leader(but=leader) is not leader
    leader.start(WAL, RAFT)
    cluster.advance(1.0)
    assert leader.put(b"a").header.revision == answers[-1].header.revision + 1
    cluster.advance(0.2)
    assert_in_step(cluster)


def test_apply_may_be_ahead_of_a_restarted_log(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    leader.put(b"a")
    durable = leader.disk.process_crash()
    leader.put(b"b")
    leader.kill(RAFT, WAL)
    leader.disk = durable
    leader.start(WAL, RAFT)
    cluster.settle()
    cluster.wait_for_leader()
    cluster.advance(1.0)
    assert_in_step(cluster)
    assert leader.put(b"c").header.revision == 4


def test_answers_to_a_gone_gateway_reach_nobody(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    batch_id = leader.propose(PutRequest(b"a"))
    leader.tell(RAFT, LeaderRequest(1, encode((LeaseKeepAliveRequest(1),))))
    leader.tell(RAFT, ReadIndex(1))
    leader.restart_gateway()
    cluster.settle()
    assert not leader.is_answered(batch_id)
    assert not leader.gateway.of(LeaderAnswer)
    assert not leader.gateway.of(ReadIndexResult)


def test_what_was_gathered_for_a_gone_apply_is_not_handed_to_the_next(
    cluster: MemoryCluster,
) -> None:
    """Even if a request that would hurry it on comes right before the new one's greeting."""
    leader = cluster.start()
    follower = cluster.others(leader)[0]
    cluster.advance(2.0)
    for key in (b"a", b"b"):
        leader.put(key)
    assert follower.raft._gathered
    follower.kill(APPLY)
    assert follower.tell(RAFT, ReadIndex(1))
    follower.start(APPLY)
    follower.raft.turn()
    mailbox = follower.actors[APPLY].mailbox
    assert isinstance(mailbox, MemoryMailbox)
    assert not [each for each in mailbox.inbox if isinstance(each[-1], StorageApply)]
    cluster.advance(2.0)
    assert_in_step(cluster)


def test_what_a_gone_gateway_said_last_is_not_acted_upon(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    before = leader.status().last_index
    dead = leader.gateway
    leader.restart_gateway()
    leader.turn()
    for _ in range(3):
        leader.post.deliver(
            dead.mailbox,
            RAFT,
            leader.raft.mailbox.incarnation,
            Propose(1, encode(PutRequest(b"x"))),
        )
    cluster.settle()
    assert leader.status().last_index == before


def test_what_was_meant_for_a_gone_raft_is_not_acted_upon(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    old = leader.raft.mailbox.incarnation
    leader.kill(RAFT, WAL)
    leader.start(WAL, RAFT)
    cluster.advance(0.1)
    before = leader.status().last_index
    proposal = Propose(1, encode(PutRequest(b"x")))
    leader.post.deliver(leader.gateway.mailbox, RAFT, old, proposal)
    cluster.settle()
    assert leader.status().last_index == before
    assert not leader.gateway.of(ProposeRefused)


def test_wal_alone_must_not_restart(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    leader.kill(WAL)
    leader.start(WAL)
    with pytest.raises(AssertionError, match="wal restarted without raft"):
        cluster.settle()
    leader.kill()


# --- time -----------------------------------------------------------------------------------------


def test_a_pause_of_the_process_is_not_the_silence_of_its_peers(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    cluster.clock.advance(30.0)
    cluster.advance(1.0)
    assert leader.is_leader
    assert {node.info.term for node in cluster.nodes} == {leader.info.term}


def test_a_late_tick_is_seen_in_the_figures(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    cluster.clock.advance(0.5)
    cluster.settle()
    late_ms = float(dict(leader.raft.facts())["tick_late_ms_max"])
    assert 460 <= late_ms <= 500


def test_heartbeats_leave_on_time_while_the_own_wal_is_stuck(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    stuck = leader.actors.pop(WAL)
    answers = [leader.put(b"a") for _ in range(10)]
    cluster.advance(5.0)
    assert leader.is_leader
    assert answers[-1].header.revision == 11
    leader.actors[WAL] = stuck
    cluster.settle()
    assert_in_step(cluster)


# --- work that nobody waits for -------------------------------------------------------------------


def applied(node: MemoryNode) -> int:
    return int(dict(node.actors[APPLY].facts())["applied"])


def test_a_follower_whose_clients_do_nothing_applies_at_the_next_tick(
    cluster: MemoryCluster,
) -> None:
    leader = cluster.start()
    cluster.advance(2.0)
    before = [applied(node) for node in cluster.nodes]
    leader.put(b"a")
    leader.put(b"b")
    cluster.settle()
    assert applied(leader) == before[0] + 2
    assert [applied(node) for node in cluster.others(leader)] == [before[0]] * 2
    cluster.advance(2 * TICK_SECONDS)
    assert_in_step(cluster)


@pytest.mark.parametrize("interest", ["watch", "put", "read"])
def test_a_follower_whose_clients_wait_applies_at_once(
    cluster: MemoryCluster, interest: str
) -> None:
    leader = cluster.start()
    cluster.advance(2.0)
    follower, other = cluster.others(leader)
    if interest == "watch":
        assert follower.tell(RAFT, WatchInterest(is_wanted=True), sender=follower.watch)
        # The leader learns of it with the next heartbeat.
        cluster.advance(0.2)
    elif interest == "put":
        follower.put(b"own")
    else:
        read_index(follower)
    index = applied(leader)
    (follower if interest == "put" else leader).put(b"a")
    if interest == "read":
        assert follower.tell(APPLY, ApplyWait(read_index(follower).index))
    cluster.settle()
    assert (applied(follower), applied(leader)) == (index + 1, index + 1)
    assert applied(other) <= index


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [KIND_RAFT, KIND_CONTROL, 99])
@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x91\x00", b"\x91" * 20_000, encode(Hello())])
def test_a_malformed_frame_is_dropped(cluster: MemoryCluster, kind: int, body: bytes) -> None:
    leader = cluster.start()
    peer = cluster.others(leader)[0].id
    cluster.network.deliver(FrameInFlight(peer, leader.id, kind, body, is_urgent=True))
    cluster.settle()
    assert leader.put(b"a").header.revision == 2


def test_an_answer_for_a_gateway_that_this_node_does_not_have_is_dropped(
    cluster: MemoryCluster,
) -> None:
    leader = cluster.start()
    peer = cluster.others(leader)[0].id
    stray = LeaderAnswer(Origin(leader.id, GATEWAY.role, 9, 1), 1, b"", 0)
    frame = FrameInFlight(peer, leader.id, KIND_CONTROL, encode(stray), is_urgent=True)
    cluster.network.deliver(frame)
    cluster.settle()
    assert leader.put(b"a").header.revision == 2


def test_proposals_are_forwarded_in_frames_that_a_peer_accepts(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path, settings="[raft]\nappend-bytes-max = 4096\n")
    leader = cluster.start()
    follower = cluster.others(leader)[0]
    batches = [follower.propose(PutRequest(b"%d" % each, bytes(3_000))) for each in range(10)]
    follower.turn()
    frames = [len(f.body) for f in cluster.network.in_flight if f.sender == follower.id]
    # The limit of the configuration: an append and one more batch.
    assert 3_000 < max(frames) <= 4_096 + 3_100
    cluster.settle()
    answers = [follower.answers(each)[0] for each in batches]
    revisions = [each.header.revision for each in answers if isinstance(each, PutResponse)]
    assert revisions == list(range(2, 12))
    cluster.close()


# --- the end --------------------------------------------------------------------------------------


def test_a_leader_that_stops_hands_leadership_over_first(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    term = leader.info.term
    leader.shut_down(RAFT)
    cluster.settle()
    successor = cluster.wait_for_leader(but=leader)
    assert successor.info.term == term + 1
    assert not leader.raft.is_running
    assert leader.supervisor.of(Drained)


def test_a_stopping_member_accepts_nothing_new(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    leader.shut_down(RAFT)
    batch_id = leader.propose(PutRequest(b"a"))
    cluster.settle()
    assert leader.gateway.of(ProposeRefused) == [ProposeRefused(batch_id, Stopped.number)]


def test_a_leader_that_nobody_can_follow_stops_in_time(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    for other in cluster.others(leader):
        other.kill()
    leader.shut_down(RAFT, drain_seconds=1.0)
    cluster.advance(0.9)
    assert not leader.raft.is_running


def test_a_follower_stops_at_once(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    follower = cluster.others(leader)[0]
    follower.shut_down(RAFT)
    cluster.settle()
    assert not follower.raft.is_running
    assert leader.is_leader


def test_a_lone_leader_stops_at_once(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path, "a")
    leader = cluster.start()
    assert leader.put(b"a").header.revision == 2
    leader.shut_down(RAFT)
    cluster.settle()
    assert not leader.raft.is_running
    cluster.close()


# --- raft alone: its neighbours are mailboxes -----------------------------------------------------


class Alone:
    """A raft actor whose wal and apply are played by the test."""

    def __init__(self) -> None:
        self.clock = ManualClock(10.0)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.config = parse_config('name = "a"\n')
        self.post = MemoryPost(raft_actor.INBOX)
        self.boxes = {
            each: MemoryMailbox(self.post, each, 1)
            for each in (SUPERVISOR, WAL, APPLY, WATCH, GATEWAY)
        }
        mailbox = MemoryMailbox(self.post, RAFT, 2)
        setting = ActorSetting(self.config, self.clock, mailbox, self.context)
        self.links = MemoryPeerLinks(MemoryNetwork(), self.config.member_id())
        self.actor = RaftActor(setting, self.links, Random(1))
        for each in self.boxes.values():
            each.greet(RAFT)
        self.turn()
        for each in self.boxes.values():
            each.receive(100)

    def turn(self) -> None:
        self.actor.turn()

    def received(self, address: Address) -> list[object]:
        return [each.message for each in self.boxes[address].receive(1000)]

    def persist(self) -> None:
        """Play a wal that makes everything durable at once."""
        self.turn()
        while appends := [m for m in self.received(WAL) if isinstance(m, StorageAppend)]:
            for append in appends:
                self.boxes[WAL].send(RAFT, Appended(append.responses))
            self.turn()

    def start_core(self) -> None:
        me = self.config.member_id()
        self.boxes[WAL].send(
            RAFT, WalState(HardState(), SnapshotMetadata(0, 0, ConfState()), 0, (), ())
        )
        self.boxes[APPLY].send(RAFT, ApplyState(0, 0, ConfState((me,))))
        self.turn()


@pytest.fixture
def alone() -> Iterator[Alone]:
    alone = Alone()
    yield alone
    alone.context.term()


def test_raft_stops_at_once_if_its_log_is_not_there_yet(alone: Alone) -> None:
    alone.boxes[SUPERVISOR].send(RAFT, Shutdown(1.0))
    alone.turn()
    assert not alone.actor.is_running
    assert Drained() in alone.received(SUPERVISOR)


def test_before_its_log_is_there_raft_answers_that_nobody_leads(alone: Alone) -> None:
    gateway = alone.boxes[GATEWAY]
    for message in (Propose(1, b""), ReadIndex(2), RaftStatusRequest(3), TransferLeader()):
        gateway.send(RAFT, message)
    alone.turn()
    answers = alone.received(GATEWAY)
    assert ProposeRefused(1, NoLeader.number) in answers
    assert ReadIndexResult(2, 0, NoLeader.number) in answers
    assert len(answers) == 3
    assert dict(alone.actor.facts()) == {"role": "starting"}


def test_nothing_is_handed_to_an_apply_that_has_not_said_where_it_stands(alone: Alone) -> None:
    alone.start_core()
    alone.boxes[APPLY] = MemoryMailbox(alone.post, APPLY, 3)
    alone.boxes[APPLY].greet(RAFT)
    alone.turn()
    # It leads, alone, and has committed the first entry of its term.
    alone.clock.advance(1.0)
    alone.persist()
    assert dict(alone.actor.facts())["committed"] == "1"
    assert not [m for m in alone.received(APPLY) if isinstance(m, StorageApply)]
    alone.boxes[APPLY].send(RAFT, ApplyState(0, 0, ConfState((alone.config.member_id(),))))
    alone.turn()
    (handed,) = [m for m in alone.received(APPLY) if isinstance(m, StorageApply)]
    assert [entry.index for entry in handed.entries] == [1]


def test_a_new_lessor_answers_only_after_what_the_one_before_proposed(alone: Alone) -> None:
    """Leases that it is about to end would be renewed otherwise."""
    alone.start_core()
    alone.clock.advance(1.0)
    alone.persist()
    alone.boxes[APPLY].send(RAFT, Propose(1, b"in the log"))
    alone.turn()
    alone.boxes[APPLY].send(RAFT, Propose(2, b"from beyond the grave"))
    alone.boxes[APPLY] = MemoryMailbox(alone.post, APPLY, 3)
    alone.boxes[APPLY].greet(RAFT)
    alone.turn()
    alone.boxes[GATEWAY].send(RAFT, LeaderRequest(1, encode((LeaseKeepAliveRequest(1),))))
    alone.turn()
    facts = dict(alone.actor.facts())
    assert (facts["committed"], facts["last_index"]) == ("1", "2")
    (query,) = [m for m in alone.received(APPLY) if isinstance(m, LeaderQuery)]
    assert query.read_index == 2


def test_complaints_about_peers_do_not_flood_the_log(alone: Alone) -> None:
    with structlog.testing.capture_logs() as logs:
        for _ in range(100):
            alone.links.arrived.append(PeerFrame(7, KIND_RAFT, memoryview(b"x")))
            alone.turn()
            alone.clock.advance(TICK_SECONDS)
        alone.clock.advance(5.0)
        alone.turn()
    assert [(each["log_level"], each["count"]) for each in logs] == [
        ("warning", 1),
        ("warning", 99),
    ]


def test_a_report_says_where_raft_stands(alone: Alone) -> None:
    alone.start_core()
    alone.clock.advance(TICK_SECONDS)
    alone.turn()
    alone.actor.report(0.0)
    reports = [m for m in alone.received(SUPERVISOR) if isinstance(m, ActorReport)]
    facts = dict(reports[-1].facts)
    assert list(facts) == sorted(facts)
    assert {"term", "role", "leader", "committed", "applied"} <= set(facts)


# --- building -------------------------------------------------------------------------------------


def test_every_limit_of_the_configuration_reaches_the_core() -> None:
    changed = {
        "append_bytes_max": 4_096,
        "inflight_messages_max": 3,
        "inflight_bytes_max": 70_000,
        "uncommitted_bytes_max": 1_100_000,
        "unstable_bytes_max": 1_200_000,
        "unstable_writes_max": 17,
        "log_tail_bytes_max": 5,
        "apply_bytes_max": 65_537,
        "applying_bytes_max": 65_538,
        "reads_waiting_max": 6,
    }
    config = dataclasses.replace(
        parse_config('name = "a"\n'), raft=dataclasses.replace(RaftConfig(), **changed)
    )
    options = raft_options(config, incarnation=3)
    assert {name: getattr(options, name) for name in changed} == changed
    assert options.read_round_seed == 3 << 32


def test_a_peer_port_in_use_is_said_with_its_url(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        url = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        config = dataclasses.replace(
            parse_config(f'name = "a"\ndata-dir = "{tmp_path}"\n'), listen_peer_urls=(url,)
        )
        config = dataclasses.replace(config, raft=dataclasses.replace(config.raft, nice=0))
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        mailbox = MemoryMailbox(MemoryPost(raft_actor.INBOX), RAFT, 1)
        with pytest.raises(PortInUse, match=url):
            raft_actor.build(ActorSetting(config, ManualClock(), mailbox, context))
        context.destroy(linger=0)
