"""The loop of every actor: bounded turns, reports, the end, and waking up for whatever is left."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator

import pytest
import zmq

from zetcd.actors.actor import (
    MESSAGES_PER_TURN_MAX,
    RAFT,
    REPORT_INTERVAL_SECONDS,
    SUPERVISOR,
    WAL,
    Actor,
    run,
)
from zetcd.errors import InvariantViolation
from zetcd.messages.base import Message
from zetcd.messages.codec import UnionDecoder
from zetcd.messages.node import ActorReport, Drained, Hello, ReadIndex, Shutdown
from zetcd.runtime.clock import ManualClock
from zetcd.runtime.mailbox import Address, Mailbox, MemoryMailbox, MemoryPost, ZmqMailbox

# A class of its own derives from an actor, which compiled ones do not allow.
pytestmark = pytest.mark.interpreted

_Inbox = Hello | Shutdown | ReadIndex | ActorReport | Drained
DECODER = UnionDecoder(_Inbox)
_HOUR = 3600.0
POISON = ReadIndex(1 << 40)


class NotingActor(Actor):
    """Notes what happens to it, turn by turn."""

    def __init__(self, mailbox: Mailbox, clock: ManualClock) -> None:
        super().__init__(mailbox, clock)
        self.turns: list[list[object]] = [[]]
        #: Events and turns after which the actor stops; 0 = never.
        self.stop_after = 0
        self.turns_max = 0
        self.waits = 0.0

    def neighbour_started(self, neighbour: Address) -> None:
        self.turns[-1].append(neighbour)

    def handle(self, sender: Address, message: Message, now: float) -> None:
        if message == POISON:
            raise InvariantViolation("that number")
        self.turns[-1].append(message)

    def advance(self, now: float) -> None:
        self.turns.append([])
        if self.stop_after and sum(map(len, self.turns)) >= self.stop_after:
            self.stop()
        if len(self.turns) == self.turns_max:
            self.stop()

    def wait_seconds(self, now: float) -> float:
        return self.waits

    def facts(self) -> tuple[tuple[str, str], ...]:
        return (("turns", str(len(self.turns) - 1)),)


class Stage:
    """An actor whose neighbours are played by the test."""

    def __init__(self) -> None:
        self.clock = ManualClock(100.0)
        self.post = MemoryPost(DECODER)
        self.supervisor, self.raft = (
            MemoryMailbox(self.post, each, 1) for each in (SUPERVISOR, RAFT)
        )
        self.actor = NotingActor(MemoryMailbox(self.post, WAL, 2), self.clock)
        for each in (self.supervisor, self.raft):
            each.greet(WAL)

    def turn(self) -> list[object]:
        self.actor.turn()
        return self.actor.turns[-2]

    def reports(self) -> list[Message]:
        return [m.message for m in self.supervisor.receive(100) if type(m.message) is not Hello]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_new_neighbour_is_told_to_the_actor_once(stage: Stage) -> None:
    assert stage.turn() == [SUPERVISOR, RAFT]
    stage.supervisor.receive(10)
    stage.supervisor.greet(WAL)
    assert stage.turn() == []


def test_the_supervisor_hears_of_an_actor_as_soon_as_they_know_each_other(stage: Stage) -> None:
    stage.turn()
    (report,) = stage.reports()
    assert isinstance(report, ActorReport)
    assert (report.is_ready, report.facts) == (False, (("turns", "1"),))


def test_reports_come_at_intervals_and_when_the_actor_becomes_ready(stage: Stage) -> None:
    stage.turn()
    stage.reports()
    stage.clock.advance(REPORT_INTERVAL_SECONDS - 0.1)
    stage.turn()
    assert stage.reports() == []
    stage.actor.become_ready()
    stage.turn()
    (report,) = stage.reports()
    assert isinstance(report, ActorReport)
    assert report.is_ready
    # Once only.
    stage.actor.become_ready()
    stage.turn()
    assert stage.reports() == []
    stage.clock.advance(REPORT_INTERVAL_SECONDS)
    stage.turn()
    assert len(stage.reports()) == 1


def test_a_turn_is_bounded_and_decides_once(stage: Stage) -> None:
    stage.turn()
    stage.raft.receive(10)
    for number in range(MESSAGES_PER_TURN_MAX + 5):
        stage.raft.send(WAL, ReadIndex(number))
    assert len(stage.turn()) == MESSAGES_PER_TURN_MAX
    assert stage.turn() == [ReadIndex(MESSAGES_PER_TURN_MAX + n) for n in range(5)]


def test_an_actor_may_bound_its_turns_itself(stage: Stage) -> None:
    stage.turn()
    stage.raft.receive(10)
    stage.actor.messages_per_turn_max = 2
    for number in range(3):
        stage.raft.send(WAL, ReadIndex(number))
    assert len(stage.turn()) == 2


def test_by_default_a_request_to_stop_is_followed_at_once(stage: Stage) -> None:
    stage.turn()
    stage.supervisor.receive(10)
    stage.raft.receive(10)
    stage.raft.send(WAL, ReadIndex(1))
    stage.supervisor.send(WAL, Shutdown())
    assert stage.turn() == [ReadIndex(1)]
    assert (stage.actor.is_running, stage.actor.is_draining) == (False, True)
    assert Drained() in stage.reports()


# --- over ZeroMQ ----------------------------------------------------------------------------------


class Pair:
    """An actor that can be run, and a neighbour."""

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(dir="/tmp")
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.own = self.mailbox(WAL, 2, RAFT)
        self.raft = self.mailbox(RAFT, 1, WAL)
        # Time stands still: nothing but input wakes the actor, or it sleeps for an hour.
        self.actor = NotingActor(self.own, ManualClock())
        self.actor._next_report = self.actor.waits = _HOUR

    def mailbox(self, address: Address, incarnation: int, *others: Address) -> ZmqMailbox:
        # SUPERVISOR is a neighbour who is not there.
        return ZmqMailbox(
            self.directory,
            address,
            incarnation,
            neighbours=(*others, SUPERVISOR),
            decoder=DECODER,
            context=self.context,
        )

    def introduce(self) -> None:
        # Either may hear of the other first: ZeroMQ's threads carry both greetings.
        while not (self.raft.incarnation_of(WAL) and self.own.incarnation_of(RAFT)):
            self.raft.inbox.poll(10)
            self.raft.receive(1)
            self.actor.turn()

    def close(self) -> None:
        self.own.close()
        self.raft.close()
        self.context.term()
        shutil.rmtree(self.directory)


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


@pytest.mark.timeout(60)
def test_what_one_turn_leaves_wakes_the_next(pair: Pair) -> None:
    pair.introduce()
    count = 3 * MESSAGES_PER_TURN_MAX + 1
    for number in range(count):
        assert pair.raft.send(WAL, ReadIndex(number))
    pair.actor.stop_after = count + sum(map(len, pair.actor.turns))
    run(pair.actor, [pair.own])
    numbers = [m for turn in pair.actor.turns for m in turn if isinstance(m, ReadIndex)]
    assert numbers == [ReadIndex(number) for number in range(count)]


@pytest.mark.timeout(60)
def test_what_a_full_pipe_did_not_take_leaves_without_new_input(pair: Pair) -> None:
    pair.introduce()
    count = 0
    while not pair.own.has_backlog():
        assert pair.own.send(RAFT, ReadIndex(count))
        count += 1
    received: list[object] = []

    def read() -> None:
        # The neighbour begins to read again; it says nothing until it has everything.
        while len(received) < count:
            pair.raft.inbox.poll(100)
            received.extend(m.message for m in pair.raft.receive(1_000))
        pair.raft.send(WAL, ReadIndex(0))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    pair.actor.stop_after = 1 + sum(map(len, pair.actor.turns))
    run(pair.actor, [pair.own])
    reader.join()
    assert received == [ReadIndex(number) for number in range(count)]


def test_a_defect_passes_through(pair: Pair) -> None:
    pair.introduce()
    pair.raft.send(WAL, POISON)
    with pytest.raises(InvariantViolation, match="that number"):
        run(pair.actor, [pair.own])


@pytest.mark.timeout(60)
def test_a_timer_wakes_an_actor_without_input(pair: Pair) -> None:
    pair.introduce()
    pair.actor.waits = 0.01
    pair.actor.turns_max = len(pair.actor.turns) + 3
    run(pair.actor, [pair.own])
    assert len(pair.actor.turns) == pair.actor.turns_max
