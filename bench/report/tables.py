"""Responsible for the tables of a session as rows of text: the terminal, CSV and HTML show the same ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bench.histogram import Histogram
from bench.results import Report, Session, SweepPoint
from bench.summary import PERCENTILES, Line, Spread, lines_of

_MIB = 1024 * 1024
#: What a cell says when there is no figure.
NOTHING = "-"
NAMES = {"zetcd": "zetcd (gRPC)", "zetcd-native": "zetcd (ZeroMQ)", "etcd": "etcd (gRPC)"}


@dataclass(frozen=True)
class Table:
    """A table; every row has as many cells as there are columns."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def number(value: float | None) -> str:
    """Return a figure with three digits that mean something."""
    if value is None:
        return NOTHING
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(value: Spread | None) -> str:
    """Return a median with its range, if there was more than one round."""
    if value is None:
        return NOTHING
    if value.rounds == 1:
        return number(value.median)
    return f"{number(value.median)} [{number(value.least)} to {number(value.greatest)}]"


def ratio(value: Spread | None) -> str:
    """Return a ratio the same way, with an x behind the median."""
    if value is None:
        return NOTHING
    first, space, rest = spread(value).partition(" ")
    return f"{first}x{space}{rest}"


def tables_of(session: Session) -> list[Table]:
    """Return all tables for which there are figures."""
    lines = lines_of(session)
    made = [
        _main(lines, session),
        _parts(lines),
        _cpu(lines),
        _wakeups(session),
        _batches(session),
        _sweep(session.sweep),
        _scenarios(session),
    ]
    return [table for table in made if table.rows]


def _main(lines: Sequence[Line], session: Session) -> Table:
    rows = [
        (
            line.workload,
            NAMES.get(line.system, line.system),
            spread(line.rate),
            ratio(line.rate_ratio),
            *(number(line.latency_ms[name]) for name in PERCENTILES),
            ratio(line.p50_ratio),
            number(sum(line.cpu_us.values())),
            number(line.rss_bytes / _MIB),
            str(line.failed),
            "; ".join(_remarks(line)),
        )
        for line in lines
    ]
    rows += [
        (workload, NAMES.get(system, system), *(NOTHING,) * 9, reason)
        for system, reason in session.absent.items()
        for workload in dict.fromkeys(line.workload for line in lines)
    ]
    columns = (
        *("workload", "system", "per s", "to etcd", "p50 ms", "p99 ms", "p99.9 ms", "p50 to etcd"),
        *("CPU us/op", "MiB", "failed", "remarks"),
    )
    title = "Median of the rounds [least to greatest]; ratios formed within each round"
    return Table("workloads", title, columns, tuple(rows))


def _remarks(line: Line) -> list[str]:
    void = [f"{line.void_rounds} rounds void"] if line.void_rounds else []
    return [*void, *line.doubts]


def _parts(lines: Sequence[Line]) -> Table:
    rows: list[tuple[str, ...]] = [
        (line.workload, NAMES.get(line.system, line.system), name, *map(number, part.values()))
        for line in lines
        for name, part in line.parts.items()
    ]
    rows += [
        (
            line.workload,
            NAMES.get(line.system, line.system),
            name.replace("_", " "),
            spread(found),
            "",
            "",
        )
        for line in lines
        for name, found in line.figures.items()
        if name != "goroutines"
    ]
    columns = ("workload", "system", "part", "p50 ms (or figure)", "p99 ms", "p99.9 ms")
    return Table("parts", "Parts of workloads", columns, tuple(rows))


def _cpu(lines: Sequence[Line]) -> Table:
    actors = list(dict.fromkeys(actor for line in lines for actor in line.cpu_us))
    rows = tuple(
        (
            line.workload,
            NAMES.get(line.system, line.system),
            number(sum(line.cpu_us.values())),
            *(number(line.cpu_us[actor]) if actor in line.cpu_us else NOTHING for actor in actors),
        )
        for line in lines
    )
    columns = ("workload", "system", "all", *actors)
    return Table(
        "cpu", "CPU microseconds per operation, by actor, all members together", columns, rows
    )


def _wakeups(session: Session) -> Table:
    first = [each for each in session.measurements if not each.void and each.round == 0]
    actors = list(dict.fromkeys(actor for each in first for actor in each.usage.wakeups))
    rows = tuple(
        (
            each.workload,
            NAMES.get(each.system, each.system),
            *(
                f"{each.usage.wakeups[actor] / max(1, each.report.operations):.2f}"
                if actor in each.usage.wakeups
                else NOTHING
                for actor in actors
            ),
        )
        for each in first
    )
    title = "Wake-ups per operation, by actor, all members together (first round)"
    return Table("wakeups", title, ("workload", "system", *actors), rows)


def _batches(session: Session) -> Table:
    """Show how many requests share one entry of the log, one read round, one transaction."""
    runs = [each for each in session.measurements if not each.void and each.usage.batches]
    names = list(dict.fromkeys(name for each in runs for name in each.usage.batches))
    pairs = list(dict.fromkeys((each.workload, each.system) for each in runs))
    rows = []
    for workload, system in pairs:
        own = [e.usage.batches for e in runs if (e.workload, e.system) == (workload, system)]
        cells = [spread(Spread.of([b[name] for b in own if name in b])) for name in names]
        rows.append((workload, NAMES.get(system, system), *cells))
    title = "Sizes of zetcd's batches: each costs one passage through raft, log and disk"
    return Table("batches", title, ("workload", "system", *names), tuple(rows))


def _milliseconds(report: Report, share: float) -> str:
    found = (
        Histogram(report.latencies["all"]).percentile(share) if "all" in report.latencies else None
    )
    return number(None if found is None else found / 1000)


def _sweep(points: Sequence[SweepPoint]) -> Table:
    base = {(p.system, p.who): p.throughput.rate for p in points if p.delay_ms == 0}
    rows = []
    for point in sorted(points, key=lambda p: (p.who, p.delay_ms, p.system)):
        healthy = base.get((point.system, point.who), 0.0)
        share = f"{point.throughput.rate / healthy:.1%}" if healthy else NOTHING
        late = NOTHING if point.tick_late_ms is None else f"{point.tick_late_ms:.1f} ms"
        if point.heartbeats_late is not None:
            late = f"{point.heartbeats_late} not in time"
        rows.append(
            (
                point.who,
                str(point.delay_ms),
                NAMES.get(point.system, point.system),
                number(point.throughput.rate),
                share,
                *(_milliseconds(point.latency, percentile) for percentile in PERCENTILES.values()),
                f"{max(point.throughput.longest_stall_seconds, point.latency.longest_stall_seconds):.1f}",
                *(str(point.elections), str(point.leader_changes), late),
                *(str(point.failed), str(point.leases_lost)),
                "; ".join((*filter(None, [point.failure]), *point.doubts)),
            )
        )
    columns = (
        *(
            "slow disk of",
            "ms added",
            "system",
            "puts/s",
            "of healthy",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
        ),
        *(
            "stall s",
            "elections",
            "leader changes",
            "heartbeats late",
            "failed",
            "leases lost",
            "remarks",
        ),
    )
    title = "Every fdatasync takes so much longer; puts of 100 clients, latency at a fixed rate"
    return Table("sweep", title, columns, tuple(rows))


def _scenarios(session: Session) -> Table:
    keys = dict.fromkeys((r.scenario, name) for r in session.scenarios for name in r.figures)
    rows = []
    systems = list(dict.fromkeys(each.system for each in session.scenarios))
    for scenario, name in keys:
        cells = []
        for system in systems:
            values = [
                r.figures[name]
                for r in session.scenarios
                if (r.scenario, r.system) == (scenario, system) and name in r.figures
            ]
            cells.append(spread(Spread.of(values)))
        rows.append((scenario, name.replace("_", " "), *cells))
    missing = (NOTHING,) * (len(systems) - 1)
    rows += [
        (run.scenario, f"{run.system} failed", *missing, run.failure)
        for run in session.scenarios
        if run.failure
    ]
    columns = ("scenario", "figure", *(NAMES.get(system, system) for system in systems))
    return Table("scenarios", "Scenarios of several steps", columns, tuple(rows))
