"""Responsible for one round: load, fault, mending, recovery, end of load, stop, checks, verdict.

A round passes only if clients were served before the fault, the fault struck, and no check has
anything to say. Without traffic or without a fault it is void, which is not passed.
"""

from __future__ import annotations

import contextlib
import random
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from tests.robustness.arena import Arena
from tests.robustness.changes import Changes, changes_of
from tests.robustness.checkers.durability import check_durability
from tests.robustness.checkers.hygiene import Footprint, check_footprints, check_log
from tests.robustness.checkers.lease_guarantees import check_all_gone, check_leases
from tests.robustness.checkers.linearizability import check_linearizability
from tests.robustness.checkers.monotonic_revisions import check_monotonic
from tests.robustness.checkers.replay import check_replay
from tests.robustness.checkers.same_history import check_hashes
from tests.robustness.checkers.watch_guarantees import check_is_complete, check_watch
from tests.robustness.faults.fault import Fault, Stage
from tests.robustness.history import History, Outcome, WatchHistory, WatchRecord
from tests.robustness.load import PREFIX, Load
from zetcd.client import Client
from zetcd.errors import ZetcdError
from zetcd.scalars import LeaseID, Revision

#: Seconds of load before the fault, and how much of it there must be.
TRAFFIC_SECONDS: Final = 1.5
TRAFFIC_PER_SECOND_MIN: Final = 50
#: Acknowledged writes at each member that show that it serves again.
_WRITES_AFTER: Final = 5
#: Seconds in which a cluster should serve again; longer is noted.
_RECOVERY_SECONDS: Final = 10.0
#: Seconds of load after recovery.
_AFTER_SECONDS: Final = 0.7
#: Seconds in which an unrenewed lease must go: its TTL, two elections, and one to notice.
_LEASE_SECONDS_MAX: Final = 2 + 2 * 1.0 + 1.0
#: Beyond that it is late because the machine is busy, which alone is no fault.
_LEASE_PATIENCE_SECONDS: Final = 15.0
_FOOTPRINT_SECONDS_MAX: Final = 10.0
#: Violations of one checker that a report spells out.
_SHOWN_MAX: Final = 4


class Verdict(Enum):
    """What a round has shown."""

    PASSED = "passed"
    FAILED = "FAILED"
    #: Nothing: there was no traffic, or the fault did not strike.
    VOID = "void"
    #: This machine cannot do it.
    NOT_AVAILABLE = "not available"


@dataclass(slots=True)
class Report:
    """What became of one round."""

    row: int
    fault: str
    seed: int
    verdict: Verdict = Verdict.FAILED
    reason: str = ""
    seconds: float = 0.0
    strikes: int = 0
    operations: int = 0
    unknown: int = 0
    #: From mending to service at every member.
    recovery_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    #: What checkers found, each with the checker's name in front.
    violations: list[str] = field(default_factory=list)


def run_round(fault: Fault, seed: int, directory: Path) -> Report:
    """Run one round in the empty ``directory``."""
    report = Report(fault.row, fault.name, seed)
    report.reason = fault.missing()
    if report.reason:
        report.verdict = Verdict.NOT_AVAILABLE
        return report
    began = time.monotonic()
    try:
        _Round(fault, report, directory).run()
    except Exception:  # noqa: BLE001 - a round that breaks is a failed one, and the next one follows
        report.verdict = Verdict.FAILED
        report.violations.append("round: " + traceback.format_exc())
    finally:
        fault.clean_up()
        report.seconds = time.monotonic() - began
    if report.violations and report.verdict is not Verdict.VOID:
        report.verdict = Verdict.FAILED
        report.reason = report.violations[0][:2000]
    return report


class _Round:
    """The steps of one round."""

    def __init__(self, fault: Fault, report: Report, directory: Path) -> None:
        self._fault = fault
        self._report = report
        self._directory = directory
        self._before: dict[str, dict[str, Footprint]] = {}

    def run(self) -> None:
        directory = self._directory
        directory.mkdir(parents=True, exist_ok=True)
        with Arena(directory, self._fault.setting(directory), self._report.seed) as arena:
            load = Load(arena.members, self._report.seed)
            stage = Stage(arena, load, random.Random(self._report.seed), directory)
            try:
                load.start()
                if not self._has_traffic(stage):
                    self._report.verdict = Verdict.VOID
                    return
                self._before = _footprints(arena)
                self._hurt(stage)
                self._look_back(stage)
            finally:
                load.close()
                self._report.notes += stage.notes
                self._report.violations += [f"expected: {each}" for each in stage.complaints]
                self._report.strikes = stage.strikes
        if stage.strikes == 0:
            self._report.verdict = Verdict.VOID
            self._report.reason = "the fault did not strike"
        elif not self._report.violations:
            self._report.verdict = Verdict.PASSED

    def _has_traffic(self, stage: Stage) -> bool:
        """Say whether clients were served before the fault, and enough of them."""
        # Not always at the same moment of the load.
        time.sleep(TRAFFIC_SECONDS + stage.rng.uniform(0.0, 0.3))
        stage.load.assert_well()
        rate = stage.load.counters.successes / TRAFFIC_SECONDS
        at_all = all(stage.load.writes_at(name) for name in stage.arena.members)
        self._report.reason = f"{rate:.0f} operations/s before the fault"
        return rate >= TRAFFIC_PER_SECOND_MIN and at_all

    def _hurt(self, stage: Stage) -> None:
        """Inject, mend, and wait until every member serves."""
        term, began = stage.arena.highest_term(), time.monotonic()
        healthy = stage.load.writes_per_second(1.0)
        try:
            self._fault.inject(stage)
        finally:
            self._fault.heal(stage)
        mended = time.monotonic()
        stage.load.end_leases()
        stage.arena.wait_serving()
        for name in stage.arena.members:
            goal = stage.load.writes_at(name) + _WRITES_AFTER

            def serves(name: str = name, goal: int = goal) -> bool:
                return stage.load.writes_at(name) >= goal

            stage.expect(stage.wait(serves), f"no writes at {name} after everything was mended")
        now = time.monotonic()
        self._report.recovery_seconds = now - mended
        stage.note(f"gap {stage.load.longest_gap(began, now):.2f} s")
        stage.note(f"terms +{stage.arena.highest_term() - term}")
        if now - mended > _RECOVERY_SECONDS:
            stage.note(f"recovery took more than {_RECOVERY_SECONDS:g} s")
        stage.hold(_AFTER_SECONDS)
        if not stage.wait(lambda: stage.load.writes_per_second(0.5) >= 0.8 * healthy, 10.0):
            stage.note(f"{stage.load.writes_per_second(1.0):.0f} writes/s, {healthy:.0f} before")

    def _look_back(self, stage: Stage) -> None:
        """End the load and check everything there is to check."""
        arena, load = stage.arena, stage.load
        report, history = self._report, load.history
        self._check("hygiene", self._settled_footprints(arena))
        load.stop()
        self._check("leases", check_all_gone(*_wait_leases_gone(stage)))
        report.operations = history.count(Outcome.OK)
        report.unknown = history.count(Outcome.UNKNOWN)
        full = _watch_everything(arena)
        changes = changes_of(full)
        self._check_history(history, changes, stage)
        hashes = arena.hashes(full.revision)
        self._check("hash", check_hashes(hashes, full.revision))
        for node in arena.nodes:
            if node.is_running:
                code = node.stop()
                stage.expect(code == 0, f"{node.name} ended with {code} on SIGTERM")
        for node in arena.nodes:
            scratch = self._directory / "scratch"
            scratch.mkdir(exist_ok=True)
            self._check("replay", check_replay(node.config, scratch))
            log = _without(node.log(), self._fault.expected_log)
            self._check("hygiene", check_log(node.name, log))
        self._fault.after_stop(stage)

    def _check_history(self, history: History, changes: Changes, stage: Stage) -> None:
        operations = history.operations
        self._check("linearizability", check_linearizability(operations, changes))
        self._check("durability", check_durability(operations, changes))
        self._check("revisions", check_monotonic(operations, stage.forgetful))
        self._check("leases", check_leases(operations, changes, history.first_seen()))
        last = max((each.revision for each in operations if each.is_mutation), default=0)
        for watch in history.watches:
            self._check("watch", check_watch(watch, changes))
            self._check("watch", check_is_complete(watch, last))

    def _check(self, name: str, violations: Iterable[str]) -> None:
        found = list(violations)
        if name in self._fault.exempt:
            self._report.notes += [f"{name} not checked"] * bool(found)
            return
        self._report.violations += [f"{name}: {text[:1500]}" for text in found[:_SHOWN_MAX]]
        if len(found) > _SHOWN_MAX:
            self._report.violations.append(f"{name}: and {len(found) - _SHOWN_MAX} more")

    def _settled_footprints(self, arena: Arena) -> Iterator[str]:
        """Compare with the time before the fault; connections may take a moment to be given back."""
        deadline = time.monotonic() + _FOOTPRINT_SECONDS_MAX
        while True:
            after = _footprints(arena)
            found = [
                text
                for name, before in self._before.items()
                for text in check_footprints(name, before, after.get(name, {}))
            ]
            if not found or time.monotonic() >= deadline:
                return iter(found)
            time.sleep(0.2)


def _footprints(arena: Arena) -> dict[str, dict[str, Footprint]]:
    return {node.name: node.footprints() for node in arena.arena_nodes if node.is_running}


def _wait_leases_gone(stage: Stage) -> tuple[tuple[LeaseID, ...], float]:
    """Wait until every lease of the load has run out; return those left, and the seconds."""
    began = time.monotonic()
    left: tuple[LeaseID, ...] = ()

    def are_gone() -> bool:
        nonlocal left
        with contextlib.suppress(ZetcdError), Client(stage.arena.endpoints, timeout=5.0) as client:
            left = client.leases().leases
            return not left
        return False

    stage.wait(are_gone, _LEASE_SECONDS_MAX + _LEASE_PATIENCE_SECONDS)
    seconds = time.monotonic() - began
    if seconds > _LEASE_SECONDS_MAX:
        stage.note(f"leases gone after {seconds:.1f} s")
    return left, seconds


def _watch_everything(arena: Arena) -> WatchHistory:
    """Return the whole history of the store, as a watch from revision 1 tells it."""
    history = WatchHistory("watch of everything", PREFIX, start_revision=1)
    with Client(arena.endpoints, timeout=20.0) as client:
        last: Revision = client.get(b"health").header.revision
        with client.watch_prefix(PREFIX, start_revision=1) as watch:
            while history.revision < last:
                response = watch.next(timeout=20.0)
                assert response is not None, f"a watch of everything stands at {history.revision}"
                history.records.append(
                    WatchRecord(time.monotonic(), response.header.revision, response.events)
                )
    return history


def _without(log: str, expected: tuple[str, ...]) -> str:
    """Return the lines of a log that the fault does not explain."""
    return "\n".join(
        line for line in log.splitlines() if not any(text in line for text in expected)
    )
