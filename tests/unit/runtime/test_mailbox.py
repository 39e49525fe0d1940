"""Mailboxes: hellos, order, incarnations, bounds; the same promises over ZeroMQ and in memory."""

from __future__ import annotations

import shutil
import struct
import tempfile
import time
from collections.abc import Callable, Iterator

import pytest
import zmq

from zetcd.errors import InvariantViolation
from zetcd.messages.base import Message
from zetcd.messages.codec import DECODE_ERRORS, UnionDecoder, encode
from zetcd.messages.node import ActorRole, Hello, ReadIndex, Shutdown
from zetcd.runtime.mailbox import (
    OUTBOX_MESSAGES_MAX,
    Address,
    Mailbox,
    MemoryMailbox,
    MemoryPost,
    Received,
    ZmqMailbox,
    socket_path,
)

RAFT = Address(ActorRole.RAFT)
WAL = Address(ActorRole.WAL)
APPLY = Address(ActorRole.APPLY)
GATEWAY = Address(ActorRole.GATEWAY, 3)
_Inbox = Hello | ReadIndex | Shutdown
DECODER = UnionDecoder(_Inbox)
PATIENCE_SECONDS = 20.0


class ZmqNode:
    """Makes mailboxes over ipc in a directory of its own; a path must be short."""

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(dir="/tmp")
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.boxes: list[ZmqMailbox] = []
        self.intruders: list[zmq.Socket[bytes]] = []

    def start(self, address: Address, incarnation: int, *neighbours: Address) -> ZmqMailbox:
        box = ZmqMailbox(
            self.directory,
            address,
            incarnation,
            neighbours=neighbours,
            decoder=DECODER,
            context=self.context,
        )
        self.boxes.append(box)
        return box

    def kill(self, box: Mailbox) -> None:
        assert isinstance(box, ZmqMailbox)
        self.boxes.remove(box)
        box.close()

    def intruder(self, to: Address) -> zmq.Socket[bytes]:
        """A socket that writes whatever it likes into an inbox."""
        socket = self.context.socket(zmq.PUSH)
        socket.connect(socket_path(self.directory, to))
        self.intruders.append(socket)
        return socket

    def close(self) -> None:
        for box in self.boxes:
            box.close()
        for socket in self.intruders:
            socket.close(0)
        self.context.term()
        shutil.rmtree(self.directory)


class MemoryNode:
    """Makes mailboxes in memory."""

    def __init__(self) -> None:
        self.post = MemoryPost(DECODER)

    def start(self, address: Address, incarnation: int, *neighbours: Address) -> MemoryMailbox:
        box = MemoryMailbox(self.post, address, incarnation)
        for neighbour in neighbours:
            box.greet(neighbour)
        return box

    def kill(self, box: Mailbox) -> None:
        self.post.remove(box.address)

    def close(self) -> None:
        """Nothing to close."""


@pytest.fixture(params=[ZmqNode, MemoryNode])
def node(request: pytest.FixtureRequest) -> Iterator[ZmqNode | MemoryNode]:
    node = request.param()
    yield node
    node.close()


@pytest.fixture
def zmq_node() -> Iterator[ZmqNode]:
    node = ZmqNode()
    yield node
    node.close()


def wait_until(is_done: Callable[[], bool], box: Mailbox) -> None:
    """Wait for input of ``box`` until ``is_done``."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_done():
        assert time.monotonic() < deadline, "waited too long"
        if isinstance(box, ZmqMailbox):
            box.inbox.poll(10)


def receive(box: Mailbox, count: int) -> list[Received]:
    """Return the next ``count`` messages."""
    received: list[Received] = []

    def is_done() -> bool:
        received.extend(box.receive(count - len(received)))
        return len(received) == count

    wait_until(is_done, box)
    return received


def introduce(one: Mailbox, other: Mailbox) -> list[Received]:
    """Wait until both know each other; return what came out."""
    received: list[Received] = []

    def is_done() -> bool:
        received.extend((*one.receive(9), *other.receive(9)))
        return bool(one.incarnation_of(other.address)) and bool(other.incarnation_of(one.address))

    wait_until(is_done, one)
    return received


def ids(received: list[Received]) -> list[int]:
    return [each.message.request_id for each in received if isinstance(each.message, ReadIndex)]


def frame(sender: Address, incarnation: int, meant_for: int, message: Message) -> bytes:
    """A message in its envelope, as documented."""
    return struct.pack(">BBHII", *sender, 0, incarnation, meant_for) + encode(message)


# --- promises of both kinds -----------------------------------------------------------------------


def test_neighbours_learn_of_each_other_whoever_starts_first(node: ZmqNode | MemoryNode) -> None:
    raft = node.start(RAFT, 4, WAL)
    wal = node.start(WAL, 5, RAFT)
    hellos = introduce(raft, wal)
    # Each comes out once, although more than one is said.
    assert sorted(hellos) == [Received(RAFT, 4, Hello()), Received(WAL, 5, Hello())]
    assert (raft.incarnation_of(WAL), wal.incarnation_of(RAFT)) == (5, 4)
    assert raft.send(WAL, ReadIndex(1))
    assert receive(wal, 1)[0].message == ReadIndex(1)


def test_nothing_can_be_sent_before_the_receiver_said_hello(node: ZmqNode | MemoryNode) -> None:
    raft = node.start(RAFT, 1, WAL)
    assert not raft.send(WAL, ReadIndex(1))
    wal = node.start(WAL, 2, RAFT)
    introduce(raft, wal)
    assert raft.send(WAL, ReadIndex(2))
    assert ids(receive(wal, 1)) == [2]


def test_messages_arrive_in_order_with_their_sender(node: ZmqNode | MemoryNode) -> None:
    raft, wal = node.start(RAFT, 1, WAL), node.start(WAL, 2, RAFT)
    introduce(raft, wal)
    for number in range(1_000):
        assert raft.send(WAL, ReadIndex(number))
    received = receive(wal, 1_000)
    assert ids(received) == list(range(1_000))
    assert {each[:2] for each in received} == {(RAFT, 1)}


def test_encoded_messages_travel_like_others(node: ZmqNode | MemoryNode) -> None:
    raft, wal = node.start(RAFT, 1, WAL), node.start(WAL, 2, RAFT)
    introduce(raft, wal)
    assert raft.send(WAL, ReadIndex(1))
    assert raft.send_encoded(WAL, encode(ReadIndex(2)))
    assert ids(receive(wal, 2)) == [1, 2]


def test_at_most_the_limit_is_received_and_the_rest_stays(node: ZmqNode | MemoryNode) -> None:
    raft, wal = node.start(RAFT, 1, WAL), node.start(WAL, 2, RAFT)
    introduce(raft, wal)
    for number in range(10):
        raft.send(WAL, ReadIndex(number))
    assert ids(receive(wal, 4)) == [0, 1, 2, 3]
    assert wal.has_more
    assert len(wal.receive(4)) <= 4


def test_it_says_whether_it_looked_until_there_was_nothing_left(
    node: ZmqNode | MemoryNode,
) -> None:
    """Nothing tells of messages that were there when it stopped looking."""
    raft, wal = node.start(RAFT, 1, WAL), node.start(WAL, 2, RAFT)
    introduce(raft, wal)
    assert not wal.receive(9)
    assert not wal.has_more
    raft.send(WAL, ReadIndex(1))
    raft.send(WAL, ReadIndex(2))
    assert ids(receive(wal, 2)) == [1, 2]
    assert not wal.receive(9)
    assert not wal.has_more


def test_a_new_incarnation_gets_nothing_that_was_meant_for_the_old(
    node: ZmqNode | MemoryNode,
) -> None:
    raft, wal = node.start(RAFT, 1, WAL), node.start(WAL, 2, RAFT)
    introduce(raft, wal)
    node.kill(wal)
    raft.send(WAL, ReadIndex(1))
    new = node.start(WAL, 3, RAFT)
    # What the dead one was sent before its end is known is lost.
    raft.send(WAL, ReadIndex(2))
    assert receive(raft, 1) == [Received(WAL, 3, Hello())]
    assert raft.send(WAL, ReadIndex(3))
    received = receive(new, 2)
    assert [type(each.message) for each in received] == [Hello, ReadIndex]
    assert ids(received) == [3]


def test_a_restarted_sender_is_heard_at_once(node: ZmqNode | MemoryNode) -> None:
    raft, wal = node.start(RAFT, 1, WAL), node.start(WAL, 2, RAFT)
    introduce(raft, wal)
    node.kill(raft)
    new = node.start(RAFT, 3, WAL)
    assert receive(wal, 1) == [Received(RAFT, 3, Hello())]
    assert receive(new, 1) == [Received(WAL, 2, Hello())]
    assert new.send(WAL, ReadIndex(5))
    assert wal.send(RAFT, ReadIndex(6))
    assert receive(wal, 1) == [Received(RAFT, 3, ReadIndex(5))]
    assert receive(new, 1) == [Received(WAL, 2, ReadIndex(6))]


def test_an_actor_that_is_no_neighbour_has_no_incarnation(node: ZmqNode | MemoryNode) -> None:
    # The log names gateways of earlier configurations.
    assert node.start(APPLY, 1, RAFT).incarnation_of(GATEWAY) == 0


# --- ZeroMQ ---------------------------------------------------------------------------------------


def test_messages_of_a_dead_incarnation_are_dropped(zmq_node: ZmqNode) -> None:
    wal = zmq_node.start(WAL, 9, RAFT)
    intruder = zmq_node.intruder(WAL)
    for incarnation, number in ((5, 1), (6, 2), (5, 3), (6, 4)):
        intruder.send(frame(RAFT, incarnation, 9, ReadIndex(number)))
    received = receive(wal, 5)
    assert [(each.incarnation, each.message) for each in received] == [
        (5, Hello()),
        (5, ReadIndex(1)),
        (6, Hello()),
        (6, ReadIndex(2)),
        (6, ReadIndex(4)),
    ]


def test_messages_meant_for_another_incarnation_are_dropped_unread(zmq_node: ZmqNode) -> None:
    wal = zmq_node.start(WAL, 9, RAFT)
    intruder = zmq_node.intruder(WAL)
    intruder.send(frame(RAFT, 5, 8, ReadIndex(1)))
    intruder.send(frame(RAFT, 5, 8, ReadIndex(2))[:12] + b"\xc1")
    intruder.send(frame(RAFT, 5, 9, ReadIndex(3)))
    assert [each.message for each in receive(wal, 2)] == [Hello(), ReadIndex(3)]


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x91\xcc\xff", encode(Shutdown(1.0))[:-1]])
def test_a_neighbour_that_speaks_nonsense_is_a_defect(zmq_node: ZmqNode, body: bytes) -> None:
    wal = zmq_node.start(WAL, 9, RAFT)
    zmq_node.intruder(WAL).send(frame(RAFT, 5, 9, Hello())[:12] + body)
    wal.inbox.poll(int(PATIENCE_SECONDS * 1000))
    with pytest.raises(DECODE_ERRORS):
        wal.receive(10)


def test_a_stranger_is_a_defect(zmq_node: ZmqNode) -> None:
    wal = zmq_node.start(WAL, 9, RAFT)
    zmq_node.intruder(WAL).send(frame(GATEWAY, 5, 9, Hello()))
    wal.inbox.poll(int(PATIENCE_SECONDS * 1000))
    with pytest.raises(InvariantViolation, match="wal-0 got a message from gateway-3"):
        wal.receive(10)


def fill(raft: ZmqMailbox) -> int:
    """Send until nothing is taken any more; return how many were."""
    count = 0
    while raft.send(WAL, ReadIndex(count)):
        count += 1
    return count


def test_a_full_outbox_refuses_and_what_was_taken_arrives(zmq_node: ZmqNode) -> None:
    raft, wal = zmq_node.start(RAFT, 1, WAL), zmq_node.start(WAL, 2, RAFT)
    introduce(raft, wal)
    assert not raft.has_backlog()
    taken = fill(raft)
    assert raft.has_backlog()
    assert raft.backlog(WAL) == OUTBOX_MESSAGES_MAX
    received: list[Received] = []

    def is_done() -> bool:
        raft.flush()
        received.extend(wal.receive(1_000))
        return len(received) == taken

    wait_until(is_done, wal)
    assert ids(received) == list(range(taken))
    assert not raft.has_backlog()


def test_what_waits_for_a_dead_incarnation_is_forgotten(zmq_node: ZmqNode) -> None:
    raft, wal = zmq_node.start(RAFT, 1, WAL), zmq_node.start(WAL, 2, RAFT)
    introduce(raft, wal)
    fill(raft)
    zmq_node.kill(wal)
    new = zmq_node.start(WAL, 3, RAFT)
    assert receive(raft, 1) == [Received(WAL, 3, Hello())]
    # At most the greeting may wait behind what the pipe still holds.
    assert raft.backlog(WAL) <= 1
    assert raft.send(WAL, ReadIndex(7))
    received: list[Received] = []

    def is_done() -> bool:
        raft.flush()
        received.extend(new.receive(1_000))
        return len(received) == 2

    wait_until(is_done, new)
    assert [each.message for each in received] == [Hello(), ReadIndex(7)]


def test_an_address_reads_as_a_name() -> None:
    assert [str(each) for each in (RAFT, GATEWAY, Address(ActorRole.ETCD_GATEWAY, 1))] == [
        "raft-0",
        "gateway-3",
        "etcd-gateway-1",
    ]
