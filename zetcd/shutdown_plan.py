"""Responsible for the order in which the actors of a node stop, and for when waiting ends; pure.

    stage 1  gateways       answer what they accepted, and accept nothing new
    stage 2  raft           hands leadership over, so that nobody waits for an election
    stage 3  apply, watch   finish what was committed; apply closes LMDB
    stage 4  wal            syncs and closes the log
    stage 5  peer-tls       carried to other members what all of these said; has no time of its own

Invariants
    - A stage begins when every actor of the earlier ones has ended, or has had its time.
    - Each actor is asked to stop exactly once.
    - At the end of the drain time everything that still runs is to be killed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from zetcd.messages.node import ActorRole

#: Role and instance of an actor.
ActorKey = tuple[ActorRole, int]

_STAGES: Final = (
    (ActorRole.GATEWAY, ActorRole.ETCD_GATEWAY),
    (ActorRole.RAFT,),
    (ActorRole.APPLY, ActorRole.WATCH, ActorRole.SNAPSHOT),
    (ActorRole.WAL,),
    (ActorRole.PEER_TLS,),
)
#: Part of the drain time that has passed when the stage, finished or not, gives way to the next.
#: Raft has the most: a leadership transfer needs two round trips and the new leader's disk.
_STAGE_ENDS: Final = (0.25, 0.65, 0.85, 0.95, 0.95)


class ShutdownRequest(NamedTuple):
    """An actor to be asked to stop."""

    actor: ActorKey
    #: Seconds it has.
    drain_seconds: float


class ShutdownPlan:
    """The stop of one node, from the signal to the end of the last actor."""

    def __init__(self, actors: Iterable[ActorKey], now: float, drain_seconds: float) -> None:
        """Stop ``actors``, those that have a process, within ``drain_seconds`` from ``now``."""
        self._running = sorted(actors)
        self._began = now
        self._drain_seconds = drain_seconds
        #: Stages whose actors have been asked.
        self._asked = 0

    def exited(self, actor: ActorKey) -> None:
        """Note that an actor's process has ended."""
        if actor in self._running:
            self._running.remove(actor)

    def advance(self, now: float) -> tuple[ShutdownRequest, ...]:
        """Return the actors to be asked now; to be called after each exit and each time-out."""
        requests: list[ShutdownRequest] = []
        while self._asked < len(_STAGES) and (not self._awaited() or now >= self._stage_end()):
            self._asked += 1
            seconds = max(0.0, self._stage_end() - now)
            roles = _STAGES[self._asked - 1]
            requests += [ShutdownRequest(a, seconds) for a in self._running if a[0] in roles]
        return tuple(requests)

    def next_timer(self) -> float:
        """Return the seconds at which a stage, or the whole drain time, ends."""
        return self._kill_at() if self._asked == len(_STAGES) else self._stage_end()

    def to_kill(self, now: float) -> tuple[ActorKey, ...]:
        """Return what still runs although its time is over."""
        return tuple(self._running) if now >= self._kill_at() else ()

    def is_done(self) -> bool:
        """Say whether every actor has ended."""
        return not self._running

    def _awaited(self) -> bool:
        """Say whether an actor of a stage that was asked still runs."""
        roles = [role for stage in _STAGES[: self._asked] for role in stage]
        return any(actor[0] in roles for actor in self._running)

    def _stage_end(self) -> float:
        if not self._asked:
            return self._began
        return self._began + self._drain_seconds * _STAGE_ENDS[self._asked - 1]

    def _kill_at(self) -> float:
        return self._began + self._drain_seconds * _STAGE_ENDS[-1]
