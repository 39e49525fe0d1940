"""Responsible for a session: rounds of workloads on both systems, each round's order the other way round."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import msgspec

from bench.accounting import Account
from bench.drivers import DriverFailed, load_keys, run_go, run_native
from bench.guard import RUNS_DIR, Directory
from bench.machine import machine_facts, versions
from bench.peers.build import BuildFailed, BuildUnavailable, build_program
from bench.results import Measurement, Report, Session, Spec
from bench.systems import Cluster, ClusterFailed, etcd_cluster, zetcd_cluster
from bench.systems.zetcd import ZetcdCluster, batches_between
from bench.trust import doubts_of, void_of
from bench.workloads import Workload

Say = Callable[[str], None]

ZETCD, NATIVE, ETCD = "zetcd", "zetcd-native", "etcd"


@dataclass
class Options:
    """How a session is run."""

    rounds: int = 3
    seconds: float = 4.0
    warmup_seconds: float = 1.0
    base_port: int = 25_000
    #: Where members keep their files: the file system that is measured.
    runs_dir: Path = RUNS_DIR
    #: No new cluster is started later than this after the beginning; 0: no limit.
    minutes_max: float = 0.0
    systems: tuple[str, ...] = (ETCD, ZETCD, NATIVE)
    say: Say = print
    begun: float = field(default_factory=time.monotonic)

    def is_late(self) -> bool:
        """Say whether the time is used up."""
        return bool(self.minutes_max) and time.monotonic() - self.begun > 60 * self.minutes_max


def new_session(options: Options) -> Session:
    """Return an empty session with everything that figures depend on; Go programs are built first."""
    command = shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    session = Session(datetime.now(UTC).isoformat(timespec="seconds"), command)
    for program, needed_by in (("loadgen", (ETCD, ZETCD)), ("etcd", (ETCD,))):
        try:
            build_program(program)
        except (BuildUnavailable, BuildFailed) as error:
            reason = f"{program} cannot be built: {str(error).strip().splitlines()[-1]}"
            options.say(reason)
            session.absent |= dict.fromkeys(needed_by, reason)
    options.systems = tuple(each for each in options.systems if each not in session.absent)
    session.machine, session.versions = machine_facts(options.runs_dir), versions()
    return session


def start_cluster(system: str, options: Options) -> Cluster:
    """Return a cluster of fresh members; `with` starts it."""
    directory = Directory(system, options.runs_dir)
    if system == ETCD:
        return etcd_cluster(build_program("etcd"), directory, options.base_port)
    return zetcd_cluster(directory, options.base_port)


@contextmanager
def noting_failures(session: Session, options: Options, what: str) -> Iterator[None]:
    """Go on after a failed cluster or client, and write it down."""
    try:
        yield
    except (ClusterFailed, DriverFailed) as error:
        session.notes.append(f"{what}: {error}")
        options.say(f"  {what}: FAILED: {error}")


def run_rounds(session: Session, workloads: list[Workload], options: Options) -> None:
    """Measure the workloads in so many rounds; with every round, what was measured is whole."""
    groups = [list(group) for _, group in groupby(sorted_by_group(workloads), lambda w: w.group)]
    for number in range(options.rounds):
        for group in groups:
            for system in order_of(options.systems, number):
                if options.is_late():
                    session.notes.append(
                        f"time was up in round {number + 1}, before {group[0].group}"
                    )
                    drop_unpaired(session, options)
                    return
                what = f"round {number + 1}, {group[0].group}, {system}"
                with noting_failures(session, options, what):
                    _run_group(session, group, system, number, options)


def sorted_by_group(workloads: list[Workload]) -> list[Workload]:
    """Return the workloads with each group together, groups in the order of their first one."""
    groups = list(dict.fromkeys(workload.group for workload in workloads))
    return sorted(workloads, key=lambda workload: groups.index(workload.group))


def order_of(systems: tuple[str, ...], number: int) -> list[str]:
    """Return the clusters to start in a round; zetcd's two protocols share one."""
    clusters = list(dict.fromkeys(ZETCD if each == NATIVE else each for each in systems))
    return clusters[::-1] if number % 2 else clusters


def drop_unpaired(session: Session, options: Options) -> None:
    """Leave out what has no counterpart in its round, so that nothing one-sided is shown."""
    wanted = set(options.systems) - {NATIVE}
    seen: dict[tuple[str, int], set[str]] = {}
    for each in session.measurements:
        seen.setdefault((each.workload, each.round), set()).add(each.system)
    session.measurements = [
        each for each in session.measurements if wanted <= seen[each.workload, each.round]
    ]


def _run_group(
    session: Session, group: list[Workload], system: str, number: int, options: Options
) -> None:
    with start_cluster(system, options) as cluster:
        session.commands.setdefault(
            f"{system} member 0", shlex.join(cluster.members[0].plan.command)
        )
        loaded: set[tuple[int, int]] = set()
        for workload in group:
            if system in options.systems:
                _load_keys(cluster, workload, loaded)
                measured = measure(cluster, workload, system, number, options)
                session.measurements.append(measured)
                options.say(_told(measured))
            # Without the Go client nothing loads the keys that reads need.
            can_read = system in options.systems or not _preload(workload)
            if system == ZETCD and NATIVE in options.systems and workload.is_native and can_read:
                measured = measure(cluster, workload, NATIVE, number, options)
                session.measurements.append(measured)
                options.say(_told(measured))


def _preload(workload: Workload) -> int:
    return int(workload.settings.get("preload", 0))


def _load_keys(cluster: Cluster, workload: Workload, loaded: set[tuple[int, int]]) -> None:
    """Load the keys that a workload reads, once for a cluster: that work is no part of any figure."""
    spec = workload.spec(cluster.endpoints, seconds=0.0, warmup=0.0)
    what = (_preload(workload), int(spec["value_bytes"]))
    if what[0] and what not in loaded:
        load_keys(spec)
        loaded.add(what)


def measure(
    cluster: Cluster, workload: Workload, system: str, number: int, options: Options
) -> Measurement:
    """Run one workload once."""
    is_native = system == NATIVE
    spec = workload.spec(
        cluster.native if is_native else cluster.endpoints,
        seconds=options.seconds,
        warmup=options.warmup_seconds,
    )
    if not is_native:
        spec["is_loaded"] = True
    leader = cluster.leader()
    account = Account(member.pid for member in cluster.members)
    before = cluster.counts() if isinstance(cluster, ZetcdCluster) else {}
    account.start()
    report = run_driver(spec, workload, is_native=is_native)
    usage = account.stop()
    if isinstance(cluster, ZetcdCluster):
        usage = msgspec.structs.replace(usage, batches=batches_between(before, cluster.counts()))
    void = void_of(report, leader_before=leader, leader_after=cluster.leader())
    doubts = doubts_of(report, usage, one_thread=is_native, rate=workload.rate)
    return Measurement(workload.name, system, number, report, usage, tuple(doubts), void)


def run_driver(spec: Spec, workload: Workload, *, is_native: bool) -> Report:
    """Run the client."""
    return (run_native if is_native else run_go)(spec, workload.seconds_max)


def _told(measured: Measurement) -> str:
    """Return the line that is shown while the session runs."""
    doubts = "; ".join((*filter(None, [measured.void]), *measured.doubts))
    rate = f"{measured.report.rate:>10,.0f}/s"
    return f"  {measured.round + 1} {measured.workload:<22}{measured.system:<14}{rate}  {doubts}"
