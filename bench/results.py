"""Responsible for the shape of what was measured: what the drivers report and what is kept in JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from bench.histogram import Buckets


class Report(msgspec.Struct, frozen=True):
    """What a driver says of one run."""

    #: Answers, warm-up included, and those of the measured time.
    operations: int = 0
    measured: int = 0
    #: The measured time, and what the client's process spent in it.
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    #: Of the whole run, by text.
    errors: dict[str, int] = {}
    #: In microseconds; "all" has every operation.
    latencies: dict[str, Buckets] = {}
    #: How late an open loop handed out its operations.
    lateness: Buckets = Buckets()
    #: Answers in each tenth of a second of the measured time.
    timeline: tuple[int, ...] = ()
    figures: dict[str, float] = {}

    @property
    def rate(self) -> float:
        """Return answers per second."""
        return self.measured / self.seconds if self.seconds else 0.0

    @property
    def failed(self) -> int:
        """Return how many operations failed."""
        return sum(self.errors.values())

    @property
    def longest_stall_seconds(self) -> float:
        """Return the longest time in which no operation was answered."""
        longest = current = 0
        for answered in self.timeline[:-1]:
            current = 0 if answered else current + 1
            longest = max(longest, current)
        return longest / 10


class Usage(msgspec.Struct, frozen=True):
    """What the processes of a system used during one run, by actor."""

    cpu_seconds: dict[str, float] = {}
    #: At the end.
    rss_bytes: dict[str, int] = {}
    #: Times that a process went to sleep and was woken up.
    wakeups: dict[str, int] = {}
    #: CPU seconds of processes that have nothing to do with the benchmark.
    foreign_cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    cores: int = 1
    #: What zetcd's actors counted meanwhile, all members together: ``requests per proposal`` and so on.
    batches: dict[str, float] = {}


class Measurement(msgspec.Struct, frozen=True):
    """One run of one workload on one system."""

    workload: str
    #: ``zetcd``, ``zetcd-native`` or ``etcd``.
    system: str
    round: int
    report: Report = Report()
    usage: Usage = Usage()
    #: Why the figure may be wrong, and ...
    doubts: tuple[str, ...] = ()
    #: ... why the run must not be used at all.
    void: str = ""


class SweepPoint(msgspec.Struct, frozen=True):
    """One system with disks so slow."""

    system: str
    #: Whose disk: ``leader``, ``follower`` or ``all``.
    who: str
    delay_ms: int
    throughput: Report = Report()
    latency: Report = Report()
    #: How late heartbeats were, in ms, and how many etcd counted as not sent in time; None: not known.
    tick_late_ms: float | None = None
    heartbeats_late: int | None = None
    #: Why there are no figures.
    failure: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def elections(self) -> int:
        """Return by how much the term grew while the load ran."""
        return int(
            sum(each.figures.get("elections", 0) for each in (self.throughput, self.latency))
        )

    @property
    def leader_changes(self) -> int:
        """Return how often another member led."""
        reports = (self.throughput, self.latency)
        return int(sum(each.figures.get("leader_changes", 0) for each in reports))

    @property
    def failed(self) -> int:
        """Return how many requests failed."""
        return self.throughput.failed + self.latency.failed

    @property
    def leases_lost(self) -> int:
        """Return how many leases ended that were being kept alive."""
        reports = (self.throughput, self.latency)
        return int(sum(each.figures.get("leases_lost", 0) for each in reports))


class ScenarioRun(msgspec.Struct, frozen=True):
    """Figures of a scenario of several steps on one system."""

    scenario: str
    system: str
    round: int
    figures: dict[str, float] = {}
    failure: str = ""


class Session(msgspec.Struct):
    """Everything that one call of the benchmark measured."""

    #: ISO 8601, UTC.
    started: str
    command: str
    machine: dict[str, str] = {}
    versions: dict[str, str] = {}
    #: Why a system is not there, by its name.
    absent: dict[str, str] = {}
    #: How members were started, and one spec of the load for each workload.
    commands: dict[str, str] = {}
    measurements: list[Measurement] = []
    sweep: list[SweepPoint] = []
    scenarios: list[ScenarioRun] = []
    #: What did not go as planned.
    notes: list[str] = []


def to_json(session: Session) -> bytes:
    """Return the text of a session's file."""
    return msgspec.json.format(msgspec.json.encode(session), indent=1)


def from_json(text: bytes) -> Session:
    """Return the session of a file."""
    return msgspec.json.decode(text, type=Session)


#: A spec of the load generator; see ``bench/peers/loadgen/spec.go``.
Spec = dict[str, Any]
