"""Figures come into the documents from results, between marks, and never from a run that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.report.publishing import BEGIN, END, figures_of, publish, replaced
from bench.results import to_json
from tests.unit.bench.samples import session

ROOT = Path(__file__).parents[3]


def test_what_is_between_the_marks_is_replaced_and_nothing_else() -> None:
    text = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert replaced(text, "new", "a.md") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_a_document_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match=r"README\.md has no"):
        replaced("text", "new", "README.md")


@pytest.mark.parametrize("name", ["README.md", "docs/performance.md"])
def test_the_documents_have_their_marks(name: str) -> None:
    replaced((ROOT / name).read_text(), "new", name)


def test_figures_say_when_where_and_how_they_were_made() -> None:
    text = figures_of({"short": session(), "sweep": session()}, "images/slow-disk.svg")
    assert "(images/slow-disk.svg)" in text
    assert text.count("2026-01-02, 2 cores") == 2
    assert "`python -m bench short`" in text
    assert "| put-100 | 550 | 1,250 | 3.50x [2.00 to 5.00] | - | - |" in text
    assert "| 100 | 100 | 10% | 0 | 0 | 1,900 | 95% | 0 | 0 |" in text
    assert "| 3,000 | - | - | - | - | - | - | - | - |" in text


def test_a_directory_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no results in"):
        publish(tmp_path, tmp_path)


def test_documents_and_plot_are_written(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("README.md", "docs/performance.md"):
        (tmp_path / name).write_text(f"{BEGIN}\n{END}\n")
    results = tmp_path / "results" / "sweep"
    results.mkdir(parents=True)
    (results / "results.json").write_bytes(to_json(session()))
    (results / "slow-disk.svg").write_text("<svg/>")
    publish(tmp_path / "results", tmp_path)
    assert (tmp_path / "docs" / "images" / "slow-disk.svg").read_text() == "<svg/>"
    assert "(docs/images/slow-disk.svg)" in (tmp_path / "README.md").read_text()
    assert "(images/slow-disk.svg)" in (tmp_path / "docs" / "performance.md").read_text()
