"""Responsible for the sweep: what slow disks cost, on both systems alike, from nothing to 3 s per fdatasync.

strace holds the thread before each fdatasync, as a slow disk would: etcd's log and its bbolt file, and
zetcd's wal process. With 0 ms it traces and delays nothing, so the cost of tracing is in every point.

For each point a fresh cluster starts healthy. Then the members concerned are started again with their slow
disks, the leader is moved to where it is wanted, and two loads run: closed loops for the throughput, and
an open loop, at a rate that both systems can keep when healthy, for the latency.
"""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from bench.accounting import Account
from bench.drivers import DriverFailed, run_go
from bench.guard import Refused
from bench.results import Session, Spec, SweepPoint
from bench.session import ETCD, NATIVE, Options, noting_failures, start_cluster
from bench.systems import Cluster, ClusterLate, Tracing
from bench.systems.zetcd import ZetcdCluster
from bench.trust import doubts_of
from bench.workloads import SEED

DELAYS_MS = (0, 1, 5, 10, 50, 100, 500, 1000, 3000)
WHO = ("leader", "follower", "all")

#: A load is at least so many delays long: less would show only the first of them.
_DELAYS_PER_LOAD = 4
#: For each step until the disks are as wanted, with a delay of 3 s too.
_PREPARE_SECONDS_MAX = 60.0
_LEASES = 20
_LEASE_SECONDS = 5
_OBSERVE_MS = 100
#: As etcd counts them in its leader.
_LATE_HEARTBEATS = "etcd_server_heartbeat_send_failures_total"


@dataclass(frozen=True)
class SweepPlan:
    """Which points, and how long each."""

    delays_ms: tuple[int, ...] = DELAYS_MS
    who: tuple[str, ...] = WHO
    clients: int = 100
    #: Of the open loop.
    rate: float = 100.0

    def load_seconds(self, options: Options, delay_ms: int) -> float:
        """Return how long each of the two loads runs."""
        return max(options.seconds, _DELAYS_PER_LOAD * delay_ms / 1000)


def require_strace() -> None:
    """Return once there is strace; install it where we may.

    Raises:
        Refused: it is not there.
    """
    if shutil.which("strace"):
        return
    with suppress(OSError, subprocess.SubprocessError):
        command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "strace"]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
    if not shutil.which("strace"):
        raise Refused("strace is needed to slow disks down; as root: apt-get install strace")


def run_sweep(session: Session, plan: SweepPlan, options: Options) -> None:
    """Measure every point on every system, the systems one after the other at each point."""
    systems = [name for name in options.systems if name != NATIVE]
    for who in plan.who:
        for number, delay_ms in enumerate(plan.delays_ms):
            for system in systems if number % 2 == 0 else systems[::-1]:
                if options.is_late():
                    session.notes.append(f"time was up before {who} {delay_ms} ms on {system}")
                    return
                point = SweepPoint(system, who, delay_ms)
                with noting_failures(session, options, f"{system}, {who}, {delay_ms} ms"):
                    point = _measure(point, plan, options)
                session.sweep.append(point)
                options.say(_told(point))


def _measure(point: SweepPoint, plan: SweepPlan, options: Options) -> SweepPoint:
    with start_cluster(point.system, options) as cluster:
        unprepared = slow_down(cluster, point.who, point.delay_ms)
        before = late_heartbeats(cluster)
        account = Account(member.pid for member in cluster.members)
        try:
            account.start()
            seconds = plan.load_seconds(options, point.delay_ms)
            throughput = run_go(load_spec(cluster, options, seconds, plan.clients))
            usage = account.stop()
            latency = run_go(load_spec(cluster, options, seconds, plan.clients, plan.rate))
        except DriverFailed as error:
            return without_figures(point, str(error))
        after = late_heartbeats(cluster)
        doubts = doubts_of(throughput, usage, one_thread=False)
        return SweepPoint(
            point.system,
            point.who,
            point.delay_ms,
            throughput,
            latency,
            tick_lateness(cluster),
            None if before is None or after is None else after - before,
            "",
            (*unprepared, *(doubt for doubt in doubts if doubt != "requests failed")),
        )


def without_figures(point: SweepPoint, failure: str) -> SweepPoint:
    """Return the point without figures, saying why."""
    return SweepPoint(point.system, point.who, point.delay_ms, failure=failure)


def slow_down(cluster: Cluster, who: str, delay_ms: int) -> tuple[str, ...]:
    """Give the members concerned slow disks, member 0 first, and let the right one lead.

    Returns what could not be brought about. Slow disks may keep a cluster from having a leader at all: the load
    runs all the same, because that is what is to be shown.

    Raises:
        ClusterFailed: a member ended.
    """
    late: list[str] = []

    def come_to(step: Callable[[], None]) -> None:
        """Wait for a step, unless an earlier one was not reached: then nothing better is to be expected."""
        try:
            if not late:
                step()
        except ClusterLate as error:
            late.append(f"began without {error}")

    for number in range(len(cluster.members)) if who == "all" else range(1):
        cluster.members[number].stop()
        cluster.members[number].start(Tracing(delay_ms))
        come_to(lambda: cluster.wait_ready(_PREPARE_SECONDS_MAX))
    if who == "leader":
        come_to(lambda: cluster.let_lead(0, _PREPARE_SECONDS_MAX))
    elif who == "follower" and cluster.leader() == 0:
        come_to(lambda: cluster.let_lead(1, _PREPARE_SECONDS_MAX))
    return tuple(late)


def load_spec(
    cluster: Cluster, options: Options, seconds: float, clients: int, rate: float = 0.0
) -> Spec:
    """Return a load of puts that also watches over terms, leaders and leases."""
    return {
        "kind": "put",
        "endpoints": cluster.endpoints,
        "clients": clients if not rate else 10 * clients,
        "connections": min(clients, 100),
        "rate": rate,
        "seconds": seconds,
        "warmup_seconds": options.warmup_seconds,
        "timeout_seconds": 10.0,
        "seed": SEED,
        "key_bytes": 16,
        "value_bytes": 256,
        "keys": 10_000,
        "observe_milliseconds": _OBSERVE_MS,
        "kept_leases": _LEASES,
        "lease_seconds": _LEASE_SECONDS,
    }


def tick_lateness(cluster: Cluster) -> float | None:
    """Return how late zetcd's ticks were, from which heartbeats leave: p99.9 of the worst member, in ms."""
    if not isinstance(cluster, ZetcdCluster):
        return None
    texts = [status.fact("raft", "tick_late_ms_p999") for status in cluster.statuses()]
    return max((float(text) for text in texts if text), default=None)


def late_heartbeats(cluster: Cluster) -> int | None:
    """Return how many heartbeats etcd's members count as not sent in time."""
    if cluster.system != ETCD:
        return None
    return sum(metric(endpoint, _LATE_HEARTBEATS) for endpoint in cluster.endpoints)


def metric(endpoint: str, name: str) -> int:
    """Return a counter of a member; 0 if it does not say."""
    with (
        suppress(OSError),
        urllib.request.urlopen(f"http://{endpoint}/metrics", timeout=5) as answer,
    ):
        for line in answer.read().decode().splitlines():
            if line.startswith(f"{name} "):
                return int(float(line.split()[1]))
    return 0


def _told(point: SweepPoint) -> str:
    name = f"  {point.who:<9}{point.delay_ms:>5} ms {point.system:<7}"
    if point.failure:
        return f"{name} {point.failure}"
    return (
        f"{name} {point.throughput.rate:>8,.0f} puts/s, {point.elections} elections, "
        f"{point.failed} failed, {point.leases_lost} leases lost"
    )


__all__ = ["DELAYS_MS", "WHO", "SweepPlan", "require_strace", "run_sweep"]
