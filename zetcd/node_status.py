"""Responsible for the shape of a node's status: what a supervisor answers on its control socket.

JSON both ways over a REQ/REP pair on ``ipc://<runtime-dir>/control``: ``{"command": "status"}`` is
answered by a `NodeStatus`, anything else by ``{"error": "..."}``. Fields are only ever added.
"""

from __future__ import annotations

from typing import Final

import msgspec

#: Name of the control socket in the runtime directory.
CONTROL_NAME: Final = "control"


class ControlRequest(msgspec.Struct, frozen=True):
    """A question to a supervisor."""

    command: str


class ControlError(msgspec.Struct, frozen=True):
    """The answer to a question that the supervisor does not understand."""

    error: str


class ActorStatus(msgspec.Struct, frozen=True):
    """One process of a node; figures of a process that is not there are 0."""

    #: For example ``raft-0``; ``supervisor-0`` and ``spawner-0`` are listed too.
    actor: str
    pid: int = 0
    #: 0 for the spawner, which exchanges no messages.
    incarnation: int = 0
    #: ``waiting`` (for its restart), ``starting``, ``running``, ``ready`` or ``killed``.
    state: str = ""
    #: How many times it was started again.
    restarts: int = 0
    uptime_seconds: float = 0.0
    #: Of one core, over the last seconds.
    cpu_percent: float = 0.0
    cpu_seconds: float = 0.0
    rss_bytes: int = 0
    fds: int = 0
    threads: int = 0
    #: What the actor itself reports; numbers as decimal text.
    facts: dict[str, str] = {}


class NodeStatus(msgspec.Struct, frozen=True):
    """One node and all its processes."""

    name: str
    #: Hexadecimal, like all ids here.
    member_id: str
    cluster_id: str
    version: str
    pid: int
    #: ``starting``, ``ready``, ``not ready`` (it was before) or ``stopping``.
    state: str
    uptime_seconds: float
    #: ``leader``, ``follower``, ``candidate``, ``pre-candidate``, ``learner``, or empty if unknown.
    role: str
    #: Id of the leader; empty if none is known.
    leader: str
    term: int
    data_dir: str
    native_urls: tuple[str, ...] = ()
    peer_urls: tuple[str, ...] = ()
    actors: tuple[ActorStatus, ...] = ()

    def fact(self, role: str, key: str) -> str:
        """Return what the first actor of ``role`` (for example ``apply``) reports under ``key``."""
        for each in self.actors:
            if each.actor.rpartition("-")[0] == role and key in each.facts:
                return each.facts[key]
        return ""

    def fact_sum(self, role: str, key: str) -> int:
        """Return the sum of a number that every actor of ``role`` reports under ``key``."""
        found = (e.facts.get(key, "") for e in self.actors if e.actor.rpartition("-")[0] == role)
        return sum(int(each) for each in found if each.isdecimal())
