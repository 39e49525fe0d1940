"""Responsible for the loop every actor runs: poll, drain at most N, decide once, do the effects, repeat.

Batching under load and one fsync per batch fall out of this loop. It is the only place that catches
`Exception`: to log it with the actor's last steps and end the process; the supervisor decides what then.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, Protocol

import zmq

from zetcd.config import Config
from zetcd.errors import ExitCode
from zetcd.messages.base import Message
from zetcd.messages.node import ActorReport, ActorRole, Drained, Figure, Hello, Shutdown
from zetcd.runtime.clock import Clock
from zetcd.runtime.mailbox import Address, Mailbox

SUPERVISOR: Final = Address(ActorRole.SUPERVISOR)
RAFT: Final = Address(ActorRole.RAFT)
WAL: Final = Address(ActorRole.WAL)
APPLY: Final = Address(ActorRole.APPLY)
WATCH: Final = Address(ActorRole.WATCH)
SNAPSHOT: Final = Address(ActorRole.SNAPSHOT)

#: The roles that clients talk to.
GATEWAY_ROLES: Final = (ActorRole.GATEWAY, ActorRole.ETCD_GATEWAY)

#: Seconds between two reports to the supervisor; also the longest an idle actor sleeps.
REPORT_INTERVAL_SECONDS: Final = 0.5
#: Messages handled before effects are done; bounds the length of a turn.
MESSAGES_PER_TURN_MAX: Final = 256
#: Seconds after which a pipe that was full is tried again: poll waits for input, not for room.
_FLUSH_INTERVAL_SECONDS: Final = 0.005


def gateway_addresses(config: Config) -> tuple[Address, ...]:
    """Return every gateway of a node."""
    processes = (config.gateway.native_processes, config.gateway.etcd_processes)
    return tuple(
        Address(role, instance)
        for role, count in zip(GATEWAY_ROLES, processes, strict=True)
        for instance in range(count)
    )


class Pollable(Protocol):
    """Something with a ZeroMQ socket that wakes the loop."""

    @property
    def inbox(self) -> zmq.Socket[bytes]:
        """The socket to poll for input."""
        ...


class Actor:
    """Base of all actors. A subclass overrides `neighbour_started`, `handle`, `advance` and `wait_seconds`.

    Invariant: nothing here blocks; only `run` waits, and only in poll.
    """

    def __init__(self, mailbox: Mailbox, clock: Clock) -> None:
        """Wire the actor to its mailbox and clock."""
        self.mailbox = mailbox
        self.clock = clock
        self.messages_per_turn_max = MESSAGES_PER_TURN_MAX
        #: False ends the loop; the process then exits with `exit_code`.
        self.is_running = True
        self.exit_code = ExitCode.OK
        #: Set by `Shutdown`: accept nothing new, finish what was accepted.
        self.is_draining = False
        self.is_ready = False
        self._next_report = 0.0

    def turn(self) -> None:
        """Do one turn: drain the inbox, decide, do the effects, report."""
        now = self.clock.now()
        self.receive(now)
        self.act(now)

    def receive(self, now: float) -> None:
        """Step the core with what the neighbours have sent."""
        for sender, _, message in self.mailbox.receive(self.messages_per_turn_max):
            if type(message) is Hello:
                if sender == SUPERVISOR:
                    self._next_report = 0.0
                self.neighbour_started(sender)
            elif type(message) is Shutdown:
                self.shut_down(message, now)
            else:
                self.handle(sender, message, now)

    def act(self, now: float) -> None:
        """Decide, do the effects, report: a turn after whatever came in."""
        self.advance(now)
        self.mailbox.flush()
        if now >= self._next_report:
            self.report(now)

    def report(self, now: float) -> None:
        """Tell the supervisor that this actor is alive and how it is."""
        self._next_report = now + REPORT_INTERVAL_SECONDS
        report = ActorReport(os.getpid(), self.is_ready, self.facts(), self.figures())
        self.mailbox.send(SUPERVISOR, report)

    def become_ready(self) -> None:
        """Report readiness at once instead of at the next interval."""
        if not self.is_ready:
            self.is_ready = True
            self._next_report = 0.0

    def shut_down(self, request: Shutdown, now: float) -> None:
        """Begin to drain; the base has nothing to finish and stops at once."""
        del request, now
        self.is_draining = True
        self.stop()

    def stop(self) -> None:
        """Tell the supervisor and end the loop."""
        self.mailbox.send(SUPERVISOR, Drained())
        self.is_running = False

    def close(self) -> None:
        """Release files and sockets; called once after the loop, also after a failure."""

    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return what `zetcd status` shows of this actor: sorted (key, value) texts."""
        return ()

    def figures(self) -> tuple[Figure, ...]:
        """Return what this actor adds to /metrics."""
        return ()

    def neighbour_started(self, neighbour: Address) -> None:
        """React to a new incarnation of ``neighbour``: whatever it was told before is lost."""

    def handle(self, sender: Address, message: Message, now: float) -> None:
        """Step the core with one message."""
        raise NotImplementedError

    def advance(self, now: float) -> None:
        """Ask the core once for everything to do since the last turn, and do it in the documented order."""

    def wait_seconds(self, now: float) -> float:
        """Return how long the loop may sleep without input; the next timer decides."""
        return max(0.0, self._next_report - now)

    def run(self, sources: Sequence[Pollable]) -> None:
        """Do turns until the actor stops. Exceptions pass through."""
        run(self, sources)


def run(actor: Actor, sources: Sequence[Pollable]) -> None:
    """Run the actor's loop until it stops. Exceptions pass through."""
    poller = zmq.Poller()
    for source in sources:
        poller.register(source.inbox, zmq.POLLIN)
    while actor.is_running:
        now = actor.clock.now()
        seconds = min(actor.wait_seconds(now), actor._next_report - now)
        if actor.mailbox.has_backlog():
            seconds = min(seconds, _FLUSH_INTERVAL_SECONDS)
        # Round up: waking a fraction of a millisecond early would spin until the timer is due.
        poller.poll(max(0, int(seconds * 1000 + 0.999)))
        actor.turn()
