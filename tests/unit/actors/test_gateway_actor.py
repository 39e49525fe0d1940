"""The gateway actor with a real client socket and a real store, its neighbours played by mailboxes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
import zmq

from zetcd.actors import gateway_actor
from zetcd.actors.actor import APPLY, RAFT, SUPERVISOR, WATCH
from zetcd.actors.entry import ActorSetting
from zetcd.actors.gateway_actor import GatewayActor
from zetcd.apply import Applier, ApplierOptions
from zetcd.apply.tables import Identity, initialise
from zetcd.config import Config, parse_config
from zetcd.errors import PortInUse
from zetcd.gateway.native.gateway import NativeGateway
from zetcd.lease import Lessor
from zetcd.messages.base import Message
from zetcd.messages.client import (
    HEADER_BYTES,
    ClientHello,
    FrameType,
    pack_frame,
    unpack_header,
)
from zetcd.messages.cluster import DefragmentRequest
from zetcd.messages.codec import UnionDecoder, decoder_of, encode
from zetcd.messages.kv import PutRequest, PutResponse, RangeRequest, RangeResponse, ResponseHeader
from zetcd.messages.node import (
    ActorReport,
    ActorRole,
    ApplyResults,
    ApplyWait,
    Defragment,
    Drained,
    Hello,
    LeaderInfo,
    LeaderRequest,
    MemberTable,
    Propose,
    RaftStatusRequest,
    ReadIndex,
    ReadIndexResult,
    Role,
    Shutdown,
    StoreReplaced,
    TransferLeader,
    WatchForward,
    WatchRegister,
    WatchSessionClosed,
)
from zetcd.messages.watch import WatchCreateRequest
from zetcd.mvcc.state import load_state, save_state
from zetcd.mvcc.store import StoreWriter
from zetcd.runtime.client_socket import ClientFrame, SendResult
from zetcd.runtime.clock import ManualClock
from zetcd.runtime.lmdb_backend import LmdbBackend
from zetcd.runtime.mailbox import Address, MemoryMailbox, MemoryPost

GATEWAY = Address(ActorRole.GATEWAY, 0)
PATIENCE_SECONDS = 10.0
_Everything = (
    Hello
    | ActorReport
    | Drained
    | Propose
    | ReadIndex
    | LeaderRequest
    | TransferLeader
    | RaftStatusRequest
    | ApplyWait
    | Defragment
    | WatchForward
    | WatchRegister
    | WatchSessionClosed
)


class Node:
    """A node of which only the gateway is real."""

    def __init__(self, directory: Path) -> None:
        self.config: Config = parse_config(
            f'name = "a"\ndata-dir = "{directory}"\n'
            'listen-native-client-urls = ["tcp://127.0.0.1:45187"]\n'
        )
        self.store = Path(self.config.store_dir())
        self.clock = ManualClock(10.0)
        self.post = MemoryPost(UnionDecoder(_Everything))
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.boxes = {
            each: MemoryMailbox(self.post, each, 1) for each in (SUPERVISOR, RAFT, APPLY, WATCH)
        }
        mailbox = MemoryMailbox(self.post, GATEWAY, 2)
        actor, [self.socket] = gateway_actor.build(
            ActorSetting(self.config, self.clock, mailbox, self.context)
        )
        assert isinstance(actor, GatewayActor)
        self.actor = actor
        for each in self.boxes:
            mailbox.greet(each)
        self.received: dict[Address, list[Message]] = {each: [] for each in self.boxes}
        self.client: zmq.Socket[bytes] = self.context.socket(zmq.DEALER)
        self.client.setsockopt(zmq.LINGER, 0)
        self.client.connect(self.config.listen_native_client_urls[0])

    def make_store(self) -> None:
        """Write what apply would have written: one key; the writer must be closed before a reader opens."""
        self.store.mkdir(parents=True)
        backend = LmdbBackend(self.store, map_bytes=self.config.map_bytes())
        initialise(backend, Identity(1, 1), ())
        Applier(backend, Lessor(), ApplierOptions(1))
        backend.close()

    def turn(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        self.actor.turn()
        for address, box in self.boxes.items():
            self.received[address] += [each.message for each in box.receive(100)]

    def send(self, sender: Address, message: Message) -> None:
        assert self.boxes[sender].send(GATEWAY, message)

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "condition did not come true"
            self.turn()

    def sent(self, to: Address, kind: type[Message]) -> list[Message]:
        return [each for each in self.received[to] if type(each) is kind]

    def request(self, request_id: int, message: Message, kind: int = FrameType.REQ) -> None:
        self.client.send(pack_frame(kind, request_id, encode(message)))

    def answer(self) -> tuple[int, int]:
        """Return type and request id of the next frame for the client."""
        self.until(lambda: self.client.poll(5))
        header = unpack_header(self.client.recv())
        return header.type, header.request_id

    def start(self) -> None:
        """Bring everybody up and open a session."""
        self.turn()
        self.make_store()
        self.send(APPLY, MemberTable(()))
        self.send(RAFT, LeaderInfo(1, 1, Role.LEADER))
        self.request(0, ClientHello(), FrameType.HELLO)
        assert self.answer() == (FrameType.WELCOME, 0)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    node.actor.close()
    node.context.destroy(linger=0)


def test_it_is_ready_once_apply_has_spoken_and_the_store_is_open(node: Node) -> None:
    node.turn()
    node.make_store()
    # A store is there, but apply may still be about to replace it.
    node.turn(1.0)
    assert not node.actor.is_ready
    node.send(APPLY, MemberTable(()))
    node.turn()
    assert node.actor.is_ready


def test_a_store_that_is_not_there_yet_is_tried_again(node: Node) -> None:
    node.turn()
    node.send(APPLY, MemberTable(()))
    node.turn()
    assert not node.actor.is_ready
    node.make_store()
    assert 0 < node.actor.wait_seconds(node.clock.now()) <= 0.051
    node.turn(0.06)
    assert node.actor.is_ready


def test_a_put_goes_to_raft_and_its_result_to_the_client(node: Node) -> None:
    node.start()
    node.request(7, PutRequest(b"a", b"1"))
    node.until(lambda: node.sent(RAFT, Propose))
    [proposal] = node.sent(RAFT, Propose)
    assert isinstance(proposal, Propose)
    body = msgspec.Raw(encode(PutResponse(ResponseHeader(2, 1))))
    node.send(APPLY, ApplyResults(proposal.batch_id, (body,)))
    assert node.answer() == (FrameType.RES, 7)


def test_a_get_is_read_from_the_store_once_raft_confirms(node: Node) -> None:
    node.start()
    node.request(8, RangeRequest(b"a"))
    node.until(lambda: node.sent(RAFT, ReadIndex))
    [question] = node.sent(RAFT, ReadIndex)
    assert isinstance(question, ReadIndex)
    node.send(RAFT, ReadIndexResult(question.request_id, 0))
    assert node.answer() == (FrameType.RES, 8)


def test_without_raft_a_put_is_refused_at_once(tmp_path: Path) -> None:
    node = Node(tmp_path)
    # Raft never says hello, so that nothing can be sent to it.
    node.post.remove(RAFT)
    del node.boxes[RAFT]
    try:
        node.turn()
        node.make_store()
        node.boxes[APPLY].receive(10)
        node.request(0, ClientHello(), FrameType.HELLO)
        assert node.answer() == (FrameType.WELCOME, 0)
        node.request(3, PutRequest(b"a"))
        kind, request_id = node.answer()
        assert (kind, request_id) == (FrameType.ERR, 3)
    finally:
        node.actor.close()
        node.context.destroy(linger=0)


def test_a_new_watch_is_told_of_open_watches(node: Node) -> None:
    node.start()
    node.request(5, WatchCreateRequest(5, b"a"), FrameType.WATCH)
    node.until(lambda: node.sent(WATCH, WatchForward))
    node.boxes[WATCH] = MemoryMailbox(node.post, WATCH, 2)
    node.received[WATCH].clear()
    node.boxes[WATCH].greet(GATEWAY)
    node.until(lambda: node.sent(WATCH, WatchRegister))
    assert node.sent(WATCH, WatchForward)


def test_a_new_apply_makes_it_open_the_store_again(node: Node) -> None:
    node.start()
    node.boxes[APPLY] = MemoryMailbox(node.post, APPLY, 2)
    node.boxes[APPLY].greet(GATEWAY)
    node.turn()
    node.turn()
    node.request(9, RangeRequest(b"a", serializable=True))
    for _ in range(20):
        node.turn()
    assert not node.client.poll(20)
    node.send(APPLY, MemberTable(()))
    assert node.answer() == (FrameType.RES, 9)


def test_a_shutdown_says_goodbye_and_reports(node: Node) -> None:
    node.start()
    node.send(SUPERVISOR, Shutdown(1.0))
    node.turn()
    assert not node.actor.is_running
    node.turn()
    assert node.sent(SUPERVISOR, Drained)
    assert node.client.poll(5_000)
    assert unpack_header(node.client.recv()).type == FrameType.GOAWAY


def test_a_shutdown_waits_for_answers_but_not_for_ever(node: Node) -> None:
    node.start()
    node.request(7, PutRequest(b"a", b"1"))
    node.until(lambda: node.sent(RAFT, Propose))
    node.send(SUPERVISOR, Shutdown(1.0))
    node.turn(0.1)
    assert node.actor.is_running
    node.turn(0.5)
    assert not node.actor.is_running


def test_it_reports_its_figures(node: Node) -> None:
    node.start()
    facts = dict(node.actor.facts())
    assert facts["sessions"] == "1"
    assert list(node.actor.facts()) == sorted(node.actor.facts())


class HesitantSocket:
    """Clients whose pipe is full for the first ``refusals`` frames."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.incoming: list[ClientFrame] = []
        self.sent: list[bytes] = []

    def receive(self, limit: int) -> list[ClientFrame]:
        frames, self.incoming = self.incoming[:limit], self.incoming[limit:]
        return frames

    def send(self, routing_id: bytes, frame: bytes) -> SendResult:
        del routing_id
        if self.refusals:
            self.refusals -= 1
            return SendResult.FULL
        self.sent.append(frame)
        return SendResult.SENT

    def close(self, linger_ms: int = 0) -> None:
        del linger_ms


def test_no_frame_overtakes_one_that_its_clients_pipe_did_not_take(tmp_path: Path) -> None:
    config = parse_config(f'name = "a"\ndata-dir = "{tmp_path}"\n')
    clock = ManualClock(10.0)
    mailbox = MemoryMailbox(MemoryPost(UnionDecoder(_Everything)), GATEWAY, 1)
    socket = HesitantSocket(refusals=1)
    actor = GatewayActor(
        mailbox,
        clock,
        core=NativeGateway(gateway_actor.gateway_options(config, GATEWAY, 1), clock.now()),
        socket=socket,
        stores=gateway_actor.Stores(tmp_path, config.map_bytes()),
    )
    client = b"\0\0\0\0\1"
    hello = pack_frame(FrameType.HELLO, 0, encode(ClientHello()))
    pings = [pack_frame(FrameType.PING, each) for each in (1, 2)]
    socket.incoming = [ClientFrame(client, frame) for frame in (hello, *pings)]
    actor.turn()
    assert not socket.sent
    clock.advance(0.1)
    actor.turn()
    kinds = [unpack_header(frame)[::2] for frame in socket.sent]
    assert kinds == [(FrameType.WELCOME, 0), (FrameType.PONG, 1), (FrameType.PONG, 2)]


def test_a_listen_address_in_use_is_named(node: Node) -> None:
    setting = ActorSetting(
        node.config, node.clock, MemoryMailbox(node.post, GATEWAY, 3), node.context
    )
    with pytest.raises(PortInUse, match="45187"):
        gateway_actor.build(setting)


@pytest.mark.interpreted
def test_a_defragmentation_that_apply_cannot_be_told_of_is_refused(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.start()
    monkeypatch.setattr(node.actor.mailbox, "send_encoded", lambda to, _: to != APPLY)
    node.request(4, DefragmentRequest())
    assert node.answer() == (FrameType.ERR, 4)


def test_a_replaced_store_is_opened_anew_at_once(node: Node) -> None:
    node.start()
    node.store.rename(node.store.with_name("old"))
    node.make_store()
    backend = LmdbBackend(node.store, map_bytes=node.config.map_bytes())
    with backend.write() as transaction:
        state = load_state(transaction)
        writer = StoreWriter(transaction, state)
        writer.execute_put(PutRequest(b"new", b"1"))
        writer.end()
        save_state(transaction, state)
    backend.close()
    node.send(APPLY, StoreReplaced())
    node.turn()
    node.request(5, RangeRequest(b"new", serializable=True))
    node.until(lambda: node.client.poll(5))
    body = node.client.recv()[HEADER_BYTES:]
    assert decoder_of(RangeResponse).decode(body).kvs[0].value == b"1"
