"""Responsible for the files of a report: JSON, CSV, plots and the page, in one directory."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table as ConsoleTable

from bench.report.page import page_of
from bench.report.plots import PlotsUnavailable, write_plots
from bench.report.tables import Table, tables_of
from bench.results import Session, to_json

#: A terminal is as wide as it is; a file takes what it is given.
_WIDTH_OF_FILES = 220
#: On the terminal; the others are in the files.
_SHOWN = ("workloads", "sweep", "scenarios")


def write_report(session: Session, directory: Path) -> None:
    """Write every file of the report, and print the tables."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.json").write_bytes(to_json(session))
    tables = tables_of(session)
    for table in tables:
        _write_csv(table, directory / f"{table.name}.csv")
    plots: dict[str, str] = {}
    remark = ""
    try:
        written = write_plots(session, directory)
        plots = {title: path.read_text() for title, path in written.items()}
    except PlotsUnavailable as error:
        remark = str(error)
    (directory / "report.html").write_text(page_of(session, tables, plots))
    print_tables(session, tables)
    print(*filter(None, [remark, f"report: {directory / 'report.html'}"]), sep="\n")


def _write_csv(table: Table, path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.columns)
        writer.writerows(table.rows)


def print_tables(session: Session, tables: list[Table]) -> None:
    """Show the tables on the terminal."""
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_FILES, highlight=False)
    facts = [*session.machine.items(), *session.versions.items()]
    console.print("  ".join(f"{name}: {value}" for name, value in facts), markup=False)
    for table in tables:
        if table.name not in _SHOWN:
            continue
        shown = ConsoleTable(title=table.title.replace("[", "\\["), title_justify="left")
        for column in table.columns:
            shown.add_column(column, overflow="fold")
        for row in table.rows:
            shown.add_row(*(cell.replace("[", "\\[") for cell in row))
        console.print(shown)
    for note in session.notes:
        console.print(f"NOTE {note}", markup=False)
