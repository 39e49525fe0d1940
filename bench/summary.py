"""Responsible for what the rounds of a workload say together: medians, spread, ratios within rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.histogram import Histogram
from bench.results import Measurement, Session


@dataclass(frozen=True)
class Spread:
    """A median with the least and the greatest of the rounds."""

    median: float
    least: float
    greatest: float
    rounds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Summarise; None if there is nothing."""
        if not values:
            return None
        return cls(statistics.median(values), min(values), max(values), len(values))


@dataclass(frozen=True)
class Line:
    """One workload on one system, over all rounds."""

    workload: str
    system: str
    rate: Spread | None
    #: Milliseconds by percentile name, over all rounds together; None: too few operations.
    latency_ms: dict[str, float | None]
    #: Rate and p50 against etcd, each formed within its round.
    rate_ratio: Spread | None
    p50_ratio: Spread | None
    #: CPU microseconds per operation by actor, the sum of all members.
    cpu_us: dict[str, float]
    #: Largest sum of all members, in bytes.
    rss_bytes: int
    failed: int
    figures: dict[str, Spread]
    #: Of parts of the workload: name, and the same percentiles.
    parts: dict[str, dict[str, float | None]] = field(default_factory=dict)
    void_rounds: int = 0
    doubts: tuple[str, ...] = ()


PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


def percentiles(histogram: Histogram) -> dict[str, float | None]:
    """Return the percentiles in milliseconds."""
    found = {name: histogram.percentile(share) for name, share in PERCENTILES.items()}
    return {name: None if value is None else value / 1000 for name, value in found.items()}


def lines_of(session: Session, *, reference: str = "etcd") -> list[Line]:
    """Return a line for each workload and system, in the order in which they were first measured."""
    pairs = dict.fromkeys((each.workload, each.system) for each in session.measurements)
    order = {workload: at for at, workload in enumerate(dict.fromkeys(w for w, _ in pairs))}
    return [
        line_of(session.measurements, workload, system, reference)
        for workload, system in sorted(pairs, key=lambda pair: (order[pair[0]], pair[1]))
    ]


def line_of(
    measurements: Sequence[Measurement], workload: str, system: str, reference: str
) -> Line:
    """Summarise one workload on one system."""
    every = [each for each in measurements if each.workload == workload]
    own = [each for each in every if each.system == system]
    used = [each for each in own if not each.void]
    theirs = {each.round: each for each in every if each.system == reference and not each.void}
    both = [(each, theirs[each.round]) for each in used if each.round in theirs]
    names = dict.fromkeys(name for each in used for name in each.report.latencies if name != "all")
    figures = dict.fromkeys(name for each in used for name in each.report.figures)
    return Line(
        workload,
        system,
        Spread.of([each.report.rate for each in used]),
        percentiles(_latencies(used, "all")),
        None
        if system == reference
        else Spread.of([_ratio(a.report.rate, b.report.rate) for a, b in both if b.report.rate]),
        None
        if system == reference
        else Spread.of([_ratio(_median(a), _median(b)) for a, b in both if _median(b)]),
        _cpu_us(used),
        max((sum(each.usage.rss_bytes.values()) for each in used), default=0),
        sum(each.report.failed for each in used),
        {
            name: spread
            for name in figures
            if (
                spread := Spread.of(
                    [e.report.figures[name] for e in used if name in e.report.figures]
                )
            )
        },
        {name: percentiles(_latencies(used, name)) for name in names},
        len(own) - len(used),
        tuple(
            dict.fromkeys(
                doubt for each in own for doubt in (*each.doubts, *filter(None, [each.void]))
            )
        ),
    )


def _latencies(measurements: Sequence[Measurement], name: str) -> Histogram:
    return Histogram.merged(
        e.report.latencies[name] for e in measurements if name in e.report.latencies
    )


def _median(measurement: Measurement) -> float:
    return (
        Histogram(measurement.report.latencies["all"]).value_at(0.5)
        if "all" in measurement.report.latencies
        else 0.0
    )


def _ratio(ours: float, theirs: float) -> float:
    return ours / theirs


def _cpu_us(measurements: Sequence[Measurement]) -> dict[str, float]:
    """Return the median over the rounds; operations of the warm-up were worked for too."""
    by_actor: dict[str, list[float]] = {}
    for each in measurements:
        for actor, seconds in each.usage.cpu_seconds.items():
            by_actor.setdefault(actor, []).append(1e6 * seconds / max(1, each.report.operations))
    return {actor: statistics.median(values) for actor, values in by_actor.items()}
