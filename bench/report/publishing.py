"""Responsible for the figures in the documents: compact tables and the plot, between two marks in each file.

``<!-- bench: begin -->`` and ``<!-- bench: end -->`` stand in README.md and docs/performance.md. What is
between them is written from committed results, and by nobody's hand.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from bench.report.tables import NAMES, NOTHING, number, ratio
from bench.results import Session, SweepPoint, from_json
from bench.summary import Line, lines_of

BEGIN = "<!-- bench: begin -->"
END = "<!-- bench: end -->"
_RESULTS = "results.json"
_PLOT = "slow-disk.svg"
#: What a reader must know about a figure that has a doubt.
_DOUBTED = "\\*"


def publish(directory: Path, root: Path) -> list[Path]:
    """Write the figures of ``directory`` into the documents below ``root``; return what was written.

    Raises:
        ValueError: there are no results, or a document has no place for them.
    """
    parts = {
        name: from_json(path.read_bytes())
        for name in ("short", "sweep")
        if (path := directory / name / _RESULTS).exists()
    }
    if not parts:
        raise ValueError(
            f"no results in {directory}: expected short/{_RESULTS} or sweep/{_RESULTS}"
        )
    written = []
    plot = directory / "sweep" / _PLOT
    images = root / "docs" / "images"
    if plot.exists():
        images.mkdir(exist_ok=True)
        written.append(Path(shutil.copy(plot, images / _PLOT)))
    for document in (root / "README.md", root / "docs" / "performance.md"):
        link = f"{'docs/' if document.name == 'README.md' else ''}images/{_PLOT}"
        text = figures_of(parts, link if plot.exists() else "")
        document.write_text(replaced(document.read_text(), text, document.name))
        written.append(document)
    return written


def replaced(text: str, figures: str, name: str) -> str:
    """Return a document with new figures between its marks.

    Raises:
        ValueError: the marks are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{name} has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{figures}\n{END}{after}"


def figures_of(parts: dict[str, Session], plot: str) -> str:
    """Return what stands between the marks; ``plot`` is the address of the picture, if there is one."""
    blocks = []
    if "sweep" in parts:
        if plot:
            blocks.append(f"![Throughput, latency and elections while disks become slow]({plot})")
        blocks += [made_with(parts["sweep"]), sweep_table(parts["sweep"].sweep)]
    if "short" in parts:
        lines = lines_of(parts["short"])
        blocks += [made_with(parts["short"]), workload_table(lines)]
        if any(line.doubts for line in lines):
            blocks.append(
                f"{_DOUBTED} There is a reason to doubt a figure of this line; the report says which."
            )
    return "\n\n".join(blocks)


def made_with(session: Session) -> str:
    """Return when, where and how figures were made."""
    machine, versions = session.machine, session.versions
    facts = [
        f"{machine.get('cores', '?')} cores ({machine.get('processor', '?')})",
        f"Python {versions.get('Python', '?').rpartition(' ')[2]}",
        f"etcd {versions.get('etcd', '?').removeprefix('v')}",
    ]
    return f"{session.started[:10]}, {', '.join(facts)}, made with `{session.command}`:"


def workload_table(lines: Sequence[Line]) -> str:
    """Return rates and ratios, a line for each workload."""
    by_name = {(line.workload, line.system): line for line in lines}
    rows = [
        "| per second | etcd | zetcd, gRPC | | zetcd, ZeroMQ | |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    for workload in dict.fromkeys(line.workload for line in lines):
        cells = []
        for system in ("etcd", "zetcd", "zetcd-native"):
            line = by_name.get((workload, system))
            cells.append(number(line.rate.median) if line and line.rate else NOTHING)
            if system != "etcd":
                cells.append(ratio(line.rate_ratio) if line else NOTHING)
        doubted = any(line.doubts for line in lines if line.workload == workload)
        rows.append(f"| {workload}{_DOUBTED if doubted else ''} | {' | '.join(cells)} |")
    return "\n".join(rows)


def sweep_table(points: Sequence[SweepPoint]) -> str:
    """Return throughput and elections while the leader's disk is slow, a line for each delay."""
    own = [point for point in points if point.who == "leader"]
    systems = [name for name in ("etcd", "zetcd") if any(p.system == name for p in own)]
    heads = [f"{NAMES[system]} puts/s | of healthy | elections | failed" for system in systems]
    rows = [
        f"| ms added to the leader's fdatasync | {' | '.join(heads)} |",
        f"| --: |{' --: | --: | --: | --: |' * len(systems)}",
    ]
    found = {(point.system, point.delay_ms): point for point in own}
    for delay_ms in sorted({point.delay_ms for point in own}):
        cells = [_sweep_cells(found, system, delay_ms) for system in systems]
        rows.append(f"| {delay_ms:,} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _sweep_cells(found: dict[tuple[str, int], SweepPoint], system: str, delay_ms: int) -> str:
    point, healthy = found.get((system, delay_ms)), found.get((system, 0))
    if point is None or point.failure:
        return f"{NOTHING} | {NOTHING} | {NOTHING} | {NOTHING}"
    rate = point.throughput.rate
    share = (
        f"{rate / healthy.throughput.rate:.0%}" if healthy and healthy.throughput.rate else NOTHING
    )
    return f"{number(rate)} | {share} | {point.elections} | {point.failed}"
