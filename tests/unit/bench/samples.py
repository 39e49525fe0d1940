"""Sessions for the tests of what is made of them."""

from __future__ import annotations

import msgspec

from bench.histogram import Histogram
from bench.results import Measurement, Report, ScenarioRun, Session, SweepPoint, Usage


def report(rate: float, *, seconds: float = 1.0, milliseconds: float = 2.0) -> Report:
    """Return a report of so many operations a second, each as slow as said."""
    histogram = Histogram()
    count = int(rate * seconds)
    for number in range(count):
        histogram.record(int(1000 * milliseconds) + number % 7)
    return Report(count, count, seconds, 0.1, {}, {"all": histogram.buckets()})


def measurement(
    system: str, number: int, rate: float, *, workload: str = "put-100", void: str = ""
) -> Measurement:
    """Return one run."""
    usage = Usage({"apply": rate * 20e-6}, {"apply": 50 << 20}, {"apply": int(rate)}, 0.0, 1.0, 2)
    if system != "etcd":
        usage = msgspec.structs.replace(usage, batches={"requests per proposal": 7.5})
    return Measurement(workload, system, number, report(rate), usage, (), void)


def session() -> Session:
    """Return a session with two rounds, a sweep and a scenario."""
    made = Session("2026-01-02T03:04:05+00:00", "python -m bench short")
    made.machine = {"cores": "2", "processor": "<a & b>"}
    made.measurements = [
        measurement("etcd", 0, 1000),
        measurement("zetcd", 0, 2000),
        measurement("zetcd", 1, 500),
        measurement("etcd", 1, 100),
    ]
    made.sweep = [
        SweepPoint(system, "leader", delay, report(rate), report(rate / 2), 3.5)
        for system, delay, rate in (
            ("etcd", 0, 1000),
            ("etcd", 100, 100),
            ("zetcd", 0, 2000),
            ("zetcd", 100, 1900),
        )
    ]
    failure = "could not be prepared: <no leader>"
    made.sweep.append(SweepPoint("etcd", "leader", 3000, failure=failure))
    made.scenarios = [ScenarioRun("large-keyspace", "etcd", 0, {"load_seconds": 2.0})]
    return made
