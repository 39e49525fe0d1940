"""Snapshots from one member to another: what is here already, what is damaged, what is gone."""

from __future__ import annotations

from collections import deque

import pytest
from msgspec.structs import replace

from tests.unit.runtime.test_checkpoint_files import DIRECTORY, FakeStore
from zetcd.actors.snapshot_transfer import SnapshotTransfer
from zetcd.config import Config, parse_config
from zetcd.messages.base import Message
from zetcd.messages.raft import InstallSnapshot
from zetcd.messages.snapshot import SnapshotFetched, SnapshotRequest
from zetcd.runtime.checkpoint_files import CheckpointFiles
from zetcd.runtime.clock import ManualClock
from zetcd.runtime.memory_files import MemoryFileSystem
from zetcd.runtime.snapshot_socket import Answer, Asked
from zetcd.snapshot.checkpoint_format import CheckpointInfo

URL = "tcp://127.0.0.1:2381"


class Wire:
    """The connections to one member, one at a time; what is sent has arrived."""

    def __init__(self) -> None:
        self.requests: deque[Asked] = deque()
        self.answers: deque[Answer] = deque()
        self.connected: list[str] = []


class Listener:
    """The sender's end."""

    urls = (URL,)

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def receive(self, limit: int) -> list[Asked]:
        return [self._wire.requests.popleft() for _ in range(min(limit, len(self._wire.requests)))]

    def send(self, receiver: bytes, answer: Answer) -> bool:
        del receiver
        self._wire.answers.append(answer)
        return True

    def close(self) -> None:
        pass


class Fetcher:
    """The receiver's end."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def connect(self, url: str) -> None:
        self._wire.answers.clear()
        self._wire.connected.append(url)

    def send(self, request: SnapshotRequest) -> bool:
        self._wire.requests.append(Asked(b"%d" % len(self._wire.connected), request))
        return True

    def receive(self, limit: int) -> list[Answer]:
        return [self._wire.answers.popleft() for _ in range(min(limit, len(self._wire.answers)))]

    def close(self) -> None:
        self._wire.answers.clear()


class Member:
    """One end of a transfer, raft played by the test."""

    def __init__(self, config: Config, clock: ManualClock, there: Wire, back: Wire) -> None:
        self.disk = MemoryFileSystem()
        self.files = CheckpointFiles(self.disk, DIRECTORY, config.cluster_id())
        self.files.prepare()
        self.said: list[Message] = []
        self.transfer = SnapshotTransfer(
            config,
            self.files,
            clock=clock,
            listener=Listener(there),
            fetcher=Fetcher(back),
            send_to_raft=self._hear,
        )

    def _hear(self, message: Message) -> bool:
        self.said.append(message)
        return True

    def make(self, index: int) -> CheckpointInfo:
        draft = self.files.begin(FakeStore(self.disk, index, filling=bytes(100)))
        while (info := draft.step()) is None:
            pass
        return info

    def damage(self, info: CheckpointInfo) -> None:
        path = self.files.path(str(info.name))
        content = bytearray(self.disk.content_of(path))
        content[20] ^= 1
        self.disk.replace_content(path, bytes(content))

    def fetched(self) -> list[SnapshotFetched]:
        return [each for each in self.said if isinstance(each, SnapshotFetched)]


class Bench:
    """A leader that has the checkpoint at 20, and a follower that is offered it."""

    def __init__(self) -> None:
        self.clock = ManualClock(10.0)
        self.wire = Wire()
        config = parse_config('name = "a"\ninitial-cluster = "a=tcp://127.0.0.1:2380"\n')
        self.leader = Member(config, self.clock, self.wire, Wire())
        self.follower = Member(config, self.clock, Wire(), self.wire)
        self.checkpoint = self.leader.make(20)
        self.offer = InstallSnapshot(2, 1, 1, self.checkpoint.description.snapshot, (URL,))

    def run(self) -> SnapshotFetched:
        """Offer it to the follower and return what its raft hears."""
        self.follower.transfer.fetch(self.offer, self.clock.now())
        for _ in range(1000):
            self.clock.seconds += 0.1
            for member in (self.leader, self.follower):
                member.transfer.advance(self.clock.now())
            if self.follower.fetched():
                break
        (answer,) = self.follower.fetched()
        return answer

    def assert_whole(self) -> None:
        assert self.follower.files.verify(self.checkpoint.name) == self.checkpoint


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_snapshot_is_fetched(bench: Bench) -> None:
    assert bench.run() == SnapshotFetched(bench.offer)
    bench.assert_whole()


def test_what_is_here_already_is_not_fetched(bench: Bench) -> None:
    bench.follower.make(20)
    assert bench.run() == SnapshotFetched(bench.offer)
    assert bench.wire.connected == []


def test_what_is_here_but_damaged_is_fetched(bench: Bench) -> None:
    """raft would begin its log anew on the strength of it, and apply could not start."""
    bench.follower.damage(bench.follower.make(20))
    assert bench.run() == SnapshotFetched(bench.offer)
    assert bench.wire.connected == [URL]
    bench.assert_whole()


def test_what_is_here_but_does_not_even_say_what_it_is_is_fetched(bench: Bench) -> None:
    name = bench.follower.make(20).name
    bench.follower.disk.replace_content(bench.follower.files.path(str(name)), b"nothing")
    assert bench.run() == SnapshotFetched(bench.offer)
    bench.assert_whole()


def test_an_offer_that_is_repeated_meanwhile_is_answered_in_the_newer_term(bench: Bench) -> None:
    """For what is here as for what is on its way."""
    bench.follower.make(20)
    bench.follower.transfer.fetch(bench.offer, bench.clock.now())
    bench.offer = replace(bench.offer, term=2)
    assert bench.run() == SnapshotFetched(bench.offer)


def test_another_offer_waits_until_what_is_here_is_verified(bench: Bench) -> None:
    bench.follower.make(20)
    bench.follower.transfer.fetch(bench.offer, bench.clock.now())
    first, newer = bench.offer, replace(bench.offer.snapshot, index=30)
    bench.offer = replace(bench.offer, snapshot=newer)
    assert bench.run() == SnapshotFetched(first)


def test_what_the_leader_does_not_have_is_an_error(bench: Bench) -> None:
    bench.leader.files.remove(bench.checkpoint.name)
    answer = bench.run()
    assert answer.offer == bench.offer
    assert answer.error


def test_a_transfer_that_ends_lets_go_of_its_files(bench: Bench) -> None:
    """Also in the middle of a verification."""
    bench.follower.make(20)
    bench.follower.transfer.fetch(bench.offer, bench.clock.now())
    assert bench.follower.transfer.wake_at() == 0.0
    bench.follower.transfer.close()
    assert bench.follower.transfer.wake_at() > 0.0
    assert bench.follower.fetched() == []
