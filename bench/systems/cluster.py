"""Responsible for three members as one system: ready, led by whom we say, and stopped at the end."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from bench.drivers import MemberView, ask_members, move_leader
from bench.guard import Directory
from bench.systems.member import Member, MemberPlan

MEMBERS = 3
#: With every fdatasync of every member delayed by 3 s, etcd needs its time.
_READY_SECONDS_MAX = 90.0
_LOOK_SECONDS = 0.2


class ClusterFailed(Exception):
    """A cluster did not come to where it was wanted."""


class ClusterLate(ClusterFailed):
    """It has not come there within its time; its members run."""


class Cluster:
    """A context manager: members run inside, and nothing is left outside."""

    def __init__(self, system: str, plans: list[MemberPlan], directory: Directory) -> None:
        """Describe the cluster; its directory is removed at the end."""
        self.system = system
        self.directory = directory
        self.members = [Member(plan, directory) for plan in plans]

    @property
    def endpoints(self) -> list[str]:
        """Return where etcd's API is served."""
        return [member.plan.endpoint for member in self.members]

    @property
    def native(self) -> list[str]:
        """Return where ZeroMQ clients are served."""
        return [member.plan.native for member in self.members if member.plan.native]

    def __enter__(self) -> Self:
        """Start all members and wait until they agree on a leader."""
        try:
            for member in self.members:
                member.start()
            self.wait_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop all members and remove their directory."""
        del kind, error, trace
        self._end()

    def _end(self) -> None:
        try:
            # All at once: one after the other they would wait for a quorum that is going away.
            for member in self.members:
                member.ask_to_stop()
            for member in self.members:
                member.stop()
        finally:
            self.directory.remove()

    def view(self) -> list[MemberView]:
        """Ask every member how it is."""
        return ask_members(self.endpoints)

    def hand_over(self, view: list[MemberView], number: int) -> None:
        """Ask the leader to hand over to a member; it may refuse."""
        move_leader(view[number].member_id, self.endpoints)

    def leader(self) -> int:
        """Return the number of the member that leads; -1: they do not agree."""
        return leader_of(self.view())

    def wait_ready(self, seconds: float = _READY_SECONDS_MAX) -> None:
        """Return once all members answer and name the same leader."""
        self.wait(lambda: self.leader() >= 0, "a leader on which all agree", seconds)

    def wait(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Return once ``condition`` holds.

        Raises:
            ClusterLate: it does not.
            ClusterFailed: a member ended.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            for member in self.members:
                if member.has_ended():
                    raise ClusterFailed(f"{member.plan.name} ended:\n{member.log_tail()}")
            if time.monotonic() > deadline:
                raise ClusterLate(f"{what} (not within {seconds:.0f} s)")
            time.sleep(_LOOK_SECONDS)

    def let_lead(self, number: int, seconds: float = _READY_SECONDS_MAX) -> None:
        """Return once this member leads."""

        def leads() -> bool:
            view = self.view()
            if leader_of(view) == number:
                return True
            if view[number].member_id:
                self.hand_over(view, number)
            return False

        self.wait(leads, f"{self.members[number].plan.name} leads", seconds)


def leader_of(view: list[MemberView]) -> int:
    """Return the position of the member that all name as leader; -1: they do not agree."""
    ids = [member.member_id for member in view]
    named = {member.leader for member in view}
    leader = next(iter(named)) if len(named) == 1 else ""
    return ids.index(leader) if leader not in ("", "0") and leader in ids else -1
