"""Responsible for the HTML page of a session: one file, readable without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from bench.report.tables import Table
from bench.results import Session

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 1200px; padding: 0 1em; }
table { border-collapse: collapse; margin: 0.5em 0 2em; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ccc; padding: 0.2em 0.6em; text-align: left; vertical-align: top; }
th { background: #f2f2f2; } code { background: #f6f6f6; word-break: break-all; }
svg { max-width: 100%; height: auto; }
"""


def page_of(session: Session, tables: Sequence[Table], plots: Mapping[str, str]) -> str:
    """Return the page; ``plots`` has SVG texts by title."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><title>zetcd beside etcd</title>',
        f"<style>{_STYLE}</style></head><body>",
        "<h1>zetcd beside etcd</h1>",
        f"<p>{escape(session.started)}, made with <code>{escape(session.command)}</code></p>",
        _facts("Machine", session.machine),
        _facts("Versions", session.versions),
        *(
            f"<p><strong>{escape(name)} is absent:</strong> {escape(why)}</p>"
            for name, why in session.absent.items()
        ),
        *(f"<h2>{escape(title)}</h2>{_inline(svg)}" for title, svg in plots.items()),
        *(_table(table) for table in tables),
        _facts("Commands", session.commands),
        *(f"<p>{escape(note)}</p>" for note in session.notes),
        "</body></html>",
    ]
    return "\n".join(parts)


def _inline(svg: str) -> str:
    """Return an SVG without what only a file of its own needs."""
    return svg[svg.index("<svg") :]


def _facts(title: str, facts: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items()
    )
    return f"<h2>{escape(title)}</h2><table>{rows}</table>" if facts else ""


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    return f"<h2>{escape(table.title)}</h2><table><tr>{head}</tr>{rows}</table>"
