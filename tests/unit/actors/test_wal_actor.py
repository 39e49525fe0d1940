"""The wal actor: handshake, group commit, order of responses, reads, failures."""

from __future__ import annotations

from dataclasses import replace

import pytest

from zetcd.actors.actor import RAFT, SNAPSHOT, SUPERVISOR, WAL
from zetcd.actors.log_release import DEFAULT_RELEASE, ReleaseOptions
from zetcd.actors.wal_actor import INBOX, WalActor, founding_append
from zetcd.config import Config, WalConfig
from zetcd.errors import DiskFailed
from zetcd.messages.base import Message
from zetcd.messages.cluster import Member
from zetcd.messages.codec import UnionDecoder, decoder_of
from zetcd.messages.node import ActorReport, Drained, Hello, MemberTable, Shutdown
from zetcd.messages.raft import (
    AppendResp,
    ConfChange,
    ConfState,
    EntryType,
    HardState,
    LogEntry,
    PeerMessage,
    SnapshotMetadata,
    StorageAppendResp,
    VoteResp,
)
from zetcd.messages.snapshot import CheckpointMark, CheckpointMarked, CheckpointsKept, LogRelease
from zetcd.messages.storage import Appended, LogRead, LogReadResp, StorageAppend, WalState
from zetcd.runtime.clock import ManualClock
from zetcd.runtime.log_storage import LogOptions, open_log
from zetcd.runtime.mailbox import MemoryMailbox, MemoryPost
from zetcd.runtime.memory_files import MemoryFileSystem
from zetcd.runtime.memory_peer_links import MemoryNetwork, MemoryPeerLinks, MemoryPeerSender

PEER_MESSAGES = UnionDecoder(PeerMessage)


class Node:
    """A wal actor with a mailbox in the place of raft."""

    def __init__(self, config: WalConfig | None = None) -> None:
        self.disk = MemoryFileSystem()
        options = LogOptions(cluster_id=1, member_id=2, segment_bytes=1 << 16)
        self.post = MemoryPost(INBOX)
        self.supervisor = MemoryMailbox(self.post, SUPERVISOR, 1)
        self.raft = MemoryMailbox(self.post, RAFT, 1)
        mailbox = MemoryMailbox(self.post, WAL, 1)
        storage = open_log(self.disk, "/wal", options)
        self.clock = ManualClock()
        self.network = MemoryNetwork()
        #: Member 3, which hears what wal sends to it directly.
        self.peer = MemoryPeerLinks(self.network, 3)
        self.actor = WalActor(
            mailbox,
            self.clock,
            storage,
            config or WalConfig(),
            node_id=2,
            sender=MemoryPeerSender(self.network, 2),
        )
        for each in (self.raft, self.supervisor):
            each.greet(WAL)
        self.turn()
        self.received(self.supervisor)
        self.turn()

    def turn(self) -> list[Message]:
        self.actor.turn()
        return self.received(self.raft)

    @staticmethod
    def received(mailbox: MemoryMailbox) -> list[Message]:
        return [each.message for each in mailbox.receive(1000) if type(each.message) is not Hello]

    def send(self, *messages: Message) -> list[Message]:
        for message in messages:
            assert self.raft.send(WAL, message)
        return self.turn()


@pytest.fixture
def node() -> Node:
    return Node()


def entry(index: int, data: bytes = b"x", term: int = 1) -> LogEntry:
    return LogEntry(EntryType.NORMAL, term, index, data)


def response(number: int) -> VoteResp:
    return VoteResp(sender=1, to=number, term=1)


def append(index: int, number: int = 0, data: bytes = b"x") -> StorageAppend:
    return StorageAppend((entry(index, data),), HardState(1, 1, 0), None, (response(number),))


def test_a_new_raft_is_told_what_the_log_holds(node: Node) -> None:
    node.send(append(1))
    node.raft = MemoryMailbox(node.post, RAFT, 2)
    node.raft.greet(WAL)
    states = [m for m in (*node.turn(), *node.turn()) if isinstance(m, WalState)]
    assert [(s.last_index, s.hard_state, s.tail) for s in states] == [
        (1, HardState(1, 1, 0), (entry(1),))
    ]


def test_what_an_old_raft_left_is_not_written_for_the_new_one(node: Node) -> None:
    node.raft.send(WAL, append(1))
    node.raft = MemoryMailbox(node.post, RAFT, 2)
    node.raft.greet(WAL)
    states = [m for m in (*node.turn(), *node.turn()) if isinstance(m, WalState)]
    assert [s.last_index for s in states] == [0]


def test_what_waits_together_is_one_batch_with_all_responses_in_order(node: Node) -> None:
    node.disk.calls.clear()
    answers = node.send(*(append(index, number=index) for index in range(1, 6)))
    assert answers == [Appended(tuple(response(n) for n in range(1, 6)), 0, 5)]
    assert node.disk.calls == {"pwrite": 1, "fdatasync": 1}


def test_a_batch_is_bounded_and_the_rest_follows_at_once() -> None:
    node = Node(replace(WalConfig(), batch_bytes_max=1000))
    answers = node.send(*(append(index, index, bytes(400)) for index in range(1, 6)))
    assert node.actor.wait_seconds(0.0) == 0.0
    answers += [*node.turn(), *node.turn()]
    assert [a.entries_count for a in answers if isinstance(a, Appended)] == [2, 2, 1]
    assert node.actor.wait_seconds(0.0) > 0.0


def test_responses_without_anything_to_write_need_no_disk(node: Node) -> None:
    node.send(append(1))
    node.disk.calls.clear()
    answers = [StorageAppend(responses=(response(number),)) for number in (6, 7)]
    assert node.send(*answers) == [Appended((response(6), response(7)), 0, 0)]
    assert node.disk.calls == {}


# --- what leaves straight from here -----------------------------------------------------------------


PEER = 3
TABLE = MemberTable((Member(2, "own", ("tcp://own",)), Member(PEER, "peer", ("tcp://peer",))))


def own(index: int) -> StorageAppendResp:
    return StorageAppendResp(2, 2, 1, index, 1)


def follower_append(index: int) -> StorageAppend:
    answer = AppendResp(2, PEER, 1, index)
    return StorageAppend((entry(index),), None, None, (own(index), answer))


def heard(node: Node) -> list[Message]:
    """Return what the peer has been sent."""
    node.network.deliver_all()
    return [PEER_MESSAGES.decode(frame.body) for frame in node.peer.receive(1000)]


def test_an_answer_for_a_peer_leaves_at_once_and_raft_hears_of_its_disk_later(node: Node) -> None:
    node.send(TABLE)
    assert node.send(follower_append(1)) == []
    assert heard(node) == [AppendResp(2, PEER, 1, 1)]
    seconds = node.actor.wait_seconds(node.clock.now())
    assert 0.0 < seconds < 0.1
    assert node.send(follower_append(2)) == []
    node.clock.advance(seconds)
    assert node.turn() == [Appended((own(1), own(2)), 0, 2)]
    assert heard(node) == [AppendResp(2, PEER, 1, 2)]


def test_what_only_raft_waits_for_is_told_at_once_with_everything_before_it(node: Node) -> None:
    node.send(TABLE)
    assert node.send(follower_append(1)) == []
    vote = VoteResp(2, 2, 2)
    asked = StorageAppend((), HardState(2, 2, 0), None, (vote,))
    assert node.send(asked) == [Appended((own(1), vote), 0, 1)]
    assert node.actor.wait_seconds(node.clock.now()) > 0.1


def test_raft_is_not_kept_waiting_for_many_batches(node: Node) -> None:
    node.send(TABLE)
    told = [message for index in range(1, 66) for message in node.send(follower_append(index))]
    assert told == [Appended(tuple(own(index) for index in range(1, 65)), 0, 64)]


def test_no_answer_leaves_before_its_entries_are_durable(node: Node) -> None:
    node.send(TABLE)
    node.disk.fail_call(2)
    node.raft.send(WAL, follower_append(1))
    with pytest.raises(DiskFailed):
        node.actor.turn()
    assert heard(node) == []
    node.actor.close()


def test_an_answer_for_a_member_that_wal_does_not_know_goes_through_raft(node: Node) -> None:
    answer = AppendResp(2, PEER, 1, 1)
    assert node.send(follower_append(1)) == [Appended((own(1), answer), 0, 1)]


def test_a_new_raft_does_not_hear_what_was_held_for_the_old_one(node: Node) -> None:
    node.send(TABLE)
    node.send(follower_append(1))
    node.raft = MemoryMailbox(node.post, RAFT, 2)
    node.raft.greet(WAL)
    node.clock.advance(1.0)
    assert [type(m) for m in (*node.turn(), *node.turn())] == [WalState]


def test_shutdown_tells_raft_what_was_held(node: Node) -> None:
    node.send(TABLE)
    node.send(follower_append(1))
    node.supervisor.send(WAL, Shutdown())
    assert node.turn() == [Appended((own(1),), 0, 1)]
    node.actor.close()


def test_a_read_sees_the_appends_that_came_before_it(node: Node) -> None:
    answers = node.send(append(1), append(2), LogRead(9, 1, 5, 1 << 20), append(3))
    assert answers == [
        Appended((response(0),) * 3, 0, 3),
        LogReadResp(9, 1, (entry(1), entry(2), entry(3))),
    ]
    assert node.send(LogRead(9, 4, 5, 99)) == [LogReadResp(9, 4, ())]


def test_a_read_is_bounded_by_the_configuration_too() -> None:
    node = Node(replace(WalConfig(), read_bytes_max=500))
    node.send(*(append(index, 0, bytes(200)) for index in range(1, 6)))
    (answer,) = node.send(LogRead(9, 1, 6, 1 << 20))
    assert isinstance(answer, LogReadResp)
    assert [e.index for e in answer.entries] == [1, 2]


@pytest.mark.parametrize("call", [1, 2])
def test_after_a_failed_write_or_sync_no_response_leaves(node: Node, call: int) -> None:
    node.disk.fail_call(call)
    node.raft.send(WAL, append(1, 5))
    with pytest.raises(DiskFailed):
        node.actor.turn()
    assert node.received(node.raft) == []
    node.actor.close()


def test_shutdown_finishes_what_was_accepted(node: Node) -> None:
    node.raft.send(WAL, append(1, 5))
    node.raft.send(WAL, StorageAppend((), HardState(1, 1, 1)))
    node.supervisor.send(WAL, Shutdown())
    node.actor.turn()
    assert not node.actor.is_running
    assert [a.responses for a in node.received(node.raft) if isinstance(a, Appended)] == [
        (response(5),)
    ]
    assert any(isinstance(m, Drained) for m in node.received(node.supervisor))
    node.actor.close()
    recovered = open_log(
        node.disk.crash(lambda _path, _page: False), "/wal", LogOptions(cluster_id=1, member_id=2)
    )
    assert recovered.state().hard_state == HardState(1, 1, 1)


def test_reports_show_the_figures_of_the_log(node: Node) -> None:
    node.send(append(1))
    node.actor.report(1.0)
    reports = [m for m in node.received(node.supervisor) if isinstance(m, ActorReport)]
    facts = dict(reports[-1].facts)
    assert facts["last_index"] == "1"
    assert list(facts) == sorted(facts)


def test_founders_all_write_the_same_log() -> None:
    cluster = "b=tcp://127.0.0.1:2390,a=tcp://127.0.0.1:2380"
    appends = [
        founding_append(
            Config(name=name, initial_cluster=cluster, initial_advertise_peer_urls=(url,))
        )
        for name, url in (("a", "tcp://127.0.0.1:2380"), ("b", "tcp://127.0.0.1:2390"))
    ]
    assert appends[0] == appends[1]
    entries = appends[0].entries
    assert [(e.index, e.term, e.type) for e in entries] == [
        (1, 1, EntryType.CONF_CHANGE),
        (2, 1, EntryType.CONF_CHANGE),
    ]
    changes = [decoder_of(ConfChange).decode(e.data) for e in entries]
    members = [decoder_of(Member).decode(c.context) for c in changes]
    assert [c.node_id for c in changes] == sorted(c.node_id for c in changes)
    assert sorted(m.name for m in members) == ["a", "b"]
    assert appends[0].hard_state == HardState(1, 0, 2)


def test_a_mark_does_not_wait_for_raft(node: Node) -> None:
    """After a restart of both, snapshot may ask for a mark before raft has said anything."""
    node.send(append(1))
    node.actor.close()
    node.post.remove(RAFT)
    node.actor = WalActor(
        MemoryMailbox(node.post, WAL, 2),
        node.clock,
        open_log(node.disk, "/wal", LogOptions(cluster_id=1, member_id=2, segment_bytes=1 << 16)),
        WalConfig(),
        node_id=2,
        sender=MemoryPeerSender(node.network, 2),
    )
    snapshot = MemoryMailbox(node.post, SNAPSHOT, 1)
    snapshot.greet(WAL)
    node.actor.turn()
    node.received(snapshot)
    mark = SnapshotMetadata(1, 1, ConfState((2,)))
    assert snapshot.send(WAL, CheckpointMark(mark))
    for _ in range(3):
        node.clock.seconds += 0.1
        node.actor.turn()
    told = [each for each in node.received(snapshot) if isinstance(each, CheckpointMarked)]
    assert [each.snapshot for each in told] == [mark]


# --- what may go of the log --------------------------------------------------------------------------


class Releasing:
    """A wal actor whose log of 20 entries has small segments, and snapshot beside raft."""

    def __init__(self, node: Node, release: ReleaseOptions = DEFAULT_RELEASE) -> None:
        self._node = node
        node.actor.close()
        node.disk.unlock_all()
        options = LogOptions(cluster_id=1, member_id=2, segment_bytes=512)
        self.storage = open_log(node.disk, "/small", options)
        node.actor = WalActor(
            MemoryMailbox(node.post, WAL, 2),
            node.clock,
            self.storage,
            WalConfig(),
            node_id=2,
            sender=MemoryPeerSender(node.network, 2),
            release=release,
        )
        self.snapshot = MemoryMailbox(node.post, SNAPSHOT, 1)
        for each in (node.raft, self.snapshot):
            each.greet(WAL)
        for _ in range(2):
            node.turn()
            node.received(self.snapshot)
        for index in range(1, 21):
            node.send(append(index, data=bytes(100)))

    def first_index(
        self, *, mark: int = 0, kept: int | None = None, released: int | None = None
    ) -> int:
        """Return where the log begins after wal was told this."""
        if mark:
            self.snapshot.send(WAL, CheckpointMark(SnapshotMetadata(mark, 1, ConfState((2,)))))
        if kept is not None:
            self.snapshot.send(WAL, CheckpointsKept(kept))
        if released is not None:
            self._node.raft.send(WAL, LogRelease(released))
        said = [message for _ in range(20) for message in self._node.turn()]
        marked = [each for each in said if isinstance(each, CheckpointMarked)]
        if marked:
            assert marked[-1].first_index == self.storage.start_index
        return self.storage.start_index


def test_snapshot_and_raft_are_told_of_a_mark_before_anything_goes(node: Node) -> None:
    """raft offers the checkpoint from then on: it offers nothing behind which the log is about to go."""
    releasing = Releasing(node)
    node.received(releasing.snapshot)
    assert releasing.first_index(mark=15) == 1
    told = [each for each in node.received(releasing.snapshot) if type(each) is CheckpointMarked]
    assert told == [CheckpointMarked(SnapshotMetadata(15, 1, ConfState((2,))), 1)]


def test_the_log_goes_when_neither_checkpoints_nor_members_need_it(node: Node) -> None:
    releasing = Releasing(node)
    assert releasing.first_index(mark=15, kept=15) == 1
    assert releasing.first_index(released=15) == 16


def test_the_log_of_a_member_on_its_way_stays(node: Node) -> None:
    releasing = Releasing(node)
    assert 1 < releasing.first_index(mark=15, kept=15, released=8) <= 9
    assert releasing.first_index(released=15) == 16


def test_the_log_that_an_older_checkpoint_needs_stays(node: Node) -> None:
    releasing = Releasing(node)
    assert releasing.first_index(mark=15, kept=0, released=15) == 1
    assert 1 < releasing.first_index(kept=8) <= 9


def test_what_is_kept_for_a_member_alone_is_bounded(node: Node) -> None:
    releasing = Releasing(node, ReleaseOptions(held_bytes_max=1024))
    assert 9 < releasing.first_index(mark=15, kept=15, released=8) <= 16


def test_the_word_of_a_raft_that_is_gone_is_void(node: Node) -> None:
    releasing = Releasing(node)
    releasing.first_index(released=15)
    node.raft = MemoryMailbox(node.post, RAFT, 2)
    node.raft.greet(WAL)
    assert releasing.first_index(mark=15, kept=15) == 1


def test_entries_below_a_checkpoint_are_kept_for_followers_a_little_behind(node: Node) -> None:
    releasing = Releasing(node, ReleaseOptions(catchup_entries=5))
    assert 1 < releasing.first_index(mark=15, kept=15, released=15) <= 15 - 5 + 1
