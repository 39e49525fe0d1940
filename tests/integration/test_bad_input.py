"""What a client may send wrongly or with ill intent: a clear error, and the node serves the others."""

from __future__ import annotations

import json
import random
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgpack
import psutil
import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from tests.integration.cluster import Cluster, Node, wait_until
from zetcd.client import Client, get, put
from zetcd.errors import (
    FutureRev,
    InvalidArgument,
    LeaseNotFound,
    RequestTooLarge,
    SessionExpired,
    TooManyOps,
    TxnTooDeep,
    ZetcdError,
)
from zetcd.messages.client import (
    HEADER_BYTES,
    ClientHello,
    FrameType,
    pack_frame,
    unpack_header,
)
from zetcd.messages.codec import encode
from zetcd.messages.kv import CompactionRequest, RangeRequest, TxnRequest

pytestmark = pytest.mark.integration

_VECTORS: Final = json.loads(
    (Path(__file__).parents[1] / "testdata/protocol/vectors.json").read_text()
)["negative"]
_ANSWER_MS_MAX: Final = 10_000
_ID: Final = 9


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    extra = '[gateway]\nhandshake-timeout = "1s"\n'
    with Cluster(tmp_path_factory.mktemp("bad"), size=1, extra=extra) as single:
        yield single.nodes[0]


@pytest.fixture(scope="module")
def bystander(node: Node) -> Iterator[Client]:
    """A client that does nothing wrong."""
    with Client(node.endpoint, timeout=10.0) as client:
        client.put(b"bystander", b"served")
        yield client


@pytest.fixture(autouse=True)
def nobody_else_suffers(node: Node, bystander: Client) -> Iterator[None]:
    """After each test the same processes serve the same clients, and nothing was written."""
    pids = node.actors()
    session = bystander.call(RangeRequest(b"bystander"), type(bystander.get(b"bystander")))
    yield
    response = bystander.get(b"bystander")
    assert response.kvs[0].value == b"served"
    assert response.header.revision == session.header.revision
    assert node.actors() == pids


class RawClient:
    """A DEALER socket that sends whatever it is told to."""

    def __init__(self, endpoint: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._socket.connect(endpoint)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.disable_monitor()
        self._context.destroy(linger=0)

    def send(self, *frames: bytes) -> None:
        self._socket.send_multipart(frames)

    def receive(self) -> tuple[int, int, list[Any]]:
        """Return frame type, request id and decoded body of the next frame."""
        assert self._socket.poll(_ANSWER_MS_MAX), "no answer"
        (frame,) = self._socket.recv_multipart()
        header = unpack_header(frame)
        body = msgpack.unpackb(frame[HEADER_BYTES:]) if len(frame) > HEADER_BYTES else []
        return header.type, header.request_id, body

    def receive_error(self) -> tuple[int, int, str]:
        """Return request id, number and text of the error that comes next."""
        kind, request_id, body = self.receive()
        assert kind == FrameType.ERR, (kind, body)
        return request_id, body[1], body[3]

    def hello(self) -> Self:
        self.send(pack_frame(FrameType.HELLO, 0, encode(ClientHello())))
        assert self.receive()[0] == FrameType.WELCOME
        return self

    def request(self, body: bytes) -> None:
        self.send(pack_frame(FrameType.REQ, _ID, body))

    def has_session(self) -> bool:
        """Say whether PING is answered by PONG."""
        self.send(pack_frame(FrameType.PING, 77))
        kind, _, _ = self.receive()
        return kind == FrameType.PONG

    def wait_disconnected(self) -> None:
        """Return once the server has closed the connection."""
        assert self._monitor.poll(_ANSWER_MS_MAX), "the connection stays open"
        assert recv_monitor_message(self._monitor)["event"] == zmq.EVENT_DISCONNECTED


@pytest.fixture
def raw(node: Node) -> Iterator[RawClient]:
    with RawClient(node.endpoint) as client:
        yield client


@pytest.mark.parametrize("vector", [pytest.param(each, id=each["name"]) for each in _VECTORS])
def test_a_negative_vector_meets_what_it_says(raw: RawClient, vector: dict[str, Any]) -> None:
    """docs/protocol.md sections 11 and 14, over a real socket: the error, and who keeps a session."""
    if vector["session"]:
        raw.hello()
    if "frames" in vector:
        raw.send(*map(bytes.fromhex, vector["frames"]))
    else:
        raw.send(bytes.fromhex(vector["frame"]) + bytes(vector.get("zeros_appended", 0)))
    request_id, number, _ = raw.receive_error()
    assert (request_id, number) == (vector["request_id"], vector["error"])
    assert raw.has_session() == vector["survives"]


def test_an_oversized_frame_closes_its_connection(raw: RawClient) -> None:
    """Beyond `gateway.frame-bytes-max` nothing is read: no memory is spent on it."""
    raw.hello()
    raw.send(pack_frame(FrameType.REQ, _ID, bytes(3 * 1024 * 1024)))
    raw.wait_disconnected()
    # libzmq connects again by itself; to the server that is somebody new.
    raw.send(pack_frame(FrameType.PING, 1))
    _, number, text = raw.receive_error()
    assert (number, text) == (SessionExpired.number, SessionExpired.text)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(encode(RangeRequest(b"k", revision=1 << 40)), FutureRev, id="future revision"),
        pytest.param(encode(put(b"k", lease=12345)), LeaseNotFound, id="unknown lease"),
        pytest.param(encode(TxnRequest((), (get(b"k"),) * 129)), TooManyOps, id="129 operations"),
        pytest.param(encode(put(b"k", bytes(1_600_000))), RequestTooLarge, id="too large"),
        pytest.param(encode(CompactionRequest(1 << 40)), FutureRev, id="compaction of the future"),
        pytest.param(b"\x93\x04\x90\x91" * 50_000, TxnTooDeep, id="50,000 transactions deep"),
        pytest.param(b"\xdd\xff\xff\xff\xff\x02", InvalidArgument, id="4 G fields"),
        pytest.param(b"\x93\x02\xc4\x01k\xc6\xff\xff\xff\xff", InvalidArgument, id="4 GiB value"),
    ],
)
def test_a_request_that_cannot_be_done(
    raw: RawClient, body: bytes, error: type[ZetcdError]
) -> None:
    """etcd's text and code where etcd has one; the session lives on."""
    raw.hello().request(body)
    request_id, number, text = raw.receive_error()
    assert (request_id, number, text) == (_ID, error.number, error.text)
    assert raw.has_session()


def test_negative_limits_and_revisions_mean_none(raw: RawClient) -> None:
    """As in etcd: a limit or a revision below zero is as good as zero."""
    raw.hello().request(encode(RangeRequest(b"bystander", limit=-5, revision=-7)))
    kind, _, body = raw.receive()
    assert kind == FrameType.RES
    assert [kv[4] for kv in body[2]] == [b"served"]


def test_random_bodies_end_no_process(raw: RawClient) -> None:
    """Whatever the bytes are: each request has an answer, and the session goes on."""
    rng = random.Random(1)
    raw.hello()
    for number in range(1, 2_000):
        body = rng.randbytes(rng.randrange(64))
        raw.send(pack_frame(FrameType.REQ, number, b"\x97" + body))
        _, request_id, _ = raw.receive()
        assert request_id == number


def test_a_flood_without_reading_ends_that_session_only(raw: RawClient) -> None:
    """Who asks and never reads is bounded; see section 9 of docs/protocol.md."""
    raw.hello()
    for number in range(1, 20_001):
        raw.request(b"") if number % 2 else raw.send(pack_frame(FrameType.PING, number))


def _connect(node: Node) -> socket.socket:
    return socket.create_connection(("127.0.0.1", node.native_port), timeout=10)


@pytest.mark.parametrize(
    "first_bytes",
    [
        pytest.param(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(48), id="no READY"),
        pytest.param(b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(47), id="CURVE"),
        pytest.param(b"\xff" + bytes(4), id="half a greeting"),
        pytest.param(b"", id="silence"),
    ],
)
def test_an_unfinished_handshake_ends(node: Node, first_bytes: bytes) -> None:
    """Who does not finish the ZMTP handshake is cut off, at the latest by the handshake time-out."""
    with _connect(node) as connection:
        connection.sendall(first_bytes)
        wait_until(lambda: _is_closed(connection), "the connection is closed")


@pytest.mark.parametrize(
    "first_bytes",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4, id="HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600), id="TLS"),
        pytest.param(random.Random(1).randbytes(4096), id="noise"),
    ],
)
def test_other_protocols_cost_nothing_that_stays(node: Node, first_bytes: bytes) -> None:
    """Bytes that happen to look like ZMTP 1.0 may be waited for, but leave nothing when they go."""
    fds = psutil.Process(node.actor("gateway-0").pid).num_fds()
    connections = [_connect(node) for _ in range(20)]
    for connection in connections:
        connection.sendall(first_bytes)
    assert node.is_serving()
    for connection in connections:
        connection.close()
    gateway = psutil.Process(node.actor("gateway-0").pid)
    wait_until(lambda: gateway.num_fds() <= fds, "the descriptors are free again")


def _is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(4096) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def test_an_absurd_frame_length_is_not_believed(node: Node) -> None:
    """A ZMTP frame that announces 2**62 bytes ends its connection, before any memory is spent."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    name = b"\x05READY\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
    ready = b"\x04" + bytes([len(name)]) + name
    rss = node.actor("gateway-0").rss_bytes
    with _connect(node) as connection:
        connection.sendall(greeting + ready)
        connection.sendall(b"\x02" + struct.pack(">Q", 1 << 62) + b"x" * 1000)
        wait_until(lambda: _is_closed(connection), "the connection is closed")
    assert node.actor("gateway-0").rss_bytes < rss + 64 * 1024 * 1024


def test_rubbish_on_the_peer_port_changes_nothing(node: Node, bystander: Client) -> None:
    """Consensus does not listen to strangers: it says so in the log; same leader, same term."""
    before = bystander.status()
    with socket.create_connection(("127.0.0.1", node.peer_port), timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n" * 8)
    cluster_id = node.config.cluster_id()
    header = struct.Struct(">BBBBQQQ")
    own = header.pack(0x70, 1, 1, 0, cluster_id, 1, node.config.member_id())
    foreign = header.pack(0x70, 1, 1, 0, cluster_id + 1, 1, node.config.member_id())
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context, context.socket(zmq.PUSH) as stranger:
        stranger.setsockopt(zmq.LINGER, 5_000)
        stranger.connect(node.peer_url)
        for parts in ([b""], [b"", b"x" * 1000], [b"x"] * 50, [own + b"\xc1"], [foreign]):
            stranger.send_multipart(parts)
    for complaint in (
        "a peer frame is malformed",
        "dropped malformed frames",
        "cluster ID mismatch",
    ):
        wait_until(lambda text=complaint: text in node.log(), complaint)  # type: ignore[misc]
    after = bystander.status()
    assert (after.leader, after.raft_term) == (before.leader, before.raft_term)
