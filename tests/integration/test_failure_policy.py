"""Actors that stand still: the member gives leadership away, answers nothing stale, and mends itself."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import lmdb
import psutil
import pytest
import zmq

from tests.integration.cluster import Cluster, Node, assert_same_history, client_of, wait_until
from tests.integration.load import Writer
from zetcd.client import Client
from zetcd.errors import ZetcdError
from zetcd.messages.client import HEADER_BYTES, ClientHello, FrameType, pack_frame, unpack_header
from zetcd.messages.codec import decoder_of, encode
from zetcd.messages.kv import RangeRequest, RangeResponse

pytestmark = pytest.mark.integration

#: Pauses end before the supervisor would replace the actor, unless a test says otherwise.
_PATIENT = "[supervisor]\nsilent-seconds-max = 60.0\nwal-silent-seconds-max = 60.0\n"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, extra=_PATIENT) as cluster:
        yield cluster


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster whose supervisors replace what is silent for two seconds."""
    extra = "[supervisor]\nsilent-seconds-max = 2.0\nwal-silent-seconds-max = 60.0\n"
    with Cluster(tmp_path, extra=extra) as cluster:
        yield cluster


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """SIGSTOP a process for a while; it need not live to the end."""
    process = psutil.Process(pid)
    process.suspend()
    try:
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, f"{pid} stands still")
        yield
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.resume()


def put_again_and_again(endpoints: list[str], key: bytes, acknowledged: list[int]) -> None:
    """Put one key, adding each revision as soon as it is acknowledged."""
    with Client(endpoints, timeout=10.0) as client:
        for number in range(50):
            revision = client.put(key, b"%d" % number).header.revision
            acknowledged.append(revision)


def other_leader(cluster: Cluster, old: Node) -> Node:
    """Return the leader once a majority without ``old`` has one."""
    others = [node for node in cluster.nodes if node is not old]
    found: list[Node] = []

    def is_there() -> bool:
        answers = [(node, node.leadership()) for node in others]
        found[:] = [node for node, answer in answers if answer and answer[0] == answer[1]]
        return len(found) == 1

    wait_until(is_there, "one of the others leads")
    return found[0]


class Reader:
    """Reads one key from one node without pause, linearizably, from `__enter__` to `__exit__`.

    A read must not return less than what was acknowledged anywhere before it began.
    """

    def __init__(self, node: Node, key: bytes, acknowledged: list[int]) -> None:
        self._endpoint, self._key, self._acknowledged = node.endpoint, key, acknowledged
        self.answers = 0
        self.stale: list[tuple[int, int]] = []
        self._is_ending = threading.Event()
        self._threads = [threading.Thread(target=self._read, daemon=True) for _ in range(4)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._is_ending.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _read(self) -> None:
        while not self._is_ending.is_set():
            with contextlib.suppress(ZetcdError), Client(self._endpoint, timeout=1.0) as client:
                while not self._is_ending.is_set():
                    floor = self._acknowledged[-1]
                    revision = client.get(self._key).kvs[0].mod_revision
                    self.answers += 1
                    if revision < floor:
                        self.stale.append((revision, floor))


@pytest.mark.parametrize("actor", ["raft-0", "wal-0", "apply-0"])
def test_a_leader_with_a_stopped_actor_does_not_stay_leader(cluster: Cluster, actor: str) -> None:
    """Another one leads while it stands still; nothing that it says afterwards is stale or lost."""
    old, term = cluster.leader_and_term()
    others = [node for node in cluster.nodes if node is not old]
    with Client(old.endpoint, timeout=5.0) as client:
        acknowledged = [client.put(b"k", b"0").header.revision]
    with Reader(old, b"k", acknowledged) as reader:
        wait_until(lambda: reader.answers > 10, "reads are answered")
        with stopped(old.actor(actor).pid):
            new = other_leader(cluster, old)
            put_again_and_again([new.endpoint], b"k", acknowledged)
        after = reader.answers
        wait_until(lambda: reader.answers > after + 10, "the old leader's node reads again")
        put_again_and_again([each.endpoint for each in others], b"k", acknowledged)
        wait_until(old.is_serving, "the old leader's node serves")
    assert reader.stale == []
    assert cluster.leader_and_term()[1] > term
    assert_same_history(cluster)


@pytest.mark.parametrize("actor", ["raft-0", "wal-0", "apply-0"])
def test_clients_of_a_stopped_actor_learn_the_truth_of_their_puts(
    cluster: Cluster, actor: str
) -> None:
    """What was acknowledged is kept, what was refused is not done, and the rest is called unknown."""
    old = cluster.leader()
    with Writer([old.endpoint], put_seconds_max=2.0) as writer:
        writer.wait_progress(50)
        with stopped(old.actor(actor).pid):
            other_leader(cluster, old)
        writer.wait_progress(50, "the node takes writes again")
        writer.stop()
    with client_of(cluster) as client:
        writer.assert_kept(client)
    assert_same_history(cluster)


class Session:
    """One connection that sends reads without waiting for their answers."""

    def __init__(self, endpoint: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.connect(endpoint)
        self._socket.send(pack_frame(FrameType.HELLO, 0, encode(ClientHello(client="test"))))
        assert self._receive()[0] == FrameType.WELCOME
        self._last_id = 0

    def close(self) -> None:
        self._context.destroy(linger=0)

    def send_read(self, key: bytes) -> int:
        self._last_id += 1
        body = encode(RangeRequest(key))
        self._socket.send(pack_frame(FrameType.REQ, self._last_id, body))
        return self._last_id

    def revision_of(self, request_id: int) -> int:
        """Return the revision of the key in the answer to ``request_id``; those before it are skipped."""
        while True:
            kind, answered, body = self._receive()
            if kind == FrameType.PING:
                self._socket.send(pack_frame(FrameType.PONG, answered))
            elif answered == request_id:
                assert kind == FrameType.RES, body
                return decoder_of(RangeResponse).decode(body).kvs[0].mod_revision

    def _receive(self) -> tuple[FrameType, int, bytes]:
        assert self._socket.poll(30_000), "no answer"
        frame = self._socket.recv()
        header = unpack_header(frame)
        return FrameType(header.type), header.request_id, frame[HEADER_BYTES:]


@pytest.mark.parametrize("actor", ["gateway-0", "apply-0"])
def test_reads_that_waited_for_a_stopped_actor_are_not_stale(cluster: Cluster, actor: str) -> None:
    """A round under way when the process stopped says nothing about reads that came meanwhile."""
    node = cluster.leader()
    other = next(each for each in cluster.nodes if each is not node)
    pid = node.actor(actor).pid
    with Client(other.endpoint, timeout=10.0) as client:
        client.put(b"k", b"0")
        session = Session(node.endpoint)
        try:
            for number in range(20):
                # These may have any stage of a read behind them when the process stops.
                for _ in range(20):
                    session.send_read(b"k")
                with stopped(pid):
                    revision = client.put(b"k", b"%d" % number).header.revision
                    last = session.send_read(b"k")
                assert session.revision_of(last) >= revision
        finally:
            session.close()


@pytest.mark.parametrize("actor", ["watch-0", "gateway-0"])
def test_a_stopped_actor_that_leading_does_not_need_moves_nothing(
    cluster: Cluster, actor: str
) -> None:
    """Its clients wait; the cluster has no election for it."""
    leader, term = cluster.leader_and_term()
    other = next(node for node in cluster.nodes if node is not leader)
    with stopped(leader.actor(actor).pid), Writer([other.endpoint]) as writer:
        began = time.monotonic()
        wait_until(lambda: time.monotonic() > began + 3, "three election time-outs have passed")
        writer.wait_progress(10)
        writer.stop()
    assert cluster.leader_and_term() == (leader, term)


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_a_stopped_wal_is_replaced_before_a_slow_disk_would_be_given_up(
    impatient: Cluster, role: str
) -> None:
    """It has stopped, not its disk: its member must not be without a vote for long."""
    node = impatient.leader() if role == "leader" else impatient.followers()[0]
    with Writer(impatient.endpoints) as writer:
        writer.wait_progress(20)
        pid = node.actor("wal-0").pid
        with stopped(pid):
            node.wait_actor_back("wal-0", pid)
        writer.wait_progress(20)
        writer.stop()
    with client_of(impatient) as client:
        writer.assert_kept(client)
    assert_same_history(impatient)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_what_a_dead_reader_held_is_free_again(
    impatient: Cluster, tmp_path: Path, number: signal.Signals
) -> None:
    """A gateway dies, or stands still, in a read transaction: its slot in the store is cleared.

    Else the pages that it may see could never be used again, and the store would grow for ever.
    """
    del tmp_path
    node = impatient.leader()
    with Client(node.endpoint, timeout=10.0) as client:
        for number_of_key in range(64):
            client.put(b"big/%03d" % number_of_key, b"x" * 64 * 1024)
    pid = stop_in_transaction(node)
    if number == signal.SIGKILL:
        os.kill(pid, signal.SIGKILL)
    node.wait_actor_back("gateway-0", pid)
    wait_until(lambda: pid not in pids_in_transaction(node), "the reader's slot is free")
    with Client(node.endpoint, timeout=10.0) as client:
        client.put(b"big/000", b"y")
        assert client.get(b"big/000").kvs[0].value == b"y"


def pids_in_transaction(node: Node) -> set[int]:
    """Return the processes that hold a read transaction of a node's store."""
    directory = Path(node.config.store_dir())
    with lmdb.open(str(directory), readonly=True, create=False, max_dbs=0) as environment:
        lines = environment.readers().splitlines()[1:]
    rows = [line.split() for line in lines]
    return {int(row[0]) for row in rows if len(row) >= 3 and row[2] != "-"}


def stop_in_transaction(node: Node) -> int:
    """SIGSTOP the gateway of ``node`` while it reads; return its pid."""
    pid = node.actor("gateway-0").pid
    process = psutil.Process(pid)
    is_ending = threading.Event()

    def read() -> None:
        with contextlib.suppress(ZetcdError), Client(node.endpoint, timeout=5.0) as client:
            while not is_ending.is_set():
                client.get_prefix(b"big/")

    readers = [threading.Thread(target=read, daemon=True) for _ in range(2)]
    for reader in readers:
        reader.start()

    def is_caught() -> bool:
        process.suspend()
        wait_until(lambda: process.status() == psutil.STATUS_STOPPED, "it stands still")
        if pid in pids_in_transaction(node):
            return True
        process.resume()
        return False

    wait_until(is_caught, "the gateway stands still within a transaction", 60.0)
    is_ending.set()
    return pid
