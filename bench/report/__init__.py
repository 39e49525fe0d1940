"""What a session measured, for people: tables, CSV, plots and one HTML page, all made from its JSON."""

from __future__ import annotations

from bench.report.writing import write_report

__all__ = ["write_report"]
