"""Responsible for what every fault has in common, and for what a fault may use in its round."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.robustness.arena import Arena, ArenaNode, ArenaSetting
from tests.robustness.history import Outcome
from tests.robustness.load import Load

#: Seconds within which service must be back; generous, because a busy machine is not a fault.
RECOVERY_SECONDS_MAX = 30.0


@dataclass(slots=True)
class Stage:
    """One round in progress."""

    arena: Arena
    load: Load
    rng: random.Random
    directory: Path
    #: How many times the fault has really struck; a round with 0 shows nothing.
    strikes: int = 0
    #: What must hold beyond the checks of every round, and did not.
    complaints: list[str] = field(default_factory=list)
    #: Figures for the table.
    notes: list[str] = field(default_factory=list)
    #: Members whose machine lost power: they may show an older state of the past.
    forgetful: set[str] = field(default_factory=set)

    def expect(self, is_so: bool, what: str) -> None:
        """Note a complaint unless ``is_so``."""
        if not is_so:
            self.complaints.append(what)

    def note(self, text: str) -> None:
        """Add a figure to the table."""
        self.notes.append(text)

    def hold(self, seconds: float) -> None:
        """Let the load run against the fault for this long."""
        time.sleep(seconds)
        self.load.assert_well()

    def wait(self, condition: Callable[[], bool], seconds: float = RECOVERY_SECONDS_MAX) -> bool:
        """Say whether ``condition`` came to hold within ``seconds``."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        return True

    def wait_writes(self, count: int, what: str, seconds: float = RECOVERY_SECONDS_MAX) -> float:
        """Wait for ``count`` more acknowledged writes; return the seconds, complain without them."""
        began, goal = time.monotonic(), len(self.load.counters.write_times) + count
        times = self.load.counters.write_times
        self.expect(self.wait(lambda: len(times) >= goal, seconds), f"no writes {what}")
        return time.monotonic() - began

    def expect_others_unharmed(self, victim: ArenaNode, since: float) -> None:
        """Complain of mutations at other members that failed, though begun after ``since``."""
        failed = [
            operation
            for operation in list(self.load.history.operations)
            if operation.is_mutation
            and operation.invoked >= since
            and operation.member not in ("", victim.name)
            and operation.outcome in (Outcome.REFUSED, Outcome.UNKNOWN)
        ]
        self.expect(not failed, f"{len(failed)} writes failed at other members: {failed[:2]}")

    def victim(self, role: str) -> ArenaNode:
        """Return the leader or a follower."""
        if role == "leader":
            return self.arena.arena_leader()
        return self.arena.arena_followers()[0]


class Fault:
    """One way to hurt a cluster; an object is used for one round.

    The round starts the cluster and the load, then calls `inject`, which returns when it has hurt
    enough, then `heal`, which mends the cluster: all members run and nothing is injected any more.
    """

    #: Row of the fault table in ``docs/testing.md``.
    row: int = 0
    #: Log lines that are the fault's own doing and no defect.
    expected_log: tuple[str, ...] = ()
    #: Checkers, by name, that the fault takes the ground from; a note in the table says so.
    exempt: tuple[str, ...] = ()
    name: str = ""

    def missing(self) -> str:
        """Return what this machine lacks; "" = nothing."""
        return ""

    def setting(self, directory: Path) -> ArenaSetting:
        """Return the cluster that the fault needs; may make mounts below ``directory``."""
        return ArenaSetting()

    def inject(self, stage: Stage) -> None:
        """Hurt the cluster, under load."""
        raise NotImplementedError

    def heal(self, stage: Stage) -> None:
        """Mend everything."""

    def after_stop(self, stage: Stage) -> None:
        """Look at, or hurt, the files of the members once they have stopped and were checked."""

    def clean_up(self) -> None:
        """Give back what `setting` has made; called whatever happened."""
