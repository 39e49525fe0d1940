"""The watch actor with the real hub and a real store; its neighbours are played by mailboxes."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
import zmq

from tests.unit.watch.stage import decode_response
from zetcd.actors import watch_actor
from zetcd.actors.actor import APPLY, RAFT, SUPERVISOR, WATCH
from zetcd.actors.entry import ActorSetting
from zetcd.actors.watch_actor import WatchActor, watch_options
from zetcd.config import Config, parse_config
from zetcd.errors import RequestTooManyRequests
from zetcd.messages.base import Message
from zetcd.messages.codec import UnionDecoder
from zetcd.messages.kv import DeleteRangeRequest, Event, EventType, PutRequest
from zetcd.messages.node import (
    ActorGone,
    ActorReport,
    ActorRole,
    Drained,
    EventBatch,
    Hello,
    LeaderInfo,
    RevisionEvents,
    Role,
    Shutdown,
    StoreReplaced,
    WatchDelivery,
    WatchForward,
    WatchRegister,
    WatchResume,
    WatchSessionClosed,
)
from zetcd.messages.watch import WatchCreateRequest, WatchCredit, WatchResponse
from zetcd.mvcc.state import load_state, save_state
from zetcd.mvcc.store import StoreWriter
from zetcd.runtime.clock import ManualClock
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.mailbox import Address, MemoryMailbox, MemoryPost
from zetcd.runtime.memory_backend import MemoryBackend

# A class of its own derives from a mailbox, which compiled ones do not allow.
pytestmark = pytest.mark.interpreted

GATEWAY = Address(ActorRole.GATEWAY, 0)
_Everything = (
    Hello
    | ActorReport
    | Drained
    | LeaderInfo
    | EventBatch
    | WatchForward
    | WatchRegister
    | WatchSessionClosed
    | WatchDelivery
)


class FussyMailbox(MemoryMailbox):
    """A mailbox whose pipes may be full."""

    is_full = False
    backlog_messages = 0

    def send(self, to: Address, message: Message) -> bool:
        return not (self.is_full and to == GATEWAY) and super().send(to, message)

    def backlog(self, to: Address) -> int:
        return self.backlog_messages if to == GATEWAY else 0


class Node:
    """A node of which only watch is real, and the store."""

    def __init__(self) -> None:
        self.config: Config = parse_config('name = "a"\n')
        self.clock = ManualClock(10.0)
        self.post = MemoryPost(UnionDecoder(_Everything))
        self.boxes = {
            each: MemoryMailbox(self.post, each, 1) for each in (SUPERVISOR, RAFT, APPLY, GATEWAY)
        }
        self.store = MemoryBackend()
        self.has_store = True
        self.opened_count = 0
        self.start(2)

    def start(self, incarnation: int) -> None:
        self.mailbox = FussyMailbox(self.post, WATCH, incarnation)
        self.actor = WatchActor(
            self.mailbox,
            self.clock,
            options=watch_options(self.config),
            rng=Random(1),
            open_store=self._open,
            close_store=lambda: None,
        )
        for each in self.boxes:
            self.mailbox.greet(each)
        self.responses: list[WatchResponse] = []
        for box in self.boxes.values():
            box.receive(100)
        self.vouch()
        self.turn()

    def vouch(self) -> None:
        """Say where the store stands, as apply does once it is what it should be."""
        with self.store.read() as transaction:
            revision = load_state(transaction).current_revision
        self.send(APPLY, EventBatch((), revision, 0, raft_term=0))

    def _open(self) -> MemoryBackend | None:
        self.opened_count += 1
        return self.store if self.has_store else None

    def write(self, *requests: PutRequest | DeleteRangeRequest) -> RevisionEvents:
        """One revision in the store, as apply would commit it."""
        with self.store.write() as transaction:
            state = load_state(transaction)
            writer = StoreWriter(transaction, state)
            for request in requests:
                if isinstance(request, PutRequest):
                    writer.execute_put(request)
                else:
                    writer.execute_delete_range(request)
            changes = writer.end()
            save_state(transaction, state)
        assert changes is not None
        return changes

    def send(self, sender: Address, message: Message) -> None:
        assert self.boxes[sender].send(WATCH, message)

    def say(self, request: WatchCreateRequest | WatchCredit) -> None:
        self.send(GATEWAY, WatchForward(7, request))

    def batch(self, *revisions: RevisionEvents) -> None:
        current = revisions[-1].revision if revisions else 0
        self.send(APPLY, EventBatch(revisions, current, 0, raft_term=3))

    def turn(self, seconds: float = 0.0) -> list[WatchResponse]:
        self.clock.advance(seconds)
        self.actor.turn()
        # Whatever was read is given back: a writer would fail otherwise.
        with self.store.write():
            pass
        fresh = [
            decode_response(body)
            for received in self.boxes[GATEWAY].receive(1000)
            if isinstance(received.message, WatchDelivery)
            for _, body in received.message.bodies
        ]
        self.responses += fresh
        return fresh


def put(key: bytes, value: bytes = b"v") -> PutRequest:
    return PutRequest(key, value)


def test_a_put_reaches_its_watcher() -> None:
    node = Node()
    node.say(WatchCreateRequest(1, b"a", prev_kv=True))
    (created,) = node.turn()
    assert (created.created, created.header.revision) == (True, 1)
    node.batch(node.write(put(b"a", b"1")))
    node.batch(node.write(put(b"a", b"2")))
    (response,) = node.turn()
    first, second = response.events
    assert (first.kv.value, first.prev_kv) == (b"1", None)
    assert second.prev_kv == first.kv
    assert (response.header.revision, response.header.raft_term) == (3, 3)


def test_history_is_read_from_the_store_by_revision() -> None:
    node = Node()
    expected: list[Event] = []
    for number in range(5):
        expected += node.write(put(b"a", b"%d" % number)).events
    expected += node.write(DeleteRangeRequest(b"a")).events
    # Apply greets a new incarnation with where the store stands.
    node.send(APPLY, EventBatch((), 7, 0, raft_term=3))
    node.say(WatchCreateRequest(1, b"a", start_revision=2, prev_kv=True))
    created, response = node.turn()
    assert created.created
    assert [event.kv for event in response.events] == [event.kv for event in expected]
    assert response.events[-1].type is EventType.DELETE
    assert response.events[-1].prev_kv == response.events[-2].kv


def test_requests_wait_for_the_store() -> None:
    node = Node()
    node.has_store = False
    node.boxes[APPLY].incarnation = 5
    node.boxes[APPLY].greet(WATCH)
    node.vouch()
    node.turn()
    node.say(WatchCreateRequest(1, b"a"))
    assert node.turn() == []
    assert node.actor.wait_seconds(node.clock.now()) > 0
    node.write(put(b"a"))
    node.has_store = True
    (created,) = node.turn(seconds=1.0)
    assert created.header.revision == 2


def test_too_many_requests_without_a_store_stop_the_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_actor, "_MESSAGES_WAITING_MAX", 3)
    node = Node()
    node.has_store = False
    node.boxes[APPLY].incarnation = 5
    node.boxes[APPLY].greet(WATCH)
    for _ in range(4):
        node.say(WatchCreateRequest(1, b"a"))
    with pytest.raises(RequestTooManyRequests):
        node.turn()


def test_batches_lost_with_apply_are_read_from_the_store() -> None:
    node = Node()
    node.say(WatchCreateRequest(1, b"a"))
    node.turn()
    node.write(put(b"a", b"lost"))
    node.boxes[APPLY].incarnation = 5
    node.boxes[APPLY].greet(WATCH)
    node.vouch()
    (response,) = node.turn()
    assert [event.kv.value for event in response.events] == [b"lost"]
    assert node.opened_count == 2


def test_the_store_of_a_new_apply_is_not_opened_before_apply_vouches_for_it() -> None:
    """A greeting comes early: apply may still put another file in the place of the one that is there.

    Whoever has opened the old one by then would read it for ever, and it never changes again.
    """
    node = Node()
    node.boxes[APPLY].incarnation = 5
    node.boxes[APPLY].greet(WATCH)
    node.say(WatchCreateRequest(1, b"a"))
    assert node.turn(seconds=10.0) == []
    assert node.opened_count == 1
    node.vouch()
    (created,) = node.turn()
    assert created.created
    assert node.opened_count == 2


def test_a_replaced_store_is_opened_anew_and_no_event_is_lost() -> None:
    node = Node()
    node.say(WatchCreateRequest(1, b"a"))
    node.turn()
    opened = node.opened_count
    before = node.write(put(b"a", b"1"))
    node.batch(before)
    node.send(APPLY, StoreReplaced())
    node.batch(node.write(put(b"a", b"2")))
    node.turn()
    node.turn()
    assert node.opened_count == opened + 1
    values = [event.kv.value for response in node.responses for event in response.events]
    assert values == [b"1", b"2"]


def test_a_new_watch_goes_on_with_registered_streams() -> None:
    node = Node()
    request = WatchCreateRequest(1, b"a")
    node.say(request)
    node.turn()
    node.write(put(b"a", b"missed"))
    node.start(incarnation=3)
    resume = WatchResume(request, 0, 2)
    node.send(GATEWAY, WatchRegister(7, 1, 2, 10, 10_000, (resume,)))
    (response,) = node.turn()
    assert (response.sequence, response.created) == (2, False)
    assert [event.kv.value for event in response.events] == [b"missed"]


def test_a_new_gateway_begins_without_streams() -> None:
    node = Node()
    node.say(WatchCreateRequest(1, b"a"))
    node.turn()
    node.boxes[GATEWAY] = MemoryMailbox(node.post, GATEWAY, 9)
    node.boxes[GATEWAY].greet(WATCH)
    node.batch(node.write(put(b"a")))
    assert node.turn() == []
    assert dict(node.actor.facts())["streams"] == "0"


def test_a_dead_gateway_is_forgotten_but_not_its_successor() -> None:
    node = Node()
    node.say(WatchCreateRequest(1, b"a"))
    node.turn()
    supervisor = node.actor
    supervisor.handle(SUPERVISOR, ActorGone(ActorRole.GATEWAY, 0, incarnation=77), 0.0)
    assert dict(node.actor.facts())["streams"] == "1"
    supervisor.handle(SUPERVISOR, ActorGone(ActorRole.GATEWAY, 0, incarnation=1), 0.0)
    supervisor.handle(SUPERVISOR, ActorGone(ActorRole.WAL, 0, incarnation=1), 0.0)
    assert dict(node.actor.facts())["streams"] == "0"


def test_nothing_is_made_for_a_gateway_with_a_backlog() -> None:
    node = Node()
    node.say(WatchCreateRequest(1, b"a"))
    node.turn()
    node.mailbox.backlog_messages = 1_000
    for _ in range(3):
        node.batch(node.write(put(b"a")))
        assert node.turn() == []
    assert dict(node.actor.facts())["watchers_victim"] == "1"
    assert node.actor.wait_seconds(node.clock.now()) <= 0.01
    node.mailbox.backlog_messages = 0
    responses = node.turn() + node.turn()
    assert [e.kv.mod_revision for r in responses for e in r.events] == [2, 3, 4]


def test_refused_deliveries_are_kept_in_order() -> None:
    node = Node()
    node.say(WatchCreateRequest(1, b"a"))
    node.turn()
    node.mailbox.is_full = True
    node.batch(node.write(put(b"a")))
    assert node.turn() == []
    node.batch(node.write(put(b"a")))
    assert node.turn() == []
    node.mailbox.is_full = False
    responses = node.turn() + node.turn()
    assert [response.sequence for response in responses] == [2, 3]
    assert [e.kv.mod_revision for r in responses for e in r.events] == [2, 3]


def test_leader_info_sets_the_term_of_headers() -> None:
    node = Node()
    node.send(RAFT, LeaderInfo(9, 1, Role.FOLLOWER))
    node.say(WatchCreateRequest(1, b"a"))
    (created,) = node.turn()
    assert created.header.raft_term == 9


def test_a_closed_session_is_forgotten_and_shutdown_stops() -> None:
    node = Node()
    node.say(WatchCreateRequest(1, b"a"))
    node.turn()
    node.send(GATEWAY, WatchSessionClosed(7))
    node.batch(node.write(put(b"a")))
    assert node.turn() == []
    node.actor.shut_down(Shutdown(), node.clock.now())
    assert not node.actor.is_running
    node.actor.close()


def test_built_from_the_configuration_over_lmdb(tmp_path: Path) -> None:
    config = parse_config(f'name = "a"\ndata-dir = "{tmp_path}"\n')
    post = MemoryPost(UnionDecoder(_Everything))
    apply = MemoryMailbox(post, APPLY, 1)
    gateway = MemoryMailbox(post, GATEWAY, 1)
    mailbox = MemoryMailbox(post, WATCH, 2)
    clock = ManualClock(10.0)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    actor, sources = watch_actor.build(ActorSetting(config, clock, mailbox, context))
    assert sources == ()
    for each in (APPLY, GATEWAY):
        mailbox.greet(each)
    apply.receive(10)
    gateway.receive(10)
    actor.turn()
    assert dict(actor.facts())["revision"] == "0"
    # What apply would have written; in another process it would stay open.
    directory = Path(config.store_dir())
    directory.mkdir(parents=True)
    store = LmdbBackend(directory, map_bytes=config.map_bytes())
    with store.write() as transaction:
        state = load_state(transaction)
        writer = StoreWriter(transaction, state)
        writer.execute_put(put(b"a", b"1"))
        writer.end()
        save_state(transaction, state)
    store.close()
    gateway.send(WATCH, WatchForward(1, WatchCreateRequest(1, b"a", start_revision=1)))
    apply.send(WATCH, EventBatch((), 2, 0, raft_term=1))
    actor.turn()
    assert actor.is_ready
    bodies = [
        decode_response(body)
        for received in gateway.receive(10)
        if isinstance(received.message, WatchDelivery)
        for _, body in received.message.bodies
    ]
    assert [event.kv.value for event in bodies[-1].events] == [b"1"]
    actor.close()
    context.term()


def test_neighbours_are_all_who_send() -> None:
    config = parse_config('name = "a"\n[gateway]\nnative-processes = 2\n')
    gateways = (GATEWAY, Address(ActorRole.GATEWAY, 1), Address(ActorRole.ETCD_GATEWAY))
    expected = (SUPERVISOR, RAFT, APPLY, *gateways)
    assert watch_actor.neighbours(config, 0) == expected
