"""Responsible for deciding which actors to start, kill and restart, and when to give up; pure.

How it works
    Each actor is in one phase. Deaths, reports and time move it; what is to be done comes out of
    `ready`. Actors that must agree share fate: raft and wal hold two halves of one truth (what is
    durable), so if one dies the other is killed and both start again together.

        WAITING ──pause over──► STARTING ──first report──► RUNNING
           ▲                        │                         │
           ├──────── died ──────────┴─────────────────────────┤
           │                                                  │ silent, or another of its
           └──────── died ───────── KILLED ◄──────────────────┘ group has died

Worked example
    wal dies at 10.0 s: `ready` says gone={wal-0}, kill={raft-0}. raft's death arrives at 10.01 s;
    it was asked for and counts nothing: `ready` says gone={raft-0}. At 10.05 s the pause is over
    and `ready` says start={raft-0, wal-0}. A fifth death of the group within 30 s stops the member.

Invariants
    - An actor is started only when every process of its group has been reported dead.
    - A death is counted once, against the group of the actor that died by itself.
    - After a stop has been decided, nothing is started or killed any more.

Must never count the silence of the supervisor itself (stopped, suspended, starved of CPU) as the
silence of its actors.

Not implemented
    Restarting on a change of the configuration.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, NamedTuple

from zetcd.config import SupervisorConfig
from zetcd.errors import ExitCode
from zetcd.messages.node import ActorRole

#: Role and instance of an actor.
ActorKey = tuple[ActorRole, int]

#: Roles that may be restarted only together.
SHARED_FATES: Final = ((ActorRole.RAFT, ActorRole.WAL),)

#: Exit codes after which a restart could only make it worse, or the same again.
FATAL_EXIT_CODES: Final = frozenset(
    {
        ExitCode.USAGE,
        ExitCode.CONFIG,
        ExitCode.CORRUPTION,
        ExitCode.DISK,
        ExitCode.DATA_DIR,
        ExitCode.PORT_IN_USE,
        ExitCode.REMOVED,
    }
)

#: A longer gap between two looks at the clock means that the supervisor itself did not run.
OWN_PAUSE_SECONDS_MIN: Final = 1.5


class Phase(IntEnum):
    """Where an actor is in its life."""

    #: No process; to be started when the pause of its group is over.
    WAITING = 0
    #: Forked, has not reported yet.
    STARTING = 1
    #: Has reported.
    RUNNING = 2
    #: To be killed; its death is expected and not yet reported.
    KILLED = 3


class Stop(NamedTuple):
    """Why the member stops."""

    exit_code: ExitCode
    reason: str


class Actions(NamedTuple):
    """What the supervisor has to do, in this order; each sorted."""

    #: Died: tell the other actors.
    gone: tuple[ActorKey, ...] = ()
    #: Send SIGKILL.
    kill: tuple[ActorKey, ...] = ()
    #: Fork.
    start: tuple[ActorKey, ...] = ()
    #: The member stops; nothing else is in this set of actions but ``gone``.
    stop: Stop | None = None


@dataclass(slots=True)
class _Actor:
    """One actor as the policy sees it."""

    phase: Phase = Phase.WAITING
    #: Seconds at which it was last heard of: forked, or reported.
    heard_at: float = 0.0
    is_ready: bool = False
    #: Times it has been started, minus one.
    restarts: int = -1


@dataclass(slots=True)
class _Group:
    """Actors that restart together."""

    #: Sorted.
    members: tuple[ActorKey, ...]
    #: Seconds of the deaths within the window, oldest first.
    deaths: deque[float] = field(default_factory=deque)
    #: Its waiting members start at this time.
    start_at: float = 0.0


class RestartPolicy:
    """Decides for all actors of one node. Events go in, `ready` drains what to do."""

    def __init__(self, config: SupervisorConfig, actors: Sequence[ActorKey], now: float) -> None:
        """Start with every actor waiting and due at ``now`` (monotonic seconds)."""
        self._config = config
        self._actors = {key: _Actor() for key in sorted(actors)}
        self._groups = _groups(self._actors)
        self._group_of = {key: group for group in self._groups for key in group.members}
        self._now = now
        for group in self._groups:
            group.start_at = now
        self._gone: list[ActorKey] = []
        self._kill: list[ActorKey] = []
        self._stop: Stop | None = None
        self._is_stopped = False

    # --- events ---------------------------------------------------------------------------------

    def reported(self, key: ActorKey, now: float, *, is_ready: bool) -> None:
        """Note that an actor is alive, and whether it does its work."""
        actor = self._actors[key]
        if actor.phase in (Phase.STARTING, Phase.RUNNING):
            actor.phase = Phase.RUNNING
            actor.heard_at = now
            actor.is_ready = is_ready

    def exited(self, key: ActorKey, exit_code: int, now: float) -> None:
        """Note the death of an actor's process; a negative ``exit_code`` is a signal's number."""
        actor = self._actors[key]
        assert actor.phase is not Phase.WAITING, f"{_name(key)} died without a process"
        was_expected = actor.phase is Phase.KILLED
        actor.phase = Phase.WAITING
        actor.is_ready = False
        self._gone.append(key)
        if exit_code in FATAL_EXIT_CODES:
            code = ExitCode(exit_code)
            self._decide_stop(code, f"{_name(key)} ended with {code.name} ({exit_code})")
        elif exit_code == ExitCode.RESTORE:
            # No failure: it begins anew from a checkpoint.
            self._group_of[key].start_at = now
        elif not was_expected:
            self._count_death(key, _ended(exit_code), now)

    def suspects(self, now: float) -> tuple[ActorKey, ...]:
        """Return the actors that are silent, and may be so if only they wait for a slow disk."""
        return tuple(
            key
            for key, actor in self._actors.items()
            if actor.phase is Phase.RUNNING
            and self._config.silent_seconds_max < now - actor.heard_at <= self._silence_max(key)
        )

    def handle_timer(self, now: float, stopped: Collection[ActorKey] = ()) -> None:
        """Look for actors that are silent or failed to start; call it with the inbox drained.

        Args:
            now: monotonic seconds.
            stopped: those of `suspects` whose process the kernel has stopped: they wait for no disk.
        """
        own_pause = now - self._now
        self._now = now
        if own_pause >= OWN_PAUSE_SECONDS_MIN:
            for actor in self._actors.values():
                actor.heard_at += own_pause
        for key, actor in self._actors.items():
            silence = now - actor.heard_at
            silence_max = (
                self._config.silent_seconds_max if key in stopped else self._silence_max(key)
            )
            if actor.phase is Phase.RUNNING and silence > silence_max:
                self._kill_actor(key)
                self._count_death(key, f"was silent for {silence:.1f} s", now)
            elif actor.phase is Phase.STARTING and silence > self._config.start_seconds_max:
                reason = f"{_name(key)} did not start within {silence:.0f} s"
                self._decide_stop(ExitCode.FAILED, reason)

    def _silence_max(self, key: ActorKey) -> float:
        """Return the seconds of silence after which an actor counts as stuck."""
        config = self._config
        if key[0] is ActorRole.WAL:
            return config.wal_silent_seconds_max
        if key[0] is ActorRole.SNAPSHOT:
            return config.snapshot_silent_seconds_max
        return config.silent_seconds_max

    def stop(self) -> None:
        """The member is to stop for another reason: start and kill nothing from now on."""
        self._is_stopped = True

    # --- decisions ------------------------------------------------------------------------------

    def ready(self) -> Actions:
        """Return everything to do since the last call."""
        gone, self._gone = tuple(sorted(self._gone)), []
        kill, self._kill = tuple(sorted(self._kill)), []
        if self._is_stopped:
            stop, self._stop = self._stop, None
            return Actions(gone, stop=stop)
        return Actions(gone, kill, self._start_due())

    def next_timer(self) -> float:
        """Return the seconds at which something may be due: a start, or silence."""
        due = [self._now + self._config.silent_seconds_max]
        if not self._is_stopped:
            due += [group.start_at for group in self._groups if self._is_waiting(group)]
        return min(due)

    def _start_due(self) -> tuple[ActorKey, ...]:
        started: list[ActorKey] = []
        for group in self._groups:
            if group.start_at <= self._now and self._is_waiting(group):
                started += group.members
        for key in started:
            actor = self._actors[key]
            actor.phase = Phase.STARTING
            actor.heard_at = self._now
            actor.restarts += 1
        return tuple(sorted(started))

    def _is_waiting(self, group: _Group) -> bool:
        return all(self._actors[key].phase is Phase.WAITING for key in group.members)

    def _count_death(self, key: ActorKey, how: str, now: float) -> None:
        """Give up if the group died too often, otherwise restart it after a pause."""
        group, config = self._group_of[key], self._config
        window = config.restart_window_seconds
        group.deaths.append(now)
        while group.deaths[0] < now - window:
            group.deaths.popleft()
        count = len(group.deaths)
        if count >= config.restarts_max:
            self._decide_stop(
                ExitCode.GIVE_UP,
                f"{_name(key)} {how}: death {count} of {_names(group.members)} within {window:g} s",
            )
            return
        pause = config.restart_pause_seconds * 2 ** (count - 1)
        group.start_at = now + min(pause, config.restart_pause_seconds_max)
        for other in group.members:
            if self._actors[other].phase in (Phase.STARTING, Phase.RUNNING):
                self._kill_actor(other)

    def _kill_actor(self, key: ActorKey) -> None:
        actor = self._actors[key]
        actor.phase = Phase.KILLED
        actor.is_ready = False
        self._kill.append(key)

    def _decide_stop(self, exit_code: ExitCode, reason: str) -> None:
        """Stop the member; the first reason counts."""
        if not self._is_stopped:
            self._stop = Stop(exit_code, reason)
            self._is_stopped = True

    # --- questions ------------------------------------------------------------------------------

    def is_ready(self) -> bool:
        """Say whether every actor does its work."""
        return all(actor.is_ready for actor in self._actors.values())

    def phase(self, key: ActorKey) -> Phase:
        """Return where an actor is in its life."""
        return self._actors[key].phase

    def is_actor_ready(self, key: ActorKey) -> bool:
        """Say whether one actor does its work."""
        return self._actors[key].is_ready

    def restarts(self, key: ActorKey) -> int:
        """Return how many times an actor has been started again."""
        return max(0, self._actors[key].restarts)

    def check(self) -> None:
        """Assert the invariants."""
        for key, actor in self._actors.items():
            assert key in self._group_of[key].members
            if actor.is_ready:
                assert actor.phase is Phase.RUNNING
        for group in self._groups:
            phases = [self._actors[key].phase for key in group.members]
            if not self._is_stopped and Phase.KILLED in phases:
                assert Phase.RUNNING not in phases
                assert Phase.STARTING not in phases
            assert list(group.deaths) == sorted(group.deaths)


def _groups(actors: Iterable[ActorKey]) -> tuple[_Group, ...]:
    """Return the groups of sorted ``actors``, in order."""
    groups: dict[object, list[ActorKey]] = {}
    for key in actors:
        fates = [roles for roles in SHARED_FATES if key[0] in roles]
        groups.setdefault(fates[0] if fates else key, []).append(key)
    return tuple(_Group(tuple(members)) for members in groups.values())


def _ended(exit_code: int) -> str:
    return f"was ended by signal {-exit_code}" if exit_code < 0 else f"ended with {exit_code}"


def _name(key: ActorKey) -> str:
    return f"{key[0].name.lower().replace('_', '-')}-{key[1]}"


def _names(keys: Sequence[ActorKey]) -> str:
    return " and ".join(map(_name, keys))
