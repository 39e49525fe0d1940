"""Peer links over TCP: what arrives, what is refused and why, and what survives a restart."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest
import zmq

from zetcd.errors import PortInUse
from zetcd.runtime.peer_socket import KIND_CONTROL, KIND_RAFT, PeerFrame, ZmqPeerLinks

CLUSTER = 0xC1
FRAME_BYTES_MAX = 1 << 16
PATIENCE_SECONDS = 20.0


def free_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


class Network:
    """Members on loopback."""

    def __init__(self) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.links: list[ZmqPeerLinks] = []
        self.intruders: list[zmq.Socket[bytes]] = []

    def start(self, node_id: int, *urls: str) -> ZmqPeerLinks:
        links = ZmqPeerLinks(
            self.context,
            urls or (free_url(),),
            cluster_id=CLUSTER,
            node_id=node_id,
            frame_bytes_max=FRAME_BYTES_MAX,
        )
        self.links.append(links)
        return links

    def intruder(self, url: str) -> zmq.Socket[bytes]:
        intruder = self.context.socket(zmq.PUSH)
        intruder.connect(url)
        self.intruders.append(intruder)
        return intruder

    def close(self) -> None:
        for links in self.links:
            links.close()
        for intruder in self.intruders:
            intruder.close(0)
        self.context.term()


@pytest.fixture
def network() -> Iterator[Network]:
    network = Network()
    yield network
    network.close()


def wait_until(is_done: Callable[[], bool], links: ZmqPeerLinks) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_done():
        assert time.monotonic() < deadline, "waited too long"
        links.inbox.poll(10)


def receive(links: ZmqPeerLinks, count: int) -> list[PeerFrame]:
    frames: list[PeerFrame] = []

    def is_done() -> bool:
        frames.extend(links.receive(count - len(frames)))
        return len(frames) == count

    wait_until(is_done, links)
    return frames


def connect(sender: ZmqPeerLinks, to: int, receiver: ZmqPeerLinks) -> None:
    """Wait until both lanes work."""
    wait_until(lambda: sender.send(to, b""), receiver)
    wait_until(lambda: sender.send(to, b"", is_urgent=False), receiver)
    receive(receiver, 2)


def bodies(frames: list[PeerFrame]) -> list[bytes]:
    return [bytes(each.body) for each in frames]


def header(*, magic: int = 0x70, major: int = 1, cluster: int = CLUSTER, to: int = 2) -> bytes:
    return struct.pack(">BBBBQQQ", magic, major, KIND_RAFT, 0, cluster, 1, to)


def test_frames_arrive_in_the_order_of_their_lane(network: Network) -> None:
    url = free_url()
    one, two = network.start(1), network.start(2, url)
    one.set_peers({1: ("tcp://127.0.0.1:1",), 2: (url,)})
    connect(one, 2, two)
    for number in range(100):
        assert one.send(2, b"%d" % number)
        assert one.send(2, b"x%d" % number, is_urgent=False, kind=KIND_CONTROL)
    frames = receive(two, 200)
    urgent = [f for f in frames if f.kind == KIND_RAFT]
    bulk = [f for f in frames if f.kind == KIND_CONTROL]
    assert bodies(urgent) == [b"%d" % number for number in range(100)]
    assert bodies(bulk) == [b"x%d" % number for number in range(100)]
    assert {f.sender for f in frames} == {1}
    assert two.rejections() == ()


def test_a_node_listens_on_each_of_its_urls(network: Network) -> None:
    urls = (free_url(), free_url())
    two = network.start(2, *urls)
    for number, url in enumerate(urls, 3):
        sender = network.start(number)
        sender.set_peers({2: (url,)})
        connect(sender, 2, two)


def test_who_is_no_peer_is_refused(network: Network) -> None:
    url = free_url()
    one, two = network.start(1), network.start(2, url)
    assert not one.send(2, b"")
    one.set_peers({2: (url,)})
    connect(one, 2, two)
    one.set_peers({})
    assert not one.send(2, b"")


def test_a_peer_that_is_not_there_is_refused_at_once(network: Network) -> None:
    one = network.start(1)
    one.set_peers({2: (free_url(),)})
    assert not one.send(2, b"")
    assert not one.send(2, b"", is_urgent=False)


def test_a_peer_without_urls_is_not_connected(network: Network) -> None:
    one = network.start(1)
    one.set_peers({2: ()})
    assert not one.send(2, b"")


def test_a_peer_that_moved_is_reached_at_its_new_url(network: Network) -> None:
    old_url, new_url = free_url(), free_url()
    one, old, new = network.start(1), network.start(2, old_url), network.start(2, new_url)
    one.set_peers({2: (old_url,)})
    connect(one, 2, old)
    one.set_peers({2: (new_url,)})
    connect(one, 2, new)
    assert old.receive(10) == []


def test_a_peer_that_restarts_is_reached_again(network: Network) -> None:
    url = free_url()
    one, two = network.start(1), network.start(2, url)
    one.set_peers({2: (url,)})
    connect(one, 2, two)
    two.close()
    wait_until(lambda: not one.send(2, b"lost"), one)
    two = network.start(2, url)
    wait_until(lambda: one.send(2, b"again"), two)
    # What was sent while it was down does not reach it late.
    assert bodies(receive(two, 1)) == [b"again"]


def test_a_stuck_peer_is_refused_and_does_not_block(network: Network) -> None:
    url = free_url()
    one, two = network.start(1), network.start(2, url)
    one.set_peers({2: (url,)})
    connect(one, 2, two)
    sent = 0
    while one.send(2, bytes(1_000), is_urgent=False):
        sent += 1
        assert sent < 1_000_000, "a full lane must refuse"
    # The urgent lane is not behind it.
    assert one.send(2, b"heartbeat")
    assert len(receive(two, sent + 1)) == sent + 1


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ([b""], "malformed"),
        ([header()[:-1]], "malformed"),
        ([header(), b""], "malformed"),
        ([header(magic=0)], "version 1, this node 1"),
        ([header(major=2)], "version 2, this node 1"),
        ([header(cluster=0xC2)], "belongs to cluster 00000000000000c2"),
        ([header(to=3)], "takes this node for 0000000000000003"),
    ],
)
def test_a_frame_that_is_not_for_this_node_is_rejected_with_its_reason(
    network: Network, parts: list[bytes], reason: str
) -> None:
    url = free_url()
    two = network.start(2, url)
    intruder = network.intruder(url)
    for _ in range(3):
        intruder.send_multipart(parts)
    intruder.send(header() + b"good")
    # The frame behind it still arrives.
    assert bodies(receive(two, 1)) == [b"good"]
    (said,) = two.rejections()
    assert reason in said
    assert two.rejections() == ()


def test_reasons_of_rejections_are_bounded(network: Network) -> None:
    url = free_url()
    two = network.start(2, url)
    intruder = network.intruder(url)
    for number in range(1_000):
        intruder.send(header(to=100 + number))
    intruder.send(header() + b"good")
    receive(two, 1)
    assert len(two.rejections()) == 16


def test_an_oversized_frame_costs_its_sender_the_link_and_nobody_else(network: Network) -> None:
    url = free_url()
    one, two = network.start(1), network.start(2, url)
    one.set_peers({2: (url,)})
    connect(one, 2, two)
    network.intruder(url).send(header() + bytes(FRAME_BYTES_MAX))
    assert one.send(2, b"good")
    assert bodies(receive(two, 1)) == [b"good"]


def test_at_most_the_limit_is_received(network: Network) -> None:
    url = free_url()
    two = network.start(2, url)
    intruder = network.intruder(url)
    for number in range(10):
        intruder.send(header() + b"%d" % number)
    wait_until(lambda: bool(two.inbox.poll(0)), two)
    assert bodies(receive(two, 3)) == [b"0", b"1", b"2"]
    assert len(receive(two, 7)) == 7


def test_a_port_in_use_is_named(network: Network) -> None:
    url = free_url()
    network.start(1, url)
    with pytest.raises(PortInUse, match=url):
        network.start(2, free_url(), url)
