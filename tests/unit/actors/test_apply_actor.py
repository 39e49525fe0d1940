"""The apply actor: answers, events, leases, compaction, waits, its end; with real raft, wal and LMDB."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.actors.memory_cluster import GATEWAY, MemoryCluster, MemoryNode
from zetcd.actors import apply_actor
from zetcd.actors.actor import APPLY, RAFT, SUPERVISOR, WAL
from zetcd.actors.apply_actor import ApplyActor, own_member
from zetcd.actors.entry import ActorSetting
from zetcd.errors import DiskFailed, LeaseNotFound
from zetcd.messages.client import ErrorBody
from zetcd.messages.codec import encode
from zetcd.messages.kv import (
    CompactionRequest,
    CompactionResponse,
    Event,
    EventType,
    KeyValue,
    PutRequest,
    PutResponse,
    ResponseHeader,
)
from zetcd.messages.lease import LeaseGrantRequest
from zetcd.messages.node import (
    ActorGone,
    ApplyReached,
    ApplyResults,
    ApplyWait,
    Defragment,
    Defragmented,
    Drained,
    EventBatch,
    MemberTable,
    Origin,
    ProposalBatch,
    RevisionEvents,
    Shutdown,
    StoreReplaced,
    WatchInterest,
)
from zetcd.messages.raft import EntryType, LogEntry
from zetcd.messages.storage import Applied, ApplyState, StorageApply
from zetcd.runtime import lmdb_trust
from zetcd.runtime.clock import ManualClock
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.lmdb_defragmentation import DefragmentableStore
from zetcd.runtime.mailbox import MemoryMailbox, MemoryPost


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[MemoryCluster]:
    cluster = MemoryCluster(tmp_path)
    yield cluster
    cluster.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[MemoryNode]:
    """A cluster of one, started."""
    cluster = MemoryCluster(tmp_path, "a", "compaction-batch-limit = 3\n")
    yield cluster.start()
    cluster.close()


def fact(node: MemoryNode, key: str) -> int:
    return int(dict(node.actors[APPLY].facts())[key])


# --- answers --------------------------------------------------------------------------------------


def test_each_request_of_a_batch_is_answered_in_order(node: MemoryNode) -> None:
    batch_id = node.propose(
        PutRequest(b"a", b"1"), PutRequest(b"b", lease=5), PutRequest(b"a", prev_kv=True)
    )
    node.cluster.settle()
    first, second, third = node.answers(batch_id)
    assert isinstance(first, PutResponse)
    assert isinstance(second, ErrorBody)
    assert isinstance(third, PutResponse)
    assert (first.header.revision, second.number, third.header.revision) == (
        2,
        LeaseNotFound.number,
        3,
    )
    assert third.prev_kv == KeyValue(b"a", 2, 2, 1, b"1")
    (results,) = node.gateway.of(ApplyResults)
    assert results.errors == (1,)


def test_a_batch_of_an_earlier_gateway_is_executed_and_not_answered(node: MemoryNode) -> None:
    old = node.gateway.mailbox.incarnation
    node.restart_gateway()
    node.cluster.settle()
    batch_id = node.propose(PutRequest(b"a"), incarnation=old)
    node.cluster.settle()
    assert not node.is_answered(batch_id)
    assert fact(node, "revision") == 2


def test_who_waits_for_an_index_is_told_when_it_is_applied(node: MemoryNode) -> None:
    applied = fact(node, "applied")
    node.tell(APPLY, ApplyWait(applied))
    node.cluster.settle()
    assert node.gateway.of(ApplyReached) == [ApplyReached(applied)]
    node.tell(APPLY, ApplyWait(applied + 2))
    node.put(b"a")
    assert len(node.gateway.of(ApplyReached)) == 1
    node.put(b"b")
    assert node.gateway.of(ApplyReached)[1:] == [ApplyReached(applied + 2)]


def test_a_gone_gateway_waits_for_nothing(node: MemoryNode) -> None:
    node.tell(APPLY, ApplyWait(fact(node, "applied") + 1))
    node.cluster.settle()
    node.restart_gateway()
    node.cluster.settle()
    node.put(b"a")
    assert not node.gateway.of(ApplyReached)


# --- events ---------------------------------------------------------------------------------------


def test_watch_hears_of_changes_only_while_it_wants_to(node: MemoryNode) -> None:
    node.put(b"a")
    # Whoever greets is told, without events, that the store may be opened.
    (vouched,) = node.watch.of(EventBatch)
    assert vouched.revisions == ()
    node.tell(APPLY, WatchInterest(is_wanted=True), sender=node.watch)
    node.cluster.settle()
    term = node.info.term
    # Where the events go on.
    assert node.watch.of(EventBatch)[1:] == [EventBatch((), 2, 0, term)]
    node.put(b"b", b"v")
    event = Event(EventType.PUT, KeyValue(b"b", 3, 3, 1, b"v"))
    assert node.watch.of(EventBatch)[2:] == [EventBatch((RevisionEvents(3, (event,)),), 3, 0, term)]
    node.tell(APPLY, WatchInterest(is_wanted=False), sender=node.watch)
    node.put(b"c")
    assert len(node.watch.of(EventBatch)) == 3


def test_the_applied_index_is_told_not_with_every_batch_but_soon(node: MemoryNode) -> None:
    for number in range(5):
        node.put(b"%d" % number)
    node.cluster.advance(0.1)
    assert node.status().applied == fact(node, "applied")


# --- members --------------------------------------------------------------------------------------


def test_every_member_publishes_its_own_attributes(cluster: MemoryCluster) -> None:
    cluster.start()
    cluster.advance(3.0)
    wanted = tuple(sorted((own_member(n.config) for n in cluster.nodes), key=lambda m: m.id))
    for node in cluster.nodes:
        assert node.gateway.of(MemberTable)[-1].members == wanted
    # And then it is done.
    before = cluster.nodes[0].status().last_index
    cluster.advance(5.0)
    assert cluster.nodes[0].status().last_index == before


# --- leases ---------------------------------------------------------------------------------------


def test_a_lease_ends_by_the_leaders_word_on_all_members(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    cluster.advance(3.0)
    follower = cluster.others(leader)[0]
    follower.propose(LeaseGrantRequest(5, 77), PutRequest(b"a", lease=77))
    cluster.settle()
    before = leader.status().last_index
    cluster.advance(4.9)
    assert {fact(node, "leases") for node in cluster.nodes} == {1}
    assert leader.status().last_index == before
    cluster.advance(1.0)
    assert {(fact(n, "leases"), fact(n, "revision")) for n in cluster.nodes} == {(0, 3)}
    # One entry: only the leader has proposed.
    assert leader.status().last_index == before + 1


def test_without_a_leader_no_lease_ends(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    leader.propose(LeaseGrantRequest(5, 77))
    cluster.settle()
    first, second = cluster.others(leader)
    first.kill()
    second.kill()
    cluster.advance(20.0)
    assert fact(leader, "leases") == 1
    # A new leader counts anew: nobody could renew meanwhile.
    first.start()
    second.start()
    cluster.wait_for_leader()
    cluster.advance(4.0)
    assert {fact(node, "leases") for node in cluster.nodes} == {1}
    cluster.advance(8.0)
    assert {fact(node, "leases") for node in cluster.nodes} == {0}


def test_a_restarted_apply_of_the_leader_goes_on_ending_leases(cluster: MemoryCluster) -> None:
    leader = cluster.start()
    leader.propose(LeaseGrantRequest(5, 77))
    cluster.settle()
    leader.kill(APPLY)
    leader.start(APPLY)
    cluster.advance(10.0)
    assert {fact(node, "leases") for node in cluster.nodes} == {0}


# --- compaction -----------------------------------------------------------------------------------


def test_a_physical_compaction_is_answered_when_history_is_gone(node: MemoryNode) -> None:
    for _ in range(10):
        node.put(b"a")
    logical = node.propose(CompactionRequest(4))
    physical = node.propose(CompactionRequest(11, physical=True))
    node.cluster.settle()
    assert isinstance(node.answers(logical)[0], CompactionResponse)
    assert not node.is_answered(physical)
    # Writes go on meanwhile.
    assert node.put(b"b").header.revision == 12
    node.cluster.advance(1.0)
    assert node.answers(physical) == [CompactionResponse(node_header(node, 11))]
    assert fact(node, "compact_revision") == 11


def node_header(node: MemoryNode, revision: int) -> ResponseHeader:
    return ResponseHeader(revision, node.info.term)


def test_a_compaction_goes_on_after_a_restart(node: MemoryNode) -> None:
    for _ in range(30):
        node.put(b"a")
    node.propose(CompactionRequest(30, physical=True))
    node.cluster.settle()
    node.kill(APPLY)
    node.start(APPLY)
    node.cluster.advance(1.0)
    applier = node.actors[APPLY]
    assert isinstance(applier, ApplyActor)
    assert not applier._applier.is_compacting


# --- the end --------------------------------------------------------------------------------------


def test_a_clean_stop_lets_any_boot_believe_the_store(node: MemoryNode) -> None:
    node.put(b"a")
    node.shut_down(APPLY)
    node.cluster.settle()
    assert not node.actors[APPLY].is_running
    assert node.supervisor.of(Drained)
    node.kill(APPLY)
    assert lmdb_trust.open_directory(Path(node.config.store_dir()), "another boot")


def test_after_the_clean_mark_nothing_is_written(node: MemoryNode) -> None:
    for _ in range(30):
        node.put(b"a")
    batch = ProposalBatch(Origin(1, GATEWAY.role, 0, 1), 1, (PutRequest(b"late"),))
    applied = fact(node, "applied")
    node.propose(CompactionRequest(30))
    node.turn()
    node.cluster.settle()
    actor = node.actors[APPLY]
    assert isinstance(actor, ApplyActor)
    assert actor._applier.is_compacting
    before = actor._applier.state.compact_next_main
    node.shut_down(APPLY)
    # In the same turn, behind the request to stop.
    late = LogEntry(EntryType.NORMAL, node.info.term, applied + 2, encode(batch))
    node.raft.mailbox.send(APPLY, StorageApply((late,), applied + 2))
    node.cluster.clock.advance(1.0)
    actor.turn()
    assert actor._applier.state.consistent_index == applied + 1
    assert actor._applier.state.compact_next_main == before


def test_what_arrived_before_the_request_to_stop_is_applied(node: MemoryNode) -> None:
    applied = fact(node, "applied")
    batch = ProposalBatch(Origin(1, GATEWAY.role, 0, 1), 1, (PutRequest(b"a"),))
    entry = LogEntry(EntryType.NORMAL, node.info.term, applied + 1, encode(batch))
    node.raft.mailbox.send(APPLY, StorageApply((entry,), applied + 1))
    node.shut_down(APPLY)
    actor = node.actors[APPLY]
    actor.turn()
    assert not actor.is_running
    assert fact(node, "applied") == applied + 1


# --- the file -------------------------------------------------------------------------------------


def test_a_defragmentation_replaces_the_file_and_everybody_is_told_before_the_answer(
    node: MemoryNode,
) -> None:
    for number in range(20):
        node.put(b"k%d" % number, bytes(5_000))
    store = Path(node.config.store_dir())
    inode = (store / "data.mdb").stat().st_ino
    node.tell(APPLY, Defragment(7))
    # A second one joins the first.
    node.tell(APPLY, Defragment(8))
    node.cluster.settle()
    assert node.gateway.of(StoreReplaced) == [StoreReplaced()]
    assert node.gateway.of(Defragmented) == [Defragmented(7), Defragmented(8)]
    assert (store / "data.mdb").stat().st_ino != inode
    node.put(b"k1", b"after")
    node.cluster.settle()
    assert fact(node, "revision") == 22


# --- apply alone ----------------------------------------------------------------------------------


class Alone:
    """An apply actor whose raft is played by the test."""

    def __init__(self, node: MemoryNode, map_bytes: int = 1 << 30) -> None:
        self.post = MemoryPost(apply_actor.INBOX)
        self.raft = MemoryMailbox(self.post, RAFT, 1)
        self.supervisor = MemoryMailbox(self.post, SUPERVISOR, 1)
        mailbox = MemoryMailbox(self.post, APPLY, 2)
        setting = ActorSetting(node.config, ManualClock(10.0), mailbox, node.cluster.context)
        directory = Path(node.config.store_dir())
        lmdb_trust.open_directory(directory, "boot")
        self.backend = LmdbBackend(directory, map_bytes=map_bytes)
        applier = apply_actor.open_applier(node.config, self.backend)
        store = DefragmentableStore(self.backend, directory, map_bytes)
        self.actor = ApplyActor(setting, store, applier)
        for each in (self.raft, self.supervisor):
            each.greet(APPLY)
        self.actor.turn()
        for each in (self.raft, self.supervisor):
            each.receive(10)

    def apply(self, index: int, *requests: PutRequest) -> None:
        batch = ProposalBatch(Origin(1, GATEWAY.role, 0, 1), 1, requests)
        entry = LogEntry(EntryType.NORMAL, 1, index, encode(batch))
        self.raft.send(APPLY, StorageApply((entry,), index))
        self.actor.turn()


def put_entry(index: int, value: bytes) -> LogEntry:
    batch = ProposalBatch(Origin(1, GATEWAY.role, 0, 1), 1, (PutRequest(b"a", value),))
    return LogEntry(EntryType.NORMAL, 1, index, encode(batch))


@pytest.fixture
def idle(tmp_path: Path) -> Iterator[MemoryNode]:
    """A node that is not started."""
    cluster = MemoryCluster(tmp_path, "a")
    yield cluster.nodes[0]
    cluster.close()


def test_a_new_raft_is_told_where_the_store_stands(idle: MemoryNode) -> None:
    alone = Alone(idle)
    alone.apply(1, PutRequest(b"a"))
    alone.raft.receive(10)
    raft = MemoryMailbox(alone.post, RAFT, 2)
    raft.greet(APPLY)
    alone.actor.turn()
    messages = [each.message for each in raft.receive(10)]
    (state,) = [m for m in messages if isinstance(m, ApplyState)]
    assert (state.applied_index, state.applied_term) == (1, 1)
    alone.actor.close()


def test_entries_of_a_gone_raft_are_not_applied(idle: MemoryNode) -> None:
    alone = Alone(idle)
    raft = MemoryMailbox(alone.post, RAFT, 2)
    raft.greet(APPLY)
    alone.apply(1, PutRequest(b"a"))
    assert not [m for m in raft.receive(10) if isinstance(m.message, Applied)]
    assert dict(alone.actor.facts())["applied"] == "0"
    alone.actor.close()


def test_a_turn_applies_a_bounded_number_of_bytes(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path, "a", "[raft]\napply-bytes-max = 65536\n")
    alone = Alone(cluster.nodes[0])
    for index in range(1, 8):
        alone.raft.send(APPLY, StorageApply((put_entry(index, bytes(30_000)),), index))
    # What does not fit waits, but no longer than until the next turn.
    for applied in (3, 6, 7):
        alone.actor.turn()
        assert dict(alone.actor.facts())["applied"] == str(applied)
        assert (alone.actor.wait_seconds(10.0) == 0.0) is (applied < 7)
    alone.actor.close()
    cluster.close()


def test_an_entry_larger_than_a_turn_is_applied_alone(tmp_path: Path) -> None:
    cluster = MemoryCluster(tmp_path, "a", "[raft]\napply-bytes-max = 65536\n")
    alone = Alone(cluster.nodes[0])
    entries = tuple(put_entry(index, bytes(100_000)) for index in (1, 2))
    alone.raft.send(APPLY, StorageApply(entries, 2))
    alone.actor.turn()
    assert dict(alone.actor.facts())["applied"] == "1"
    alone.actor.close()
    cluster.close()


def test_the_death_of_a_reader_frees_what_it_held(idle: MemoryNode) -> None:
    alone = Alone(idle)
    assert alone.supervisor.send(APPLY, ActorGone(GATEWAY.role, 0, 1))
    alone.actor.turn()
    assert alone.actor.is_running
    alone.actor.close()


def test_a_full_map_ends_the_process_as_a_failed_disk(idle: MemoryNode) -> None:
    alone = Alone(idle, map_bytes=1 << 20)
    value = bytes(400_000)
    alone.apply(1, PutRequest(b"a", value))
    with pytest.raises(DiskFailed, match="MAP_FULL"):
        alone.apply(2, PutRequest(b"b", value), PutRequest(b"c", value))
    alone.actor.close()


def test_a_store_that_cannot_be_synced_gets_no_clean_mark(
    idle: MemoryNode,
) -> None:
    alone = Alone(idle)
    # LMDB answers every call from now on with an error.
    alone.backend.close()
    assert alone.supervisor.send(APPLY, Shutdown())
    with pytest.raises(DiskFailed, match="sync at the stop"):
        alone.actor.turn()
    alone.actor.close()
    directory = Path(idle.config.store_dir())
    # Nor this boot: its next sync would succeed, and vouch for what the kernel has forgotten.
    assert not lmdb_trust.is_trusted(directory, "boot")
    assert lmdb_trust.required_index(directory) == 0
    assert not lmdb_trust.open_directory(directory, "another boot")


def test_a_store_that_lmdb_cannot_open_is_a_failed_disk(idle: MemoryNode) -> None:
    directory = Path(idle.config.store_dir())
    lmdb_trust.open_directory(directory, lmdb_trust.boot_id())
    (directory / "data.mdb").write_bytes(b"no such thing" * 1000)
    mailbox = MemoryMailbox(MemoryPost(apply_actor.INBOX), APPLY, 2)
    setting = ActorSetting(idle.config, ManualClock(), mailbox, idle.cluster.context)
    with pytest.raises(DiskFailed, match=str(directory)):
        apply_actor.build(setting)


def test_wal_and_apply_of_a_stopped_node_can_be_started_again(node: MemoryNode) -> None:
    node.put(b"a")
    node.shut_down(RAFT, APPLY, WAL)
    node.cluster.settle()
    node.kill()
    node.start()
    node.cluster.wait_for_leader()
    assert node.put(b"a").header.revision == 3
