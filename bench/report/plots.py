"""Responsible for the plots of a session, as PNG and SVG files.

matplotlib is in the dependency group ``bench`` only; without it there are no plots, and the report says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bench.histogram import Histogram
from bench.report.tables import NAMES
from bench.results import Session, SweepPoint
from bench.summary import Line, lines_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {"etcd": "#419eda", "zetcd": "#d1495b", "zetcd-native": "#edae49"}
_WHO = {"leader": "the leader's disk", "follower": "one follower's disk", "all": "all disks"}
_DPI = 120


class PlotsUnavailable(Exception):
    """matplotlib is not installed."""


def write_plots(session: Session, directory: Path) -> dict[str, Path]:
    """Write each plot as PNG and SVG; return the SVG files by title.

    Raises:
        PlotsUnavailable: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl  # noqa: PLC0415 - in a dependency group of its own
    except ImportError:
        why = "no plots: matplotlib is not installed (make .venv/.bench-stamp installs it)"
        raise PlotsUnavailable(why) from None
    # Text stays text, and the same figures give the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "zetcd", "font.size": 9})
    drawn: dict[str, tuple[str, Figure]] = {}
    lines = [line for line in lines_of(session) if line.rate is not None]
    if lines:
        drawn["Throughput"] = (
            "throughput",
            _bars(
                lines, "operations per second", lambda line: line.rate.median if line.rate else 0
            ),
        )
        drawn["Latency"] = (
            "latency",
            _bars(lines, "median latency, ms", lambda line: line.latency_ms["p50"] or 0.0),
        )
    if session.sweep:
        drawn["Slow disks"] = ("slow-disk", _sweep(session.sweep))
    return {title: _write(figure, directory / name) for title, (name, figure) in drawn.items()}


def _write(figure: Figure, path: Path) -> Path:
    svg = path.with_suffix(".svg")
    figure.savefig(path.with_suffix(".png"), dpi=_DPI)
    figure.savefig(svg, metadata={"Date": None})
    # matplotlib ends many lines with a blank.
    svg.write_text("\n".join(line.rstrip() for line in svg.read_text().splitlines()) + "\n")
    return svg


def _bars(lines: Sequence[Line], label: str, value: Callable[[Line], float]) -> Figure:
    """Draw a bar for each system beside each other, for each workload."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.subplots()
    workloads = list(dict.fromkeys(line.workload for line in lines))
    systems = [name for name in COLOURS if any(line.system == name for line in lines)]
    width = 0.8 / max(1, len(systems))
    for number, system in enumerate(systems):
        shift = (number - (len(systems) - 1) / 2) * width
        own = {line.workload: value(line) for line in lines if line.system == system}
        places = [at + shift for at, workload in enumerate(workloads) if workload in own]
        heights = [own[workload] for workload in workloads if workload in own]
        axes.bar(places, heights, width, color=COLOURS[system], label=NAMES[system])
    axes.set_xticks(range(len(workloads)), workloads, rotation=35, ha="right")
    axes.set_yscale("log")
    axes.set_ylabel(label)
    axes.grid(axis="y", alpha=0.3)
    axes.legend()
    return figure


def _sweep(points: Sequence[SweepPoint]) -> Figure:
    """Draw throughput, latency and elections against the delay, a column for each set of slow disks."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    columns = [who for who in _WHO if any(point.who == who for point in points)]
    figure = Figure(figsize=(3.6 * len(columns) + 1, 7), layout="constrained")
    grid = figure.subplots(3, len(columns), sharex=True, sharey="row", squeeze=False)
    delays = sorted({point.delay_ms for point in points})
    rows: tuple[tuple[str, str, Callable[[SweepPoint], float | None]], ...] = (
        ("puts per second", "symlog", lambda point: point.throughput.rate),
        ("p99 latency, ms", "log", _p99),
        ("elections", "linear", lambda point: point.elections),
    )
    for column, who in enumerate(columns):
        for row, (label, scale, value) in enumerate(rows):
            axes = grid[row][column]
            _curves(axes, [point for point in points if point.who == who], delays, value)
            axes.set_yscale(scale)
            axes.set_ylabel(label if column == 0 else "")
        grid[0][column].set_title(f"slow: {_WHO[who]}")
        grid[-1][column].set_xlabel("ms added to each fdatasync")
    if grid[0][0].get_legend_handles_labels()[0]:
        grid[0][0].legend()
    return figure


def _curves(
    axes: Axes,
    points: Sequence[SweepPoint],
    delays: Sequence[int],
    value: Callable[[SweepPoint], float | None],
) -> None:
    for system, colour in COLOURS.items():
        own = sorted((p for p in points if p.system == system), key=lambda p: p.delay_ms)
        shown = [(delays.index(p.delay_ms), value(p)) for p in own if not p.failure]
        known = [(x, y) for x, y in shown if y is not None]
        if known:
            xs, ys = [x for x, _ in known], [y for _, y in known]
            axes.plot(xs, ys, "o-", color=colour, label=NAMES[system])
    axes.set_xticks(range(len(delays)), [f"{delay:,}" for delay in delays])
    axes.grid(alpha=0.3)


def _p99(point: SweepPoint) -> float | None:
    """Return the p99 from however few requests: with disks this slow there are not many."""
    if "all" not in point.latency.latencies:
        return None
    found = Histogram(point.latency.latencies["all"]).value_at(0.99)
    return found / 1000 if found else None
