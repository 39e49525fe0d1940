"""Responsible for knowing which process each actor is, and how it is.

Invariant: an actor has at most one process; a new incarnation replaces one that was reported dead.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zetcd.messages.node import ActorReport, Figure
from zetcd.node_status import ActorStatus
from zetcd.restart_policy import ActorKey, RestartPolicy
from zetcd.runtime.mailbox import Address
from zetcd.runtime.process import is_stopped
from zetcd.runtime.process_figures import Figures, ProcessFigures

_NO_FACTS: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class ActorProcess:
    """A process that was asked for."""

    address: Address
    incarnation: int
    #: Monotonic seconds.
    started_at: float
    #: 0 = the spawner has not answered yet.
    pid: int = 0
    #: To be killed as soon as its pid is known.
    is_unwanted: bool = False
    figures: ProcessFigures | None = None
    facts: tuple[tuple[str, str], ...] = _NO_FACTS
    #: For /metrics, as the actor reported them last.
    reported_figures: tuple[Figure, ...] = ()


class ProcessTable:
    """The processes of one node."""

    def __init__(self, spawner_pid: int, now: float) -> None:
        """Start with this process and the spawner."""
        self._began = now
        self._own = (
            ("supervisor-0", os.getpid(), ProcessFigures(os.getpid(), now)),
            ("spawner-0", spawner_pid, ProcessFigures(spawner_pid, now)),
        )
        self._by_address: dict[Address, ActorProcess] = {}

    def add(self, address: Address, incarnation: int, now: float) -> None:
        """Note that a process was asked for."""
        assert address not in self._by_address, f"{address} has a process already"
        self._by_address[address] = ActorProcess(address, incarnation, now)

    def forked(self, incarnation: int, pid: int, now: float) -> ActorProcess:
        """Note the pid of the process that was asked for with this incarnation."""
        (process,) = (p for p in self._by_address.values() if p.incarnation == incarnation)
        process.pid = pid
        process.figures = ProcessFigures(pid, now)
        return process

    def exited(self, pid: int) -> ActorProcess:
        """Remove the process with this pid and return it."""
        (process,) = (p for p in self._by_address.values() if p.pid == pid)
        return self._by_address.pop(process.address)

    def remove(self, address: Address) -> None:
        """Remove a process that could not be forked."""
        del self._by_address[address]

    def get(self, address: Address) -> ActorProcess | None:
        """Return the process of an actor, if it has one."""
        return self._by_address.get(address)

    def all(self) -> Sequence[ActorProcess]:
        """Return every actor's process."""
        return tuple(self._by_address.values())

    def stopped(self, keys: Iterable[ActorKey]) -> tuple[ActorKey, ...]:
        """Return those of ``keys`` whose process the kernel has stopped (SIGSTOP)."""
        found = [(key, self._by_address.get(Address(*key))) for key in keys]
        return tuple(key for key, each in found if each and each.pid and is_stopped(each.pid))

    def reported(self, address: Address, report: ActorReport) -> None:
        """Keep what an actor says of itself."""
        process = self._by_address.get(address)
        if process is not None:
            process.facts = report.facts
            process.reported_figures = report.figures

    def reported_figures(self) -> tuple[Figure, ...]:
        """Return what all actors have reported for /metrics."""
        return tuple(each for process in self.all() for each in process.reported_figures)

    def sample(self, now: float) -> None:
        """Read the figures of every process, so that percentages cover the last seconds."""
        for _, _, figures in self._own:
            figures.sample(now)
        for process in self._by_address.values():
            if process.figures is not None:
                process.figures.sample(now)

    def statuses(
        self, addresses: Iterable[Address], policy: RestartPolicy, *, incarnation: int, now: float
    ) -> tuple[ActorStatus, ...]:
        """Return the status of every process; ``incarnation`` is the supervisor's."""
        own = [
            ActorStatus(
                actor=name,
                pid=pid,
                incarnation=incarnation if pid == os.getpid() else 0,
                state="ready",
                uptime_seconds=now - self._began,
                **figures.sample(now)._asdict(),
            )
            for name, pid, figures in self._own
        ]
        return (*own, *(self._status(address, policy, now) for address in addresses))

    def _status(self, address: Address, policy: RestartPolicy, now: float) -> ActorStatus:
        process = self._by_address.get(address)
        state = policy.phase(address).name.lower()
        if process is None:
            return ActorStatus(str(address), state=state, restarts=policy.restarts(address))
        figures = Figures() if process.figures is None else process.figures.sample(now)
        return ActorStatus(
            actor=str(address),
            pid=process.pid,
            incarnation=process.incarnation,
            state="ready" if policy.is_actor_ready(address) else state,
            restarts=policy.restarts(address),
            uptime_seconds=now - process.started_at,
            facts=dict(process.facts),
            **figures._asdict(),
        )
