"""Responsible for ``make robustness``: rounds, progress, and a table of what they have shown."""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table

from tests.robustness.catalogue import FaultFactory, all_faults
from tests.robustness.faults.fault import Fault
from tests.robustness.round import Report, Verdict, run_round

_STYLES = {
    Verdict.PASSED: "green",
    Verdict.FAILED: "bold red",
    Verdict.VOID: "yellow",
    Verdict.NOT_AVAILABLE: "dim",
}


def table_of(reports: Sequence[Report]) -> Table:
    """Return the summary, one line per round."""
    table = Table(title="robustness")
    for column in ("row", "fault", "seed", "verdict"):
        table.add_column(column, overflow="fold")
    for column in ("s", "hurt", "ops", "unknown", "recovery s"):
        table.add_column(column, justify="right")
    table.add_column("notes", overflow="fold")
    for report in reports:
        style = _STYLES[report.verdict]
        why = [] if report.verdict is Verdict.PASSED else [report.reason[:200]]
        table.add_row(
            str(report.row),
            report.fault,
            str(report.seed),
            f"[{style}]{report.verdict.value}[/{style}]",
            f"{report.seconds:.0f}",
            str(report.strikes),
            str(report.operations),
            str(report.unknown),
            f"{report.recovery_seconds:.1f}",
            "; ".join([*why, *report.notes]),
        )
    return table


def totals_of(reports: Sequence[Report]) -> str:
    """Return how many rounds had which verdict."""
    counts = Counter(report.verdict for report in reports)
    return ", ".join(f"{counts[verdict]} {verdict.value}" for verdict in Verdict)


def _chosen(row: int | None, match: str) -> list[FaultFactory]:
    return [
        make for make in all_faults() if (row is None or make().row == row) and match in make().name
    ]


@click.command()
@click.option("--row", type=int, default=None, help="Only this row of the fault table.")
@click.option("--match", default="", help="Only faults whose name contains this.")
@click.option("--rounds", type=int, default=1, help="Rounds of each fault.")
@click.option("--seed", type=int, default=1, help="Seed of the first round.")
@click.option("--keep", is_flag=True, help="Keep the directories of rounds that did not pass.")
@click.option(
    "--json", "is_json", is_flag=True, help="One JSON object per round instead of a table."
)
@click.option("--list", "is_list", is_flag=True, help="Name the faults and do nothing.")
def main(
    *, row: int | None, match: str, rounds: int, seed: int, keep: bool, is_json: bool, is_list: bool
) -> None:
    """Hurt real clusters under load, and check that every promise holds."""
    chosen = _chosen(row, match)
    if is_list:
        for make in chosen:
            click.echo(f"{make().row:3} {make().name}")
        return
    console = Console(stderr=True)
    reports: list[Report] = []
    # However it ends, no node is left behind, and the table shows what there is.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        for number in range(len(chosen) * rounds):
            fault = chosen[number % len(chosen)]()
            report = _run(fault, seed + number, console, keep=keep)
            reports.append(report)
            if is_json:
                click.echo(msgspec.json.encode(report).decode())
            console.print(f"    round {number + 1} of {len(chosen) * rounds}", style="dim")
    if not is_json:
        Console(width=None if sys.stdout.isatty() else 200).print(table_of(reports))
    console.print(totals_of(reports))
    is_whole = len(reports) == len(chosen) * rounds
    sys.exit(not is_whole or any(report.verdict is Verdict.FAILED for report in reports))


def _run(fault: Fault, seed: int, console: Console, *, keep: bool) -> Report:
    """Run one round in a directory of its own, and say what came of it."""
    directory = Path(tempfile.mkdtemp(prefix="zetcd-robustness-"))
    console.print(f"row {fault.row} {fault.name}, seed {seed}")
    report = run_round(fault, seed, directory)
    style = _STYLES[report.verdict]
    console.print(f"    [{style}]{report.verdict.value}[/{style}] in {report.seconds:.0f} s")
    if report.verdict in (Verdict.VOID, Verdict.NOT_AVAILABLE):
        console.print(f"    {report.reason}")
    for violation in report.violations:
        console.print(f"    {violation}", style="red", markup=False, highlight=False)
    if keep and report.verdict in (Verdict.FAILED, Verdict.VOID):
        console.print(f"    kept in {directory}")
    else:
        shutil.rmtree(directory, ignore_errors=True)
    return report


if __name__ == "__main__":
    main()
