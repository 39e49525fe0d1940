"""Tables, CSV and the page: what was measured, escaped, with everything that makes it comparable."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from bench.report.page import page_of
from bench.report.tables import number, ratio, spread, tables_of
from bench.report.writing import write_report
from bench.results import Session, from_json, to_json
from bench.summary import Spread
from tests.unit.bench.samples import session


def test_figures_have_three_digits_that_mean_something() -> None:
    shown = [number(each) for each in (None, 0.1234, 12.34, 1234.5)]
    assert shown == ["-", "0.12", "12.3", "1,234"]


def test_a_spread_shows_its_range_if_there_is_one() -> None:
    assert spread(None) == "-"
    assert spread(Spread(5, 5, 5, 1)) == "5.00"
    assert spread(Spread(5, 4, 6, 3)) == "5.00 [4.00 to 6.00]"
    assert ratio(Spread(2, 1, 3, 3)) == "2.00x [1.00 to 3.00]"
    assert ratio(Spread(2, 2, 2, 1)) == "2.00x"


def test_every_row_has_a_cell_for_every_column() -> None:
    tables = tables_of(session())
    names = ["workloads", "cpu", "wakeups", "batches", "sweep", "scenarios"]
    assert [table.name for table in tables] == names
    for table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows), table.name


def test_the_sweep_is_against_the_healthy_point_of_the_same_system() -> None:
    table = next(each for each in tables_of(session()) if each.name == "sweep")
    share = table.columns.index("of healthy")
    shares = {(row[2], row[1]): row[share] for row in table.rows}
    assert shares["etcd (gRPC)", "100"] == "10.0%"
    assert shares["zetcd (gRPC)", "100"] == "95.0%"


def test_an_absent_system_has_rows_that_say_so() -> None:
    made = session()
    made.measurements = [each for each in made.measurements if each.system == "zetcd"]
    made.absent = {"etcd": "go is not installed"}
    rows = tables_of(made)[0].rows
    assert [row[-1] for row in rows if row[1] == "etcd (gRPC)"] == ["go is not installed"]
    assert all(row[3] == "-" for row in rows)


def test_the_page_has_facts_tables_and_plots_and_trusts_no_text() -> None:
    made = session()
    page = page_of(made, tables_of(made), {"Throughput": "<?xml?>\n<svg>picture</svg>"})
    assert "&lt;a &amp; b&gt;" in page
    assert "&lt;no leader&gt;" in page
    assert "<svg>picture</svg>" in page
    assert "<?xml?>" not in page
    assert "python -m bench short" in page


def test_a_session_survives_its_file() -> None:
    made = session()
    assert from_json(to_json(made)) == made


def test_a_report_is_a_directory_of_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_report(session(), tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"results.json", "report.html", "workloads.csv", "sweep.csv", "cpu.csv"} <= names
    with (tmp_path / "workloads.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["to etcd"] for row in rows] == ["-", "3.50x [2.00 to 5.00]"]
    assert "put-100" in capsys.readouterr().out


def test_an_empty_session_makes_an_empty_report(tmp_path: Path) -> None:
    write_report(Session("", ""), tmp_path)
    assert (tmp_path / "report.html").exists()
