"""Responsible for the format "table": boxes of ASCII for members and endpoints, nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from zetcd.ctl.go_text import duration_text
from zetcd.ctl.printer import (
    HASH_COLUMNS,
    HEALTH_COLUMNS,
    MEMBER_COLUMNS,
    STATUS_COLUMNS,
    HashList,
    HealthList,
    Origin,
    Printable,
    StatusList,
    hash_rows,
    lower,
    member_rows,
    status_rows,
    unsupported,
)
from zetcd.messages.cluster import MemberListResponse


def render(what: Printable, origin: Origin, is_hex: bool) -> bytes:
    """Return the table of ``what``.

    Raises:
        CtlError: it has none.
    """
    del origin, is_hex
    if isinstance(what, MemberListResponse):
        return draw(MEMBER_COLUMNS, member_rows(what))
    if isinstance(what, StatusList):
        return draw(STATUS_COLUMNS, status_rows(what))
    if isinstance(what, HashList):
        return draw(HASH_COLUMNS, hash_rows(what))
    if isinstance(what, HealthList):
        rows = [
            (each.endpoint, lower(each.is_healthy), duration_text(each.took_seconds), each.error)
            for each in what.items
        ]
        return draw(HEALTH_COLUMNS, rows)
    raise unsupported("table")


def draw(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """Return a table with centred titles and cells aligned to the right."""
    titles = [column.replace("_", " ").upper() for column in columns]
    widths = [max(map(len, cells)) for cells in zip(titles, *rows, strict=True)]
    rule = "+" + "+".join("-" * (width + 2) for width in widths) + "+"
    head = [_centred(title, width) for title, width in zip(titles, widths, strict=True)]
    lines = [rule, _row(head), rule]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append(_row(cells))
    return "".join(f"{line}\n" for line in [*lines, rule]).encode()


def _centred(title: str, width: int) -> str:
    return (" " * ((width - len(title)) // 2) + title).ljust(width)


def _row(cells: Sequence[str]) -> str:
    return "|" + "|".join(f" {cell} " for cell in cells) + "|"
