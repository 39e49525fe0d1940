"""Plots, where matplotlib is installed; it is in a dependency group of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.report.plots import write_plots
from tests.unit.bench.samples import session


def test_plots_are_png_and_svg_and_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="in the dependency group bench")
    first = write_plots(session(), tmp_path)
    assert list(first) == ["Throughput", "Latency", "Slow disks"]
    texts = {title: path.read_bytes() for title, path in first.items()}
    assert all(path.with_suffix(".png").stat().st_size > 1000 for path in first.values())
    again = write_plots(session(), tmp_path)
    assert {title: path.read_bytes() for title, path in again.items()} == texts
