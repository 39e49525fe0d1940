"""The ROUTER socket of a gateway, against real DEALER sockets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from zetcd.runtime.client_socket import ClientFrame, SendResult, ZmqClientSocket

FRAME_BYTES_MAX = 100_000
PATIENCE_SECONDS = 10.0


class Clients:
    """DEALER sockets that are closed at the end."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.sockets: list[zmq.Socket[bytes]] = []

    def connect(self, url: str, hwm: int = 1_000) -> zmq.Socket[bytes]:
        socket = self.context.socket(zmq.DEALER)
        self.sockets.append(socket)
        socket.set_hwm(hwm)
        socket.connect(url)
        return socket


@pytest.fixture
def clients() -> Iterator[Clients]:
    clients = Clients()
    yield clients
    for socket in clients.sockets:
        socket.close(0)
    clients.context.term()


@pytest.fixture
def server(clients: Clients) -> Iterator[ZmqClientSocket]:
    urls = ["tcp://127.0.0.1:0"]
    server = ZmqClientSocket(clients.context, urls, frame_bytes_max=FRAME_BYTES_MAX)
    yield server
    server.close()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "condition did not come true"
        time.sleep(0.005)


def receive(server: ZmqClientSocket, count: int = 1) -> list[ClientFrame]:
    received: list[ClientFrame] = []

    def has_enough() -> bool:
        received.extend(server.receive(100))
        return len(received) >= count

    until(has_enough)
    return received


def test_a_frame_comes_with_an_id_that_leads_back(
    server: ZmqClientSocket, clients: Clients
) -> None:
    alice, bob = clients.connect(server.endpoints[0]), clients.connect(server.endpoints[0])
    alice.send(b"from alice")
    bob.send(b"from bob")
    ids = {frame: routing_id for routing_id, frame in receive(server, 2)}
    assert all(len(each) == 5 and each[0] == 0 for each in ids.values())
    assert server.send(ids[b"from bob"], b"to bob") is SendResult.SENT
    assert bob.recv() == b"to bob"


def test_nothing_to_receive_does_not_wait(server: ZmqClientSocket) -> None:
    assert server.receive(10) == []


def test_receive_stops_at_its_limit(server: ZmqClientSocket, clients: Clients) -> None:
    client = clients.connect(server.endpoints[0])
    for number in range(10):
        client.send(b"%d" % number)
    frames: list[ClientFrame] = []

    def take() -> bool:
        batch = server.receive(3)
        assert len(batch) <= 3
        frames.extend(batch)
        return len(frames) == 10

    until(take)
    assert [frame for _, frame in frames] == [b"%d" % number for number in range(10)]


@pytest.mark.parametrize("parts", [[b"", b"body"], [b"a", b"b", b"c"], [b"x"] * 50])
def test_more_than_one_frame_is_reported_and_discarded(
    server: ZmqClientSocket, clients: Clients, parts: list[bytes]
) -> None:
    client = clients.connect(server.endpoints[0])
    client.send_multipart(parts)
    client.send(b"next")
    frames = [frame for _, frame in receive(server, 2)]
    assert frames == [None, b"next"]


def test_an_oversized_frame_costs_its_sender_the_connection(
    server: ZmqClientSocket, clients: Clients
) -> None:
    bad, good = clients.connect(server.endpoints[0]), clients.connect(server.endpoints[0])
    bad.send(b"hello")
    [(bad_id, _)] = receive(server)
    bad.send(bytes(FRAME_BYTES_MAX + 1))
    good.send(bytes(FRAME_BYTES_MAX))
    [(_, frame)] = receive(server)
    assert frame is not None
    assert len(frame) == FRAME_BYTES_MAX
    until(lambda: server.send(bad_id, b"are you there") is SendResult.GONE)


def test_a_client_that_left_is_gone(server: ZmqClientSocket, clients: Clients) -> None:
    client = clients.connect(server.endpoints[0])
    client.send(b"hello")
    [(routing_id, _)] = receive(server)
    client.close(0)
    until(lambda: server.send(routing_id, b"x") is SendResult.GONE)
    assert server.send(b"\0none", b"x") is SendResult.GONE


def test_a_client_that_does_not_read_fills_its_pipe_and_nobody_elses(
    server: ZmqClientSocket, clients: Clients
) -> None:
    slow, good = clients.connect(server.endpoints[0], hwm=1), clients.connect(server.endpoints[0])
    slow.send(b"slow")
    [(slow_id, _)] = receive(server)
    good.send(b"good")
    [(good_id, _)] = receive(server)
    until(lambda: server.send(slow_id, bytes(50_000)) is SendResult.FULL)
    assert server.send(good_id, b"fine") is SendResult.SENT
    assert good.recv() == b"fine"
    # Reading makes room again, and nothing of what was taken is missing.
    assert len(slow.recv()) == 50_000

    def drain() -> bool:
        while slow.poll(20):
            slow.recv()
        return server.send(slow_id, b"end") is SendResult.SENT

    until(drain)
    # On a busy machine what was taken before may still be on its way.
    while (frame := slow.recv()) != b"end":
        assert len(frame) == 50_000


def test_it_also_listens_on_ipc(clients: Clients, tmp_path: Path) -> None:
    urls = ["tcp://127.0.0.1:0", f"ipc://{tmp_path}/native"]
    server = ZmqClientSocket(clients.context, urls, frame_bytes_max=FRAME_BYTES_MAX)
    clients.connect(urls[1]).send(b"local")
    [(_, frame)] = receive(server)
    assert frame == b"local"
    server.close()


def test_an_address_in_use_is_an_error(server: ZmqClientSocket, clients: Clients) -> None:
    with pytest.raises(zmq.ZMQError) as caught:
        ZmqClientSocket(clients.context, server.endpoints, frame_bytes_max=FRAME_BYTES_MAX)
    assert caught.value.errno == zmq.EADDRINUSE
